"""The ways out: Postfix and Exim take what our relay brings, with every extension they have; and a smarthost that wants TLS and a login."""
import os
import shutil
import smtplib
import subprocess
import tempfile
import time
import unittest

import peers
from node import PASSWORD, Node, NodeTest, ServedNode, message
from peers import Exim, FAR, Dnsmasq, Postfix, free_port
from test_inbound import BIG_BYTES

SMARTHOST = """\
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = {folder}/auth
smtpd_sasl_security_options = noanonymous
smtpd_tls_auth_only = yes
smtpd_recipient_restrictions = permit_sasl_authenticated, reject
"""

DOVECOT = """\
base_dir = {folder}/run
log_path = {folder}/log
protocols =
ssl = no
auth_mechanisms = {mechanisms}
default_internal_user = dovecot
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid=dovecot gid=dovecot home=/nonexistent
}}
service auth {{
  unix_listener {folder}/auth {{
    mode = 0666
  }}
}}
"""


def make_certificate(folder):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                    "-subj", "/CN=mx.far.example", "-addext", "subjectAltName=DNS:mx.far.example,IP:127.0.0.1", "-addext",
                    "basicConstraints=critical,CA:FALSE", "-keyout", folder + "/key.pem", "-out", folder + "/cert.pem"],
                   check=True, stderr=subprocess.DEVNULL)
    return folder + "/cert.pem", folder + "/key.pem"


class Outbound:
    """The same mail through our relay to either peer."""

    @classmethod
    def setUpClass(cls):
        cls.certificates = tempfile.mkdtemp(prefix="hauspost-cert-")
        port = free_port()
        cls.node = Node("--log-level", "info", "--relay", "127.0.0.1:%d" % port)
        cls.peer = cls.program(cls.node.port("smtp"), *make_certificate(cls.certificates), port=port)

    @classmethod
    def tearDownClass(cls):
        cls.peer.stop()
        cls.node.stop()
        shutil.rmtree(cls.certificates, ignore_errors=True)

    def setUp(self):
        super().setUp()
        self.peer.forget()

    def submit(self, m, mail=(), rcpt=(), node=None):
        node = node or self.node
        with smtplib.SMTP_SSL("localhost", node.port("submissions"), context=node.tls_context()) as s:
            s.login("me", PASSWORD)
            s.sendmail("me@home.test", ["bob@far.example"], m, mail, rcpt)

    def arrived(self, m, seconds=60):
        got = self.peer.received(1, seconds)
        self.assertEqual(len(got), 1, self.peer.log_text() + self.node.log_text()[-3000:])
        self.assert_same(m, got[0])
        return got[0]

    def test_eight_bits(self):
        m = message("eight", sender="me@home.test", to="bob@far.example")
        self.submit(m, ["BODY=8BITMIME"])
        self.assertIn(b"DKIM-Signature: v=1; a=ed25519-sha256;", self.arrived(m))

    def test_25_megabytes(self):
        m = message("big", sender="me@home.test", to="bob@far.example", big=BIG_BYTES)
        self.submit(m)
        self.arrived(m, seconds=120)

    def test_all_scripts(self):
        m = "From: me@home.test\r\nTo: bob@far.example\r\nSubject: Gr\u00fc\u00dfe\r\nX-Test-Id: utf8\r\n\r\nhin\r\n".encode()
        self.submit(m, ["SMTPUTF8", "BODY=8BITMIME"])
        self.arrived(m)

    def test_several_at_once(self):
        sent = [message("n%d" % number, sender="me@home.test", to="bob@far.example") for number in range(20)]
        for m in sent:
            self.submit(m)
        got = self.peer.received(20, 60)
        self.assertEqual(len(got), 20, self.peer.log_text() + self.node.log_text()[-3000:])
        for number, m in enumerate(sent):
            self.assert_same(m, [g for g in got if b"X-Test-Id: n%d\n" % number in g][0])

    def test_it_reports_to_our_sender(self):
        self.submit(message("told", sender="me@home.test", to="bob@far.example"), ["RET=HDRS", "ENVID=asked1"], ["NOTIFY=SUCCESS"])
        back = self.node.await_messages(1, seconds=30)
        self.assertEqual(len(back), 1, self.peer.log_text() + self.node.log_text()[-3000:])
        self.assertIn(b"Action: delivered", list(back.values())[0][1])

    def test_by_mx_and_starttls(self):
        names = Dnsmasq(*FAR)
        self.addCleanup(names.stop)
        node = Node("--dns", names.address, "--mx-port", str(self.peer.port))
        self.addCleanup(node.stop)
        m = message("by-mx", sender="me@home.test", to="bob@far.example")
        self.submit(m, node=node)
        self.assertRegex(self.arrived(m).split(b"Received: from")[1].lower(), b"esmtps|tls")


