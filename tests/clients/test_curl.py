"""curl: SMTP, IMAP and POP3, plain on loopback, STARTTLS and implicit TLS, certificate verified."""
from node import PASSWORD, NodeTest, message


class Curl(NodeTest):
    def curl(self, *options):
        return self.run_program("curl", "--silent", "--show-error", "--max-time", "20", "--cacert", self.node.certificate,
                                *options)

    def user(self):
        return ("--user", "me:" + PASSWORD)

    def send(self, url, *options, sender="me@home.test"):
        m = message("curl", sender=sender)
        self.curl(url, "--mail-from", sender, "--mail-rcpt", "me@home.test", "--upload-file", self.path("m", m), *options)
        self.assert_arrived(m)

    def test_smtp(self):
        self.send("smtp://localhost:%d/c.example" % self.node.port("smtp"), sender="alice@far.example")

    def test_smtp_starttls(self):
        self.send("smtp://localhost:%d/c.example" % self.node.port("smtp"), "--ssl-reqd", sender="alice@far.example")

    def test_submission(self):
        self.send("smtp://localhost:%d" % self.node.port("submission"), "--ssl-reqd", *self.user())

    def test_submissions(self):
        self.send("smtps://localhost:%d" % self.node.port("submissions"), *self.user())

    def fetch(self, scheme, service, *options):
        m = message("curl-" + service)
        self.node.deliver(m)
        uid = list(self.node.await_messages(1))[0]
        base = "%s://localhost:%d/" % (scheme, self.node.port(service))
        path = "INBOX;UID=%d" % uid if "imap" in scheme else "1"
        self.assert_same(m, self.curl(base + path, *self.user(), *options))
        listing = self.curl(base, *self.user(), *options)
        self.assertIn(b"INBOX" if "imap" in scheme else b"1 ", listing)

    def test_imap(self):
        self.fetch("imap", "imap")

    def test_imap_starttls(self):
        self.fetch("imap", "imap", "--ssl-reqd")

    def test_imaps(self):
        self.fetch("imaps", "imaps")

    def test_pop3(self):
        self.fetch("pop3", "pop3")

    def test_pop3_stls(self):
        self.fetch("pop3", "pop3", "--ssl-reqd")

    def test_pop3s(self):
        self.fetch("pop3s", "pop3s")

    def test_imap_search_and_append(self):
        m = message("curl-append")
        base = "imaps://localhost:%d/Drafts" % self.node.port("imaps")
        self.curl(base, *self.user(), "--upload-file", self.path("m", m))
        self.assertIn(b"* SEARCH 1", self.curl(base + "?SUBJECT%20curl-append", *self.user()))
        found = self.node.messages("Drafts")
        self.assertEqual([got for _, got in found.values()], [m])
