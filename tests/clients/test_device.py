"""hauspost device as its owner uses it: a password for a phone, by every way of logging in, with fewer rights, taken away while the
phone idles, and all of that where no server runs."""
import imaplib
import json
import poplib
import smtplib

from node import PASSWORD, Node, NodeTest, message
from scram import Refused, Scram

# imaplib knows no ID, and refuses what it does not know once it has logged in.
imaplib.Commands["ID"] = ("NONAUTH", "AUTH", "SELECTED")


class Devices(NodeTest):
    def imap(self, login, password):
        c = imaplib.IMAP4("127.0.0.1", self.node.port("imap"))
        c.login(login, password)
        return c

    def scram(self, login, password):
        c = imaplib.IMAP4("127.0.0.1", self.node.port("imap"))
        scram = Scram(login, password, b"n")
        c.authenticate("SCRAM-SHA-256", scram.answer)
        self.assertTrue(scram.done)
        return c

    def test_every_way_in(self):
        password = self.add_device("phone")
        for login in ("me", "me@home.test", "me+phone", "ME+Phone@home.test"):
            self.imap(login, password).logout()
            self.scram(login, password).logout()
        self.scram("me", PASSWORD).logout()
        for login, wrong in (("me+phone", PASSWORD), ("me+other", password)):
            with self.assertRaises((Refused, imaplib.IMAP4.error)):
                self.scram(login, wrong)
        with smtplib.SMTP("127.0.0.1", self.node.port("submission")) as s:
            s.login("me", password)
        p = poplib.POP3("127.0.0.1", self.node.port("pop3"))
        p.user("me+phone")
        p.pass_(password)
        p.quit()
        [one] = json.loads(self.device("list", "--json"))
        self.assertEqual((one["name"], one["login"].split("@")[0], one["rights"], one["sends"]),
                         ("phone", "me+phone", "lrswipkxte", True))
        self.assertEqual((one["network"], one["at_home"], one["program"]), ("127.0.0.0/24", True, None))
        self.assertIsNotNone(one["used"])

    def test_what_it_is_and_when_it_was_here(self):
        """Of the program that a device is what it says itself, before its login or after it; known after a restart too."""
        password = self.add_device("phone")
        self.assertIn("used     not yet", self.device("list"))
        c = imaplib.IMAP4("127.0.0.1", self.node.port("imap"))
        c.xatom("ID", '("name" "Some Mail\t1" "version" "2.0" "os" "x")')
        c.login("me", password)
        c.logout()
        [one] = json.loads(self.device("list", "--json"))
        self.assertEqual(one["program"], "Some Mail1 2.0")
        self.imap("me", password).logout()
        text = self.device("list")
        self.assertIn("at home (127.0.0.0/24)\n    program  Some Mail1 2.0\n", text)
        other = self.imap("me", password)
        other.xatom("ID", '("name" "New Mail")')
        other.logout()
        self.node.stop()
        try:
            # The node has ended in good order.
            [one] = json.loads(self.device("list", "--json"))
            self.assertEqual((one["program"], one["at_home"]), ("New Mail", True))
        finally:
            self.node.start()
        [again] = json.loads(self.device("list", "--json"))
        self.assertEqual(again, one)

    def test_reading_only(self):
        self.node.deliver(message())
        password = self.add_device("tablet", "--rights", "read", "--mailbox", "INBOX")
        c = self.imap("me", password)
        self.assertEqual(c.list()[1], [b'(\\HasNoChildren) "/" INBOX'])
        with self.assertRaises(imaplib.IMAP4.readonly):
            c.select("INBOX")
        c = self.imap("me", password)
        for refused in (c.create("New"), c.delete("INBOX"), c.append("INBOX", None, None, message()), c.subscribe("INBOX")):
            self.assertEqual(refused[0], "NO", refused)
            self.assertIn(b"[NOPERM]", refused[1][0])
        self.assertEqual(c.myrights("INBOX")[1], [b"INBOX lr"])
        with smtplib.SMTP("127.0.0.1", self.node.port("submission")) as s, self.assertRaises(
                smtplib.SMTPAuthenticationError) as caught:
            s.login("me", password)
        self.assertEqual(caught.exception.smtp_code, 535)
        self.device("rights", "tablet", "--rights", "all")
        self.assertEqual(c.myrights("Sent")[1], [b"Sent lrswipkxtecd"])

    def test_removed_while_it_idles(self):
        password = self.add_device("phone")
        c = self.imap("me", password)
        c.select("INBOX")
        c.send(b"x1 IDLE\r\n")
        self.assertTrue(c.readline().startswith(b"+"))
        self.device("remove", "phone")
        self.assertTrue(c.readline().startswith(b"* BYE"))
        self.assertEqual(c.readline(), b"")
        with self.assertRaises(imaplib.IMAP4.error):
            self.imap("me", password)
        self.device("remove", "phone", exit=1)
        self.device("add", "phone")

    def test_mistakes(self):
        self.add_device("phone")
        self.assertIn("already", self.device("add", "PHONE", exit=1))
        self.assertIn("no mailbox", self.device("add", "other", "--mailbox", "Nowhere", exit=1))
        self.assertIn("no device", self.device("rights", "other", "--rights", "read", exit=1))
        self.device("add", "a b", exit=64)
        self.device("add", "other", "--rights", "everything", exit=64)
        self.device("add", "other", "--rights", "send", "--mailbox", "INBOX", exit=64)


class Alone(NodeTest):
    """Where no server runs, the store itself is changed."""

    device = Devices.device

    def test_alone(self):
        self.node.stop()
        text = self.device("add", "phone", "--rights", "read,send")
        password = text.split("password  ")[1].split("\n")[0]
        self.assertIn("read all mailboxes; send", self.device("list"))
        Node.start(self.node)
        c = imaplib.IMAP4("127.0.0.1", self.node.port("imap"))
        c.login("me", password)
        self.assertEqual(c.myrights("INBOX")[1], [b"INBOX lr"])
        self.assertEqual(c.logout()[0], "BYE")
