"""openssl, sslscan and Python's ssl: what TLS is spoken, the node's own authority, certificates that the owner brings."""
import json
import os
import re
import socket
import ssl
import subprocess

from node import NodeTest


class Tls(NodeTest):
    def openssl(self, *arguments):
        return subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=60).stdout

    def hauspost(self, *arguments):
        command = [os.environ["HAUSPOST"], *arguments, "--data", self.node.data]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)

    def shown(self, name="localhost", service="imaps", **settings):
        """The certificate that a client sees who trusts nobody, as its SHA-256."""
        context = ssl.create_default_context(cafile=settings.pop("cafile", None))
        for key, value in settings.items():
            setattr(context, key, value)
        with socket.create_connection(("127.0.0.1", self.node.port(service)), timeout=20) as s:
            with context.wrap_socket(s, server_hostname=name) as tls:
                return tls.version(), tls.getpeercert(True)

    def untrusting(self, name="localhost"):
        return self.shown(name, check_hostname=False, verify_mode=ssl.CERT_NONE)[1]

    def test_the_authority_alone_is_enough(self):
        for name in ["localhost", "home.test", "autoconfig.home.test", "127.0.0.1"]:
            for service in ["imaps", "pop3s", "submissions"]:
                self.shown(name, service, cafile=self.node.certificate)
        with self.assertRaises(ssl.SSLCertVerificationError):
            self.shown("other.test", cafile=self.node.certificate)
        text = self.openssl("x509", "-in", self.node.certificate, "-noout", "-text").decode()
        for part in ["X509v3 Name Constraints: critical", "DNS:home.test", "CA:TRUE", "NIST CURVE: P-256"]:
            self.assertIn(part, text)

    def test_openssl_verifies_it_and_it_lasts_as_long_as_phones_allow(self):
        shown = os.path.join(self.folder, "shown.pem")
        with open(shown, "w") as f:
            f.write(ssl.DER_cert_to_PEM_cert(self.untrusting()))
        verify = ["verify", "-CAfile", self.node.certificate, "-purpose", "sslserver", "-verify_hostname"]
        self.assertIn(b"OK", self.openssl(*verify, "home.test", shown))
        dates = self.openssl("x509", "-in", shown, "-noout", "-checkend", str(250 * 86400))
        self.assertIn(b"will not expire", dates)
        with self.assertRaises(subprocess.CalledProcessError):
            self.openssl("x509", "-in", shown, "-noout", "-checkend", str(398 * 86400))

    def test_versions_and_suites(self):
        scan = self.run_program("sslscan", "--no-colour", "localhost:%d" % self.node.port("imaps")).decode()
        for version, state in [("SSLv2", "disabled"), ("SSLv3", "disabled"), ("TLSv1.0", "disabled"), ("TLSv1.1", "disabled"),
                               ("TLSv1.2", "enabled"), ("TLSv1.3", "enabled")]:
            self.assertRegex(scan, r"%s\s+%s" % (re.escape(version), state))
        suites = re.findall(r"^(?:Preferred|Accepted)\s+\S+\s+\d+ bits\s+(\S+)", scan, re.MULTILINE)
        self.assertTrue(suites, scan)
        for suite in suites:
            self.assertRegex(suite, r"^(TLS_(AES|CHACHA20)|ECDHE-ECDSA-(AES(128|256)-GCM|CHACHA20-POLY1305))")
        self.assertIn("not vulnerable to heartbleed", scan)
        self.assertIn("renegotiation not supported", scan)
        self.assertNotIn("Insecure", scan)

    def make(self, kind, name="home.test"):
        """A self-signed certificate, and its key in three forms."""
        key, cert = (os.path.join(self.folder, kind + end) for end in (".key", ".pem"))
        new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "sec1" else ["-newkey", "rsa:2048"]
        self.openssl("req", "-x509", "-nodes", "-days", "90", "-subj", "/CN=x", "-addext", "subjectAltName=DNS:" + name, *new,
                     "-keyout", key, "-out", cert)
        if kind == "pkcs1":
            self.openssl("rsa", "-in", key, "-traditional", "-out", key)
        if kind == "sec1":
            self.openssl("ec", "-in", key, "-out", key)
        return cert, key

    def test_certificates_are_brought_with_keys_of_every_form(self):
        own = self.untrusting()
        for kind, head in [("pkcs8", "BEGIN PRIVATE"), ("pkcs1", "BEGIN RSA"), ("sec1", "BEGIN EC")]:
            cert, key = self.make(kind)
            with open(key) as f:
                self.assertIn(head, f.read())
            done = self.hauspost("tls", "import", "--cert", cert, "--key", key)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            # Shown to those who ask for its name, at once; the others see the node's own.
            self.assertEqual(self.shown("home.test", cafile=cert)[1], ssl.PEM_cert_to_DER_cert(open(cert).read()))
            self.assertEqual(self.untrusting("autoconfig.home.test"), own)
        standing = json.loads(self.hauspost("tls", "show", "--json").stdout)
        self.assertEqual([one["origin"] for one in standing], ["imported", "own", "authority"])
        # It is still there after the plug was pulled.
        self.node.stop(how=9)
        self.node.start()
        self.shown("home.test", cafile=cert)
        self.assertEqual(self.hauspost("tls", "remove", "home.test").returncode, 0)
        self.assertEqual(self.untrusting("home.test"), own)

    def test_what_is_wrong_is_said(self):
        cert, key = self.make("pkcs8", "elsewhere.example")
        other, _ = self.make("sec1")
        for files, why in [((cert, key), "is for elsewhere.example, but this server is home.test"), ((other, key), "belongs to none"),
                           ((key, key), "no certificate"), ((cert, cert), "no private key")]:
            done = self.hauspost("tls", "import", "--cert", files[0], "--key", files[1])
            self.assertEqual(done.returncode, 78)
            self.assertIn(why, done.stderr)
        self.assertNotIn("PRIVATE", self.node.log_text())
