"""SCRAM by our own client, by GNU SASL (gsasl, msmtp, mpop), by Cyrus SASL (mutt, mbsync): all services, bound and not."""
import base64
import imaplib
import poplib
import smtplib
import subprocess

from node import PASSWORD, NodeTest, ServedNode, lf, message
from scram import Refused, Scram, end_point

BOTH = ("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS")


class ScramTest(NodeTest):
    """With a node that offers to bind logins to their channel."""

    @classmethod
    def setUpClass(cls):
        cls.node = ServedNode(top="channel_binding = true\n")


class OwnClient(ScramTest):
    def flag(self, mechanism, sock):
        return end_point(sock) if mechanism.endswith("PLUS") else b"n"

    def imap(self, mechanism, password=PASSWORD, login="me", flag=None, authzid=b""):
        c = imaplib.IMAP4_SSL("127.0.0.1", self.node.port("imaps"), ssl_context=self.context())
        scram = Scram(login, password, flag or self.flag(mechanism, c.sock), authzid)
        try:
            c.authenticate(mechanism, scram.answer)
        finally:
            self.scram = scram
        c.noop()
        c.logout()
        return scram.done

    def context(self):
        return self.node.tls_context(False)

    def test_imap(self):
        for mechanism in BOTH:
            self.assertTrue(self.imap(mechanism))
        self.assertTrue(self.imap("SCRAM-SHA-256", login="me@home.test", authzid=b"me@home.test"))

    def test_smtp(self):
        for mechanism in BOTH:
            with smtplib.SMTP("127.0.0.1", self.node.port("submission")) as s:
                s.starttls(context=self.context())
                s.ehlo()
                self.assertEqual(s.esmtp_features["auth"].split()[:2], list(reversed(BOTH)))
                scram = Scram("me", PASSWORD, self.flag(mechanism, s.sock))
                code, answer = s.docmd("AUTH", mechanism + " " + base64.b64encode(scram.answer(b"")).decode())
                while code == 334:
                    code, answer = s.docmd(base64.b64encode(scram.answer(base64.b64decode(answer))).decode())
                self.assertEqual((code, scram.done), (235, True))

    def test_pop3(self):
        for mechanism in BOTH:
            p = poplib.POP3_SSL("127.0.0.1", self.node.port("pop3s"), context=self.context())
            scram = Scram("me", PASSWORD, self.flag(mechanism, p.sock))
            line = p._shortcmd("AUTH " + mechanism + " " + base64.b64encode(scram.answer(b"")).decode())
            while line.startswith(b"+ "):
                line = p._shortcmd(base64.b64encode(scram.answer(base64.b64decode(line[2:]))).decode())
            self.assertTrue(line.startswith(b"+OK") and scram.done, line)
            p.quit()

    def test_wrong_passwords_channels_and_downgrades(self):
        for arguments, word in [
            (dict(password="wrong"), b"e=invalid-proof"),
            (dict(login="nobody"), b"e=invalid-proof"),
            (dict(flag=b"y"), b"e=server-does-support-channel-binding"),
        ]:
            with self.assertRaises(Refused) as refused:
                self.imap("SCRAM-SHA-256", **arguments)
            self.assertEqual(refused.exception.args[0], word)
        for flag, word in [
            ((b"tls-server-end-point", bytes(32)), b"e=channel-bindings-dont-match"),
            ((b"tls-unique", bytes(12)), b"e=unsupported-channel-binding-type"),
        ]:
            with self.assertRaises(Refused) as refused:
                self.imap("SCRAM-SHA-256-PLUS", flag=flag)
            self.assertEqual(refused.exception.args[0], word)
        self.assertTrue(self.imap("SCRAM-SHA-256"))
        self.assertNotIn("wrong", self.node.log_text().split("login-refused")[0][-200:])

    def test_unknown_logins_look_like_known_ones(self):
        def salt(login):
            with self.assertRaises(Refused):
                self.imap("SCRAM-SHA-256", login=login, password="x" + login)
            return self.scram.salt, self.scram.rounds
        self.assertEqual(salt("nobody"), salt("nobody@home.test"))
        self.assertNotEqual(salt("nobody")[0], salt("somebody")[0])
        self.assertEqual(salt("me"), salt("me@home.test"))
        self.assertEqual(salt("me")[1], salt("nobody")[1])


