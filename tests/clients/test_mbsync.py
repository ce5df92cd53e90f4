"""mbsync: a mailbox both ways in all three TLS modes."""
import imaplib
import os

from node import PASSWORD, NodeTest, lf, message


class Mbsync(NodeTest):
    def sync(self, service, ssl_type, name="mail", seconds=60):
        port = self.node.port(service)
        maildir = os.path.join(self.folder, name)
        os.makedirs(maildir, exist_ok=True)
        # What mbsync flushes for each message is no matter here, and takes most of the time.
        rc = self.path("rc", """
FSync no

IMAPAccount a
Host localhost
Port %d
User me
Pass "%s"
SSLType %s
CertificateFile %s
AuthMechs *

IMAPStore far
Account a

MaildirStore near
Path %s/
Inbox %s/INBOX
SubFolders Verbatim

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
""" % (port, PASSWORD, ssl_type, self.node.certificate, maildir, maildir))
        self.run_program("mbsync", "-c", rc, "-a", "-V", seconds=seconds)
        return os.path.join(maildir, "INBOX")

    def files(self, inbox):
        return sorted(os.path.join(inbox, d, f) for d in ("cur", "new") for f in os.listdir(os.path.join(inbox, d)))

    def both_ways(self, service, ssl_type):
        first, second = message("down"), message("up", sender="me@home.test")
        self.node.deliver(first)
        inbox = self.sync(service, ssl_type)
        names = self.files(inbox)
        self.assertEqual(len(names), 1)
        with open(names[0], "rb") as f:
            # mbsync marks what it stores with a header of its own
            self.assert_same(first, f.read())
        # a flag here and a new message here reach the node
        os.rename(names[0], os.path.join(inbox, "cur", os.path.basename(names[0]).split(":")[0] + ":2,FS"))
        with open(os.path.join(inbox, "new", "1.1.here"), "wb") as f:
            f.write(lf(second))
        self.sync(service, ssl_type)
        found = self.node.messages()
        self.assertEqual(len(found), 2)
        (flags, _), (_, up) = [found[uid] for uid in sorted(found)]
        self.assertEqual({f for f in flags if f in (b"\\Flagged", b"\\Seen")}, {b"\\Flagged", b"\\Seen"})
        self.assert_same(second, up)
        # a flag and a deletion there reach here
        c = self.node.imap()
        c.select("INBOX")
        c.uid("STORE", str(min(found)), "-FLAGS", "(\\Flagged)")
        c.uid("STORE", str(max(found)), "+FLAGS", "(\\Deleted)")
        c.expunge()
        c.logout()
        self.sync(service, ssl_type)
        names = self.files(inbox)
        self.assertEqual(len(names), 1)
        self.assertTrue(names[0].endswith(",S"), names)
        # a deletion here reaches there
        os.remove(names[0])
        self.sync(service, ssl_type)
        self.assertEqual(self.node.messages(), {})

    def test_plain(self):
        self.both_ways("imap", "None")

    def test_starttls(self):
        self.both_ways("imap", "STARTTLS")

    def test_imaps(self):
        self.both_ways("imaps", "IMAPS")

    def up(self, inbox, name, flags=""):
        with open(os.path.join(inbox, "cur" if flags else "new", name + (":2," + flags if flags else "")), "wb") as f:
            f.write(lf(message(name, sender="me@home.test")))

    def on_node(self):
        """{uid: flags} of everything in INBOX."""
        c = self.node.imap()
        c.select("INBOX", readonly=True)
        _, lines = c.uid("FETCH", "1:*", "(FLAGS)")
        c.logout()
        return {int(line.split(b"UID ")[1].split()[0].rstrip(b")")): set(imaplib.ParseFlags(line)) for line in lines if line}

    def test_ten_thousand_both_ways(self):
        """10,240 messages down to two places; then changes on all three sides, told by little."""
        c = self.node.imap()
        for at in range(10):
            c.append("INBOX", None, None, message("many%d" % at))
        c.select("INBOX")
        for _ in range(10):
            c.copy("1:*", "INBOX")
        c.logout()
        count = 10_240
        here, there = [self.sync("imaps", "IMAPS", name, 170) for name in ("one", "other")]
        self.assertEqual([len(self.files(inbox)) for inbox in (here, there)], [count, count])
        # 50 go here, 100 get a flag there, 25 come on each side, 30 get a flag on the node and 20 are expunged there
        for path in self.files(here)[:50]:
            os.remove(path)
        for path in self.files(there)[-100:]:
            os.rename(path, os.path.join(there, "cur", os.path.basename(path).split(":")[0] + ":2,F"))
        for at in range(25):
            self.up(here, "2.%05d.here" % at, "S")
            self.up(there, "2.%05d.there" % at)
        c = self.node.imap()
        c.select("INBOX")
        c.uid("STORE", "5001:5030", "+FLAGS.SILENT", "(\\Answered)")
        c.uid("STORE", "6001:6020", "+FLAGS.SILENT", "(\\Deleted)")
        c.expunge()
        c.logout()
        for _ in range(2):
            self.sync("imaps", "IMAPS", "one")
            self.sync("imaps", "IMAPS", "other")
        found = self.on_node()
        self.assertEqual(len(found), count - 50 - 20 + 50)
        of = lambda flag: sum(flag in flags for flags in found.values())
        self.assertEqual((of(b"\\Flagged"), of(b"\\Answered"), of(b"\\Deleted")), (100, 30, 0))
        for inbox in (here, there):
            names = self.files(inbox)
            self.assertEqual(len(names), len(found))
            marks = [name.rsplit(":2,", 1)[1] if ":2," in name else "" for name in names]
            self.assertEqual((sum("F" in m for m in marks), sum("R" in m for m in marks)), (100, 30))
