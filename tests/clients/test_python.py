"""Python's smtplib, imaplib and poplib, plain on loopback, STARTTLS and implicit TLS."""
import imaplib
import poplib
import smtplib

from node import PASSWORD, NodeTest, message


class Smtplib(NodeTest):
    def test_mx(self):
        m = message("mx")
        self.node.deliver(m)
        self.assert_arrived(m)

    def test_mx_starttls(self):
        m = message("mx-starttls")
        with smtplib.SMTP("localhost", self.node.port("smtp")) as s:
            s.starttls(context=self.node.tls_context())
            s.sendmail("alice@far.example", ["me@home.test"], m)
        got = self.assert_arrived(m)
        self.assertIn(b"ESMTPS", list(got.values())[0][1])

    def test_submission_starttls(self):
        m = message("587", sender="me@home.test")
        with smtplib.SMTP("localhost", self.node.port("submission")) as s:
            s.starttls(context=self.node.tls_context())
            s.login("me@home.test", PASSWORD)
            s.sendmail("me@home.test", ["me@home.test"], m)
        self.assert_arrived(m)

    def test_submissions(self):
        m = message("465", sender="me@home.test")
        with smtplib.SMTP_SSL("localhost", self.node.port("submissions"), context=self.node.tls_context()) as s:
            s.login("me", PASSWORD)
            s.sendmail("me@home.test", ["me@home.test"], m)
        self.assert_arrived(m)

    def test_never_an_open_relay(self):
        with smtplib.SMTP("localhost", self.node.port("smtp")) as s:
            s.helo("client.example.org")
            s.mail("alice@far.example")
            code, text = s.rcpt("bob@elsewhere.example")
            self.assertEqual(code, 550, text)
            code, text = s.rcpt("nobody@home.test")
            self.assertEqual((code, text[:5]), (550, b"5.1.1"))
        with smtplib.SMTP("localhost", self.node.port("submission")) as s:
            s.ehlo()
            code, text = s.mail("me@home.test")
            self.assertEqual(code, 530, text)


class Imaplib(NodeTest):
    def walk(self, c):
        m = message("imap")
        c.login("me", PASSWORD)
        c.create("Work")
        self.assertEqual(c.append("Work", "(\\Flagged)", None, m)[0], "OK")
        self.assertEqual(c.select("Work"), ("OK", [b"1"]))
        _, data = c.fetch("1", "(FLAGS BODY[])")
        self.assertEqual(data[0][1], m)
        self.assertEqual(c.search(None, "SUBJECT", '"test imap"'), ("OK", [b"1"]))
        c.copy("1", "Archive")
        c.store("1", "+FLAGS", "\\Deleted")
        self.assertEqual(c.expunge(), ("OK", [b"1"]))
        self.assertEqual(c.select("Archive")[1], [b"1"])
        c.store("1", "+FLAGS", "\\Deleted")
        c.expunge()
        c.close()
        self.assertEqual(c.delete("Work")[0], "OK")
        c.logout()

    def test_plain(self):
        self.walk(imaplib.IMAP4("localhost", self.node.port("imap")))

    def test_starttls(self):
        c = imaplib.IMAP4("localhost", self.node.port("imap"))
        c.starttls(self.node.tls_context())
        self.walk(c)

    def test_imaps(self):
        self.walk(imaplib.IMAP4_SSL("localhost", self.node.port("imaps"), ssl_context=self.node.tls_context()))

    def test_authenticate_plain(self):
        c = imaplib.IMAP4_SSL("localhost", self.node.port("imaps"), ssl_context=self.node.tls_context())
        c.authenticate("PLAIN", lambda _: b"\0me\0" + PASSWORD.encode())
        self.assertEqual(c.state, "AUTH")
        c.logout()

    def test_wrong_password(self):
        c = imaplib.IMAP4("localhost", self.node.port("imap"))
        with self.assertRaises(imaplib.IMAP4.error):
            c.login("me", "wrong")
        c.logout()


class Poplib(NodeTest):
    def walk(self, c):
        m = message("pop")
        self.node.deliver(m)
        c.user("me")
        c.pass_(PASSWORD)
        count, octets = c.stat()
        self.assertEqual(count, 1)
        _, lines, _ = c.retr(1)
        self.assert_same(m, b"\r\n".join(lines) + b"\r\n")
        self.assertEqual(octets, len(b"\r\n".join(lines)) + 2)
        self.assertEqual(len(c.uidl()[1]), 1)
        c.dele(1)
        c.quit()
        self.assertEqual(self.node.messages(), {})

    def test_plain(self):
        self.walk(poplib.POP3("localhost", self.node.port("pop3")))

    def test_stls(self):
        c = poplib.POP3("localhost", self.node.port("pop3"))
        c.stls(self.node.tls_context())
        self.walk(c)

    def test_pop3s(self):
        self.walk(poplib.POP3_SSL("localhost", self.node.port("pop3s"), context=self.node.tls_context()))

    def test_lost_connection_deletes_nothing(self):
        self.node.deliver(message("lost"))
        c = poplib.POP3("localhost", self.node.port("pop3"))
        c.user("me")
        c.pass_(PASSWORD)
        c.dele(1)
        c.close()
        self.assertEqual(len(self.node.messages()), 1)
