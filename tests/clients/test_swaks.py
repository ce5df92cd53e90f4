"""swaks: MX plain and STARTTLS, submission by STARTTLS and implicit TLS, every login mechanism it has with us."""
from node import PASSWORD, NodeTest, lf, message


class Swaks(NodeTest):
    def test_mx(self):
        m = message("swaks")
        self.run_program("swaks", "--server", "localhost", "--port", str(self.node.port("smtp")), "--from",
                         "alice@far.example", "--to", "me@home.test", "--data", "@" + self.path("m", lf(m)))
        self.assert_arrived_swaks(m)

    def assert_arrived_swaks(self, m):
        """swaks ends a message file with one more line end."""
        found = self.node.await_messages(1)
        self.assertEqual(len(found), 1, self.node.log_text()[-3000:])
        got = list(found.values())[0][1]
        if got.endswith(b"\r\n\r\n") and not m.endswith(b"\r\n\r\n"):
            got = got[:-2]
        self.assert_same(m, got)

    def submit(self, service, *options):
        m = message("swaks", sender="me@home.test")
        self.run_program("swaks", "--server", "localhost", "--port", str(self.node.port(service)), "--from",
                         "me@home.test", "--to", "me@home.test", "--data", "@" + self.path("m", lf(m)),
                         "--auth-user", "me@home.test", "--auth-password", PASSWORD, *options)
        self.assert_arrived_swaks(m)

    def test_mx_starttls(self):
        m = message("swaks")
        self.run_program("swaks", "--server", "localhost", "--port", str(self.node.port("smtp")), "--tls", "--from",
                         "alice@far.example", "--to", "me@home.test", "--data", "@" + self.path("m", lf(m)))
        self.assert_arrived_swaks(m)

    def test_submission_starttls_plain(self):
        self.submit("submission", "--tls", "--auth", "PLAIN")

    def test_submission_starttls_login(self):
        self.submit("submission", "--tls", "--auth", "LOGIN")

    def test_submissions_plain(self):
        self.submit("submissions", "--tls-on-connect", "--auth", "PLAIN")

    def test_submissions_login(self):
        self.submit("submissions", "--tls-on-connect", "--auth", "LOGIN")

    def test_pipelined(self):
        m = message("swaks")
        self.run_program("swaks", "--server", "localhost", "--port", str(self.node.port("smtp")), "--pipeline", "--from",
                         "alice@far.example", "--to", "me@home.test", "--data", "@" + self.path("m", lf(m)))
        self.assert_arrived_swaks(m)

    def test_wrong_password(self):
        out = self.run_program("swaks", "--server", "localhost", "--port", str(self.node.port("submissions")),
                               "--tls-on-connect", "--auth", "PLAIN", "--auth-user", "me", "--auth-password", "wrong",
                               "--from", "me@home.test", "--to", "me@home.test", ok=(28,))
        self.assertIn(b"535", out)
        self.assertEqual(self.node.messages(), {})
