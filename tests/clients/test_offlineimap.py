"""offlineimap: a mailbox down, changed on both sides, and back."""
import os

from node import PASSWORD, NodeTest, lf, message


class Offlineimap(NodeTest):
    def sync(self):
        rc = self.path("rc", """
[general]
accounts = a
metadata = %(folder)s/metadata
ui = Basic

[Account a]
localrepository = near
remoterepository = far

[Repository near]
type = Maildir
localfolders = %(folder)s/mail

[Repository far]
type = IMAP
remotehost = localhost
remoteport = %(port)d
remoteuser = me
remotepass = %(password)s
ssl = yes
sslcacertfile = %(certificate)s
folderfilter = lambda name: name in ["INBOX", "Archive"]
""" % {"folder": self.folder, "port": self.node.port("imaps"), "password": PASSWORD, "certificate": self.node.certificate})
        self.run_program("offlineimap", "-c", rc, "-o", "-1")
        return os.path.join(self.folder, "mail", "INBOX")

    def files(self, inbox):
        return sorted(os.path.join(inbox, d, f) for d in ("cur", "new") for f in os.listdir(os.path.join(inbox, d)))

    def test_both_ways(self):
        first, second, third = message("first"), message("second"), message("third", sender="me@home.test")
        self.node.deliver(first)
        self.node.deliver(second)
        inbox = self.sync()
        names = self.files(inbox)
        self.assertEqual(len(names), 2)
        bodies = []
        for name in names:
            with open(name, "rb") as f:
                bodies.append(f.read())
        self.assert_same(first, next(body for body in bodies if b"first" in body))
        # a flag and a new message here, an expunge there
        keep = names[[b"first" in body for body in bodies].index(True)]
        os.rename(keep, os.path.join(inbox, "cur", os.path.basename(keep).split(":")[0] + ":2,FS"))
        with open(os.path.join(inbox, "new", "1.1.here"), "wb") as f:
            f.write(lf(third))
        c = self.node.imap()
        c.select("INBOX")
        _, uids = c.uid("SEARCH", "HEADER", "X-Test-Id", "second")
        c.uid("STORE", uids[0].decode(), "+FLAGS", "(\\Deleted)")
        c.expunge()
        c.logout()
        self.sync()
        found = self.node.messages()
        self.assertEqual(len(found), 2)
        (flags, _), (_, up) = [found[uid] for uid in sorted(found)]
        self.assertTrue({b"\\Flagged", b"\\Seen"} <= flags, flags)
        self.assertIn(b"X-Test-Id: third", up)
        self.assertEqual(len(self.files(inbox)), 2)
