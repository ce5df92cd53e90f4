"""MTA-STS with real peers: a policy over HTTPS, an MX with TLS by Postfix, names by dnsmasq, and an authority of our own."""
import http.server
import os
import shutil
import smtplib
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

from node import PASSWORD, Node, NodeTest, message
from peers import FAR, Dnsmasq, Postfix

POLICY = "version: STSv1\r\nmode: %s\r\nmx: %s\r\nmax_age: 86400\r\n"


class Authority:
    """Signs certificates that the node believes, because it is told to."""

    def __init__(self, folder):
        self.folder = folder
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                     "-subj", "/CN=Test Authority", "-addext", "basicConstraints=critical,CA:TRUE",
                     "-addext", "keyUsage=critical,keyCertSign", "-keyout", self.path("ca.key"), "-out", self.path("ca.pem"))

    def path(self, name):
        return os.path.join(self.folder, name)

    def openssl(self, *words):
        subprocess.run(["openssl", *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def certificate(self, name):
        """Files with a certificate for this name, and its key."""
        certificate, key, request, more = (self.path(name + end) for end in (".pem", ".key", ".csr", ".ext"))
        self.openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=" + name,
                     "-keyout", key, "-out", request)
        with open(more, "w") as f:
            f.write("basicConstraints=CA:FALSE\nsubjectAltName=DNS:%s\n" % name)
        self.openssl("x509", "-req", "-in", request, "-CA", self.path("ca.pem"), "-CAkey", self.path("ca.key"),
                     "-set_serial", str(abs(hash(name))), "-days", "30", "-extfile", more, "-out", certificate)
        return certificate, key


class PolicyServer:
    """HTTPS on loopback; serves one policy and counts how often."""

    def __init__(self, certificate, key, policy):
        self.asked = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked += 1
                found = self.path == "/.well-known/mta-sts.txt" and self.headers["Host"].startswith("mta-sts.far.example")
                self.send_response(200 if found else 404)
                self.send_header("Content-Type", "text/plain; charset=us-ascii")
                # Without it only a close_notify would tell that this is the end, and Python sends none.
                self.send_header("Content-Length", str(len(policy) if found else 0))
                self.end_headers()
                if found:
                    self.wfile.write(policy.encode())

            def log_message(self, *_):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class Sts(unittest.TestCase):
    assert_same = NodeTest.assert_same

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hauspost-sts-")
        os.chmod(self.folder, 0o755)
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.authority = Authority(self.folder)

    def world(self, mode="enforce", mx="*.far.example", mx_certificate="mx.far.example", web_certificate="mta-sts.far.example"):
        self.web = PolicyServer(*self.authority.certificate(web_certificate), POLICY % (mode, mx))
        self.addCleanup(self.web.stop)
        self.peer = Postfix(9, *self.authority.certificate(mx_certificate))
        self.addCleanup(self.peer.stop)
        names = Dnsmasq(*FAR, "--host-record=mta-sts.far.example,127.0.0.1",
                      "--txt-record=_mta-sts.far.example,v=STSv1; id=20261127;")
        self.addCleanup(names.stop)
        self.node = Node("--dns", names.address, "--mx-port", str(self.peer.port), "--https-port", str(self.web.port),
                         "--ca-file", self.authority.path("ca.pem"), "--log-level", "info")
        self.addCleanup(self.node.stop)

    def submit(self, m):
        with smtplib.SMTP_SSL("localhost", self.node.port("submissions"), context=self.node.tls_context()) as s:
            s.login("me", PASSWORD)
            s.sendmail("me@home.test", ["bob@far.example"], m)

    def await_log(self, text):
        limit = time.monotonic() + 30
        while text not in self.node.log_text() and time.monotonic() < limit:
            time.sleep(0.1)
        self.assertIn(text, self.node.log_text())

    def assert_delivered(self):
        m = message("sts", sender="me@home.test", to="bob@far.example")
        self.submit(m)
        got = self.peer.received(1)
        self.assertEqual(len(got), 1, self.peer.log_text() + self.node.log_text())
        self.assert_same(m, got[0])
        self.assertIn(b"with ESMTPS", got[0])

    def assert_deferred(self, why):
        self.submit(message("held", sender="me@home.test", to="bob@far.example"))
        self.await_log("event=deferred")
        self.assertIn(why, self.node.log_text())
        self.assertEqual(self.peer.received(1, seconds=0), [])

    def test_delivered_when_all_is_as_the_policy_says(self):
        self.world()
        self.assert_delivered()
        self.assertIn("event=sts-policy-fetched", self.node.log_text())
        self.assertEqual(self.web.asked, 1)
        # The policy is known after a restart, when its server is gone.
        self.node.stop()
        self.web.stop()
        self.node.start()
        self.peer.forget()
        self.assert_delivered()
        self.assertEqual(self.web.asked, 1)

    def test_not_to_a_host_with_the_wrong_certificate(self):
        self.world(mx_certificate="mx.other.example")
        self.assert_deferred("result=certificate-host-mismatch")

    def test_not_to_a_host_that_the_policy_does_not_name(self):
        self.world(mx="mail.far.example")
        self.assert_deferred("none of the servers in the policy of its domain (MTA-STS)")

    def test_testing_delivers_all_the_same(self):
        self.world(mode="testing", mx_certificate="mx.other.example")
        self.assert_delivered()
        self.assertIn("result=certificate-host-mismatch", self.node.log_text())

    def test_a_policy_of_somebody_else_is_none(self):
        self.world(mx="mail.far.example", web_certificate="far.example")
        self.assert_delivered()
        self.assertIn("result=sts-webpki-invalid", self.node.log_text())
