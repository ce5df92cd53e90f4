"""Our relay logs in at Postfix, whose logins Dovecot checks: by SCRAM-SHA-256 where that is offered, by PLAIN where not."""
import os
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
import unittest

from node import PASSWORD, NodeTest, ServedNode, message
from peers import Postfix, free_port

DOVECOT = """\
base_dir = {folder}/run
log_path = {folder}/log
protocols =
ssl = no
auth_mechanisms = {mechanisms}
auth_failure_delay = 0
passdb {{
  driver = passwd-file
  args = {folder}/passwords
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service stats {{
  chroot =
}}
"""


class Dovecot:
    """Only what checks logins. Knows `anna` with the password `secret`."""

    def __init__(self, mechanisms):
        if shutil.which("dovecot") is None:
            raise unittest.TestCase.failureException("dovecot is not installed")
        self.folder = tempfile.mkdtemp(prefix="hauspost-dovecot-")
        os.chmod(self.folder, 0o755)
        self.port = free_port()
        conf = self.folder + "/conf"
        with open(conf, "w") as f:
            f.write(DOVECOT.format(folder=self.folder, mechanisms=mechanisms, port=self.port))
        with open(self.folder + "/passwords", "w") as f:
            f.write("anna:{PLAIN}secret\n")
        os.chmod(self.folder + "/passwords", 0o644)
        self.process = subprocess.Popen(["dovecot", "-F", "-c", conf], stdin=subprocess.DEVNULL)
        limit = time.monotonic() + 20
        while socket.socket().connect_ex(("127.0.0.1", self.port)):
            if self.process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError("dovecot did not start:\n" + self.log_text())
            time.sleep(0.05)

    def log_text(self):
        with open(self.folder + "/log", errors="replace") as f:
            return f.read()

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Smarthost(unittest.TestCase):
    assert_same = NodeTest.assert_same

    def start(self, mechanisms, password="secret"):
        self.folder = tempfile.mkdtemp(prefix="hauspost-smarthost-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        certificate, key = self.folder + "/cert.pem", self.folder + "/key.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "30", "-subj", "/CN=smarthost", "-addext", "subjectAltName=IP:127.0.0.1", "-addext",
                        "basicConstraints=critical,CA:FALSE", "-keyout", key, "-out", certificate],
                       check=True, stderr=subprocess.DEVNULL)
        self.dovecot = Dovecot(mechanisms)
        self.addCleanup(self.dovecot.stop)
        self.peer = Postfix(9, certificate, key)
        self.addCleanup(self.peer.stop)
        with open(self.peer.conf + "/main.cf", "a") as f:
            f.write("smtpd_sasl_auth_enable = yes\nsmtpd_sasl_type = dovecot\n"
                    "smtpd_sasl_path = inet:127.0.0.1:%d\nsmtpd_tls_auth_only = yes\nmynetworks = 192.0.2.1/32\n"
                    "smtpd_relay_restrictions = permit_sasl_authenticated, reject\n" % self.dovecot.port)
        self.peer.postfix("reload")
        path = self.folder + "/password"
        with open(path, "w") as f:
            f.write(password + "\n")
        os.chmod(path, 0o600)
        relay = 'host = "127.0.0.1"\nport = %d\nsecurity = "starttls"\nlogin = "anna"\npassword_file = "%s"\nca_file = "%s"\n'
        self.node = ServedNode(relay=relay % (self.peer.port, path, certificate))
        self.addCleanup(self.node.stop)

    def submit(self, m):
        with smtplib.SMTP_SSL("localhost", self.node.port("submissions"), context=self.node.tls_context(False)) as s:
            s.login("me", PASSWORD)
            s.sendmail("me@home.test", ["bob@far.example"], m)

    def walk(self, mechanisms, wanted):
        self.start(mechanisms)
        m = message("login", sender="me@home.test", to="bob@far.example")
        self.submit(m)
        got = self.peer.received(1)
        self.assertEqual(len(got), 1, self.peer.log_text() + self.dovecot.log_text() + self.node.log_text())
        self.assert_same(m, got[0])
        self.assertIn("sasl_method=%s, sasl_username=anna" % wanted, self.peer.log_text())

    def test_scram(self):
        self.walk("plain login scram-sha-256", "SCRAM-SHA-256")

    def test_plain(self):
        self.walk("plain login", "PLAIN")

    def test_login(self):
        self.walk("login", "LOGIN")

    def test_a_wrong_password_waits(self):
        self.start("plain scram-sha-256", "wrong")
        self.submit(message("wrong", sender="me@home.test", to="bob@far.example"))
        self.node.await_log("event=unusable")
        self.assertIn("535 5.7.8", self.node.log_text())
        self.assertEqual(self.peer.received(1, seconds=0), [])


if __name__ == "__main__":
    unittest.main()
