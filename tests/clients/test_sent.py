"""One copy of what is sent, whoever files it first: sequences of Thunderbird and K-9, and mutt with $record."""
import smtplib
import threading

from node import PASSWORD, NodeTest, message, split


class Sent(NodeTest):
    def setUp(self):
        super().setUp()
        c = self.node.imap()
        c.select("Sent")
        c.store("1:*", "+FLAGS.SILENT", "\\Deleted")
        c.expunge()
        c.logout()

    def submit(self, m):
        with smtplib.SMTP("127.0.0.1", self.node.port("submission")) as s:
            s.login("me", PASSWORD)
            s.sendmail("me@home.test", ["me@home.test"], m)

    def file(self, m, flags="(\\Seen)"):
        c = self.node.imap()
        status, answer = c.append("Sent", flags, None, m)
        c.logout()
        self.assertEqual(status, "OK", answer)
        return int(answer[0].split(b"APPENDUID ")[1].split(b"]")[0].split()[1])

    def only_copy(self):
        found = self.node.messages("Sent")
        self.assertEqual(len(found), 1, self.node.log_text()[-2000:])
        return next((uid, flags, got) for uid, (flags, got) in found.items())

    def test_sent_then_filed(self):
        m = message("thunderbird", sender="me@home.test")
        self.submit(m)
        uid = self.file(m, "(\\Seen $Label1)")
        found, flags, got = self.only_copy()
        self.assertEqual(found, uid)
        self.assertLessEqual({b"\\Seen", b"$Label1"}, flags)
        self.assert_same(m, got)

    def test_filed_with_bcc(self):
        m = message("bcc", sender="me@home.test")
        self.submit(m)
        uid = self.file(b"Bcc: eve@far.example\r\n" + m)
        found, _, got = self.only_copy()
        self.assertEqual(found, uid)
        self.assertTrue(got.startswith(b"Bcc: eve"))

    def test_filed_then_sent(self):
        m = message("k9", sender="me@home.test")
        uid = self.file(b"Bcc: eve@far.example\r\n" + m)
        self.submit(m)
        found, _, got = self.only_copy()
        self.assertEqual((found, got), (uid, b"Bcc: eve@far.example\r\n" + m))

    def test_both_at_the_same_moment(self):
        for n in range(10):
            self.setUp()
            m = message("race%d" % n, sender="me@home.test")
            both = [threading.Thread(target=self.submit, args=(m,)), threading.Thread(target=self.file, args=(m,))]
            for thread in both:
                thread.start()
            for thread in both:
                thread.join()
            self.only_copy()

    def test_mutt_with_record(self):
        for program in ("mutt", "neomutt"):
            self.setUp()
            rc = self.path("rc", "\n".join([
                "set from='me@home.test'", "set realname='Me'", "set use_from=yes", "set hostname=home.test", "set copy=yes",
                "set certificate_file='%s'" % self.node.certificate, "my_hdr X-Test-Id: " + program,
                "set smtp_url='smtps://me@localhost:%d/'" % self.node.port("submissions"), "set smtp_pass='%s'" % PASSWORD,
                "set imap_user='me'", "set imap_pass='%s'" % PASSWORD,
                "set record='imaps://me@localhost:%d/Sent'" % self.node.port("imaps"), ""]))
            out = self.run_program(program, "-n", "-F", rc, "-s", "Tea", "-b", "me+hidden@home.test", "--", "me@home.test",
                                   stdin=b"With pleasure.\n", environment={"LC_ALL": "C.UTF-8", "TERM": "xterm"})
            self.assertNotIn(b"rror", out)
            _, flags, got = self.only_copy()
            self.assertIn(b"\\Seen", flags)
            self.assertEqual(split(got)[1].strip(), b"With pleasure.")