class Gsasl(ScramTest):
    def test_imap(self):
        """Not SMTP: it gives STARTTLS without having said EHLO, and is refused."""
        for mechanism in BOTH:
            out = self.run_program(
                "gsasl", "--client", "--imap", "--connect", "localhost:%d" % self.node.port("imap"), "--starttls",
                "--x509-ca-file", "", "--mechanism", mechanism, "--authentication-id", "me", "--authorization-id", "",
                "--password", PASSWORD, "--hostname", "localhost", "--service", "imap",
                *(["--no-cb"] if mechanism == BOTH[0] else []), ok=(0, 1))
            self.assertIn("service=imap mechanism=%s " % mechanism, self.node.log_text(), out)


class Programs(NodeTest):
    options = ("--log-level", "info")

    def test_msmtp(self):
        for mechanism in ("scram-sha-256",):
            m = message(mechanism, sender="me@home.test")
            rc = self.path("rc", "\n".join([
                "account a", "host localhost", "port %d" % self.node.port("submissions"), "from me@home.test", "timeout 20",
                "tls on", "tls_starttls off", "tls_trust_file " + self.node.certificate, "auth " + mechanism, "user me",
                "passwordeval echo '%s'" % PASSWORD, "add_missing_date_header off", "account default : a", ""]))
            self.run_program("msmtp", "-C", rc, "me@home.test", stdin=lf(m))
            self.assertIn("mechanism=" + mechanism.upper() + " ", self.node.log_text())

    def test_mpop(self):
        self.node.deliver(message("scram-mpop"))
        box = self.path("box")
        rc = self.path("rc", "\n".join([
            "account a", "host localhost", "port %d" % self.node.port("pop3s"), "timeout 20", "tls on", "tls_starttls off",
            "tls_trust_file " + self.node.certificate, "auth scram-sha-256", "user me",
            "passwordeval echo '%s'" % PASSWORD, "delivery mbox " + box, "uidls_file " + self.path("uidls"), "account default : a", ""]))
        self.run_program("mpop", "-C", rc)
        self.assertIn("service=pop3 mechanism=SCRAM-SHA-256", self.node.log_text())

    def test_mbsync(self):
        self.node.deliver(message("scram-mbsync"))
        rc = self.path("rc", "\n".join([
            "IMAPAccount a", "Host localhost", "Port %d" % self.node.port("imaps"), "User me", 'Pass "%s"' % PASSWORD,
            "SSLType IMAPS", "CertificateFile " + self.node.certificate, "AuthMechs SCRAM-SHA-256", "", "IMAPStore far", "Account a",
            "", "MaildirStore near", "Path " + self.folder + "/", "Inbox " + self.folder + "/in", "", "Channel c", "Far :far:",
            "Near :near:", "Create Near", "SyncState *", ""]))
        self.run_program("mbsync", "-c", rc, "c")
        self.assertIn("service=imap mechanism=SCRAM-SHA-256 ", self.node.log_text())

    def test_a_device_with_the_old_password_locks_nobody_out(self):
        """Over and over by SCRAM, and then the owner on the same network."""
        rc = self.path("rc", "\n".join([
            "account a", "host localhost", "port %d" % self.node.port("submissions"), "from me@home.test", "timeout 60",
            "tls on", "tls_starttls off", "tls_trust_file " + self.node.certificate, "auth scram-sha-256", "user me",
            "passwordeval echo old", "account default : a", ""]))
        for _ in range(5):
            self.assertNotEqual(subprocess.run(["msmtp", "-C", rc, "me@home.test"], input=b"\r\n", capture_output=True).returncode, 0)
        c = self.node.imap()
        c.logout()
