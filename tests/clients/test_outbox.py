"""What waits to be sent, in Outbox: imaplib takes it back, mbsync deletes it, and it is not sent."""
import os
import smtplib
import time

from node import PASSWORD, NodeTest, ServedNode, message


class Outbox(NodeTest):
    @classmethod
    def setUpClass(cls):
        cls.node = ServedNode(top='undo_send = "1h"\nplaintext_login_on_loopback = true\n')

    def setUp(self):
        super().setUp()
        for mailbox in ("Outbox", "Drafts", "Sent"):
            c = self.node.imap()
            c.select(mailbox)
            c.store("1:*", "+FLAGS.SILENT", "\\Deleted")
            c.expunge()
            c.logout()

    def submit(self, name, recipient="bob@far.example"):
        m = message(name, sender="me@home.test")
        with smtplib.SMTP("127.0.0.1", self.node.port("submission")) as s:
            s.login("me", PASSWORD)
            s.sendmail("me@home.test", [recipient], m)
        return m

    def only(self, mailbox):
        found = self.node.messages(mailbox)
        self.assertEqual(len(found), 1, (mailbox, self.node.log_text()[-2000:]))
        return next((uid, flags, got) for uid, (flags, got) in found.items())

    def test_imaplib_takes_it_back(self):
        c = self.node.imap()
        self.assertTrue(any(b"Outbox" in line for line in c.list()[1]))
        self.assertEqual(c.append("Outbox", None, None, b"x: y\r\n\r\n")[0], "NO")
        sent = self.submit("taken back")
        uid, flags, shown = self.only("Outbox")
        self.assertEqual(flags, {b"\\Seen"})
        self.assertTrue(shown.startswith(b"Hauspost-Status: waiting; is sent "), shown[:100])
        self.assert_same(sent, shown)
        _, _, copy = self.only("Sent")
        head = len(shown) - len(copy)
        c.select("Outbox")
        for first, count in ((0, head), (head - 3, 6), (head, 50), (head + 10, len(copy))):
            data = c.uid("FETCH", str(uid), "(BODY.PEEK[]<%d.%d>)" % (first, count))[1]
            self.assertEqual(data[0][1], shown[first:first + count])
        self.assertEqual(c.search(None, "TEXT", '"waiting; is sent"')[1], [b"1"])
        self.assertEqual(c.uid("MOVE", str(uid), "Drafts")[0], "OK")
        c.logout()
        self.assertEqual(self.node.messages("Outbox"), {})
        self.assertEqual(self.node.messages("Sent"), {})
        _, flags, back = self.only("Drafts")
        self.assertEqual((flags, back), ({b"\\Seen", b"\\Draft"}, copy))

    def test_mbsync_deletes_it(self):
        self.submit("deleted", "me@home.test")
        maildir = self.path("mail/")
        os.makedirs(maildir)
        rc = self.path("rc", """
IMAPAccount a
Host localhost
Port %d
User me
Pass "%s"
SSLType None
AuthMechs *

IMAPStore far
Account a

MaildirStore near
Path %s
Inbox %sINBOX

Channel c
Far :far:
Near :near:
Patterns Outbox
Create Near
Expunge Both
SyncState *
""" % (self.node.port("imap"), PASSWORD, maildir, maildir))
        self.run_program("mbsync", "-c", rc, "-a")
        here = os.path.join(maildir, "Outbox", "cur")
        [name] = os.listdir(here)
        os.rename(os.path.join(here, name), os.path.join(here, name + "T"))
        self.run_program("mbsync", "-c", rc, "-a")
        self.assertEqual(self.node.messages("Outbox"), {})
        self.assertEqual(self.node.messages("Sent"), {})
        time.sleep(0.1)
        self.assertEqual(self.node.messages("INBOX"), {})
        self.run_program("mbsync", "-c", rc, "-a")
        self.assertEqual(os.listdir(here), [])
