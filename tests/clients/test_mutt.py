"""mutt and neomutt in a terminal of their own: read by IMAP and POP3, flag, copy, send by SMTP, in each TLS mode."""
import os
import pty
import select
import time

from node import PASSWORD, NodeTest, message


class Mutts(NodeTest):
    def mutt(self, program, settings, keys, folder, seconds=30, options=()):
        """Runs the program on a pseudo terminal with the keys pushed at its start; fails when it does not end."""
        rc = self.path("rc", "\n".join([
            "set realname='Me'", "set from='me@home.test'", "set confirmappend=no", "set confirmcreate=no", "set delete=yes",
            "set quit=yes", "set move=no", "set beep=no", "set imap_user='me'", "set imap_pass='%s'" % PASSWORD,
            "set pop_user='me'", "set pop_pass='%s'" % PASSWORD, "set certificate_file='%s'" % self.node.certificate,
            "set copy=no", "set folder='%s'" % self.folder,
            "set mark_old=no", "set header_cache=''", "set wait_key=no", "set pop_delete=no", "set pop_last=no",
            *settings, ""]))
        child, terminal = pty.fork()
        if child == 0:
            os.environ.update(HOME=self.folder, TERM="xterm", LC_ALL="C.UTF-8")
            os.execvp(program, [program, "-n", "-F", rc, *options, "-f", folder, "-e", 'push "%s"' % keys])
        screen, limit = b"", time.monotonic() + seconds
        while time.monotonic() < limit:
            ready, _, _ = select.select([terminal], [], [], 0.2)
            if ready:
                try:
                    got = os.read(terminal, 65536)
                except OSError:
                    break
                if not got:
                    break
                screen += got
        else:
            os.kill(child, 9)
            os.waitpid(child, 0)
            self.fail("%s did not end; its screen:\n%s" % (program, screen[-4000:].decode(errors="replace")))
        os.close(terminal)
        _, status = os.waitpid(child, 0)
        self.screen = screen[-4000:].decode(errors="replace")
        self.assertEqual(status, 0, self.screen)

    def read(self, program, url, *settings):
        m = message("mutt")
        self.node.deliver(m)
        out = self.path("out.mbox")
        self.mutt(program, settings, "<flag-message><copy-message><kill-line>%s<enter><quit>" % out, url)
        self.assertTrue(os.path.exists(out), "nothing was copied; its screen:\n" + self.screen)
        with open(out, "rb") as f:
            got = f.read()
        # an mbox: a line of its own before the message, an empty one after it
        got = got.split(b"\n", 1)[1]
        self.assert_same(m, got[:-1] if got.endswith(b"\n\n") else got)
        return self.node.messages()

    def imap(self, program, scheme, service, *settings):
        found = self.read(program, "%s://localhost:%d/INBOX" % (scheme, self.node.port(service)), *settings)
        self.assertEqual(len(found), 1)
        self.assertIn(b"\\Flagged", list(found.values())[0][0])

    def test_mutt_imap(self):
        self.imap("mutt", "imap", "imap", "set ssl_starttls=no", "set ssl_force_tls=no")

    def test_mutt_imap_starttls(self):
        self.imap("mutt", "imap", "imap", "set ssl_starttls=yes", "set ssl_force_tls=yes")

    def test_mutt_imaps(self):
        self.imap("mutt", "imaps", "imaps")

    def test_neomutt_imap(self):
        self.imap("neomutt", "imap", "imap", "set ssl_starttls=no", "set ssl_force_tls=no")

    def test_neomutt_imap_starttls(self):
        self.imap("neomutt", "imap", "imap", "set ssl_starttls=yes", "set ssl_force_tls=yes")

    def test_neomutt_imaps(self):
        self.imap("neomutt", "imaps", "imaps")

    def test_neomutt_comes_back_by_qresync(self):
        """It leaves, others flag, expunge and add; it comes back with QRESYNC and deletes what it sees flagged."""
        for name in ("one", "two", "three"):
            self.node.deliver(message(name))
        url = "imaps://localhost:%d/INBOX" % self.node.port("imaps")
        cache = os.path.join(self.folder, "cache")
        os.mkdir(cache)
        settings = ["set header_cache='%s'" % cache, "set imap_condstore=yes", "set imap_qresync=yes"]
        self.mutt("neomutt", settings, "<quit>", url)
        c = self.node.imap()
        c.select("INBOX")
        _, uids = c.uid("SEARCH", "ALL")
        first, second, third = [int(uid) for uid in uids[0].split()]
        c.uid("STORE", str(first), "+FLAGS", "(\\Flagged)")
        c.uid("STORE", str(second), "+FLAGS", "(\\Deleted)")
        c.expunge()
        c.logout()
        self.node.deliver(message("four"))
        trace = self.path("trace")
        self.mutt("neomutt", settings, "<delete-pattern>~F<enter><tag-pattern>~N<enter><quit>", url, options=["-d", "2", "-l", trace])
        with open(trace + "0", errors="replace") as f:
            heard = f.read()
        # NeoMutt asks for what it has missed by UID FETCH, not in SELECT (RFC 7162 section 3.2.6)
        self.assertRegex(heard, r"a\d+ ENABLE QRESYNC")
        self.assertRegex(heard, r"> a\d+ UID FETCH 1:%d \(FLAGS\) \(CHANGEDSINCE \d+ VANISHED\)" % third)
        self.assertRegex(heard, r"cmd_parse_vanished\(\) Handling VANISHED")
        self.assertIn("Expunging message UID %d" % second, heard)
        self.assertEqual(sorted(self.node.messages()), [third, third + 1], self.screen)
        self.mutt("neomutt", settings, "<delete-pattern>~A<enter><quit>", url)
        self.assertEqual(self.node.messages(), {})

    def test_mutt_pop3_stls(self):
        self.read("mutt", "pop://localhost:%d/" % self.node.port("pop3"), "set ssl_starttls=yes", "set ssl_force_tls=yes")

    def test_mutt_pop3s(self):
        self.read("mutt", "pops://localhost:%d/" % self.node.port("pop3s"))

    def send(self, program, url, *settings):
        rc = self.path("rc", "\n".join([
            "set from='me@home.test'", "set realname='Me'", "set smtp_url='%s'" % url, "set smtp_pass='%s'" % PASSWORD,
            "set certificate_file='%s'" % self.node.certificate, "set copy=no", "set use_from=yes", "set hostname=home.test",
            "my_hdr X-Test-Id: sent", *settings, ""]))
        attachment = self.path("a.txt", "attached\n")
        self.run_program(program, "-n", "-F", rc, "-s", "Grüße", "-a", attachment, "--", "me@home.test",
                         stdin="Hallo Haus\n.\nEnde\n".encode(), environment={"LC_ALL": "C.UTF-8", "TERM": "xterm"})
        found = self.node.await_messages(1)
        self.assertEqual(len(found), 1)
        got = list(found.values())[0][1]
        self.assertIn(b"\r\nHallo Haus\r\n.\r\nEnde\r\n", got)
        self.assertIn(b"a.txt", got)

    def test_mutt_submission(self):
        self.send("mutt", "smtp://me@localhost:%d/" % self.node.port("submission"), "set ssl_force_tls=yes")

    def test_mutt_submissions(self):
        self.send("mutt", "smtps://me@localhost:%d/" % self.node.port("submissions"))

    def test_neomutt_submission(self):
        self.send("neomutt", "smtp://me@localhost:%d/" % self.node.port("submission"), "set ssl_force_tls=yes")

    def test_neomutt_submissions(self):
        self.send("neomutt", "smtps://me@localhost:%d/" % self.node.port("submissions"))
