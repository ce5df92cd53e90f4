"""mbsync: a mailbox both ways in all three TLS modes."""
import os

from node import PASSWORD, NodeTest, lf, message


class Mbsync(NodeTest):
    def sync(self, service, ssl_type):
        port = self.node.port(service)
        maildir = os.path.join(self.folder, "mail")
        os.makedirs(maildir, exist_ok=True)
        rc = self.path("rc", """
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
        self.run_program("mbsync", "-c", rc, "-a", "-V")
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

    def test_thousand(self):
        c = self.node.imap()
        m = message("many")
        for _ in range(1000):
            c.append("INBOX", None, None, m)
        c.logout()
        inbox = self.sync("imaps", "IMAPS")
        self.assertEqual(len(self.files(inbox)), 1000)