class PostfixTakes(Outbound, NodeTest):
    program = Postfix


class EximTakes(Outbound, NodeTest):
    program = Exim


class Smarthost(unittest.TestCase):
    """Postfix as the provider's server: TLS that an authority of the owner's own vouches for, and a login."""

    assert_same = NodeTest.assert_same

    def start(self, mechanisms, password="provider secret", relay=""):
        folder = tempfile.mkdtemp(prefix="hauspost-smarthost-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        os.chmod(folder, 0o755)
        certificate, key = make_certificate(folder)
        with open(folder + "/users", "w") as f:
            f.write("me:{PLAIN}provider secret\n")
        with open(folder + "/dovecot.conf", "w") as f:
            f.write(DOVECOT.format(folder=folder, mechanisms=mechanisms))
        logins = subprocess.Popen(["dovecot", "-F", "-c", folder + "/dovecot.conf"], stderr=subprocess.DEVNULL)
        self.addCleanup(logins.wait)
        self.addCleanup(logins.terminate)
        limit = time.monotonic() + 20
        while not os.path.exists(folder + "/auth") and time.monotonic() < limit:
            time.sleep(0.05)
        settings = peers.MAIN
        peers.MAIN += SMARTHOST.format(folder=folder)
        try:
            self.peer = Postfix(9, certificate, key)
        finally:
            peers.MAIN = settings
        self.addCleanup(self.peer.stop)
        with open(folder + "/password", "w") as f:
            os.chmod(folder + "/password", 0o600)
            f.write(password + "\n")
        self.node = ServedNode(relay='host = "127.0.0.1"\nport = %d\nsecurity = "starttls"\nlogin = "me"\n'
                                     'password_file = "%s/password"\nca_file = "%s"\n%s' % (self.peer.port, folder, certificate, relay))
        self.addCleanup(self.node.stop)
        m = message("way", sender="me@home.test", to="bob@far.example")
        with smtplib.SMTP_SSL("127.0.0.1", self.node.port("submissions"), context=self.node.tls_context(False)) as s:
            s.login("me@home.test", PASSWORD)
            s.sendmail("me@home.test", ["bob@far.example"], m)
        return m

    def arrived(self, m):
        got = self.peer.received(1)
        self.assertEqual(len(got), 1, self.peer.log_text() + self.node.log_text()[-3000:])
        self.assert_same(m, got[0])
        return got[0]

    def test_plain(self):
        self.arrived(self.start("plain"))
        self.assertIn("sasl_method=PLAIN", self.peer.log_text())

    def test_login(self):
        self.arrived(self.start("login"))
        self.assertIn("sasl_method=LOGIN", self.peer.log_text())

    def test_scram(self):
        self.arrived(self.start("plain login scram-sha-256"))
        self.assertIn("sasl_method=SCRAM-SHA-256", self.peer.log_text())

    def test_a_wrong_password_keeps_the_mail_waiting(self):
        self.start("plain", password="not it")
        self.node.await_log("event=deferred")
        self.assertEqual(self.peer.received(1, 1), [])
        self.assertIn("535 5.7.8", self.node.log_text())

    def test_greeted_and_reached_as_the_owner_wants_it(self):
        m = self.start("plain", relay='hello = "other.home.test"\nsource_address = ["127.0.0.2"]\n')
        self.assertIn(b"from other.home.test (unknown [127.0.0.2])", self.arrived(m))
