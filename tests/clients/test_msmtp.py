"""msmtp: MX plain and STARTTLS, submission by STARTTLS and implicit TLS, certificate verified."""
from node import PASSWORD, NodeTest, lf, message


class Msmtp(NodeTest):
    def send(self, service, sender, *lines):
        m = message("msmtp", sender=sender)
        rc = self.path("rc", "\n".join(["defaults", "account a", "host localhost", "port %d" % self.node.port(service),
                                        "from " + sender, "logfile -", "timeout 20", "add_missing_date_header off",
                                        "add_missing_from_header off", *lines, "account default : a", ""]))
        self.run_program("msmtp", "-C", rc, "me@home.test", stdin=lf(m))
        self.assert_arrived(m)

    def verified(self, *lines):
        return ("tls on", "tls_trust_file " + self.node.certificate, *lines)

    def login(self, mechanism):
        return ("auth " + mechanism, "user me", "passwordeval echo '%s'" % PASSWORD)

    def test_mx(self):
        self.send("smtp", "alice@far.example")

    def test_mx_starttls(self):
        self.send("smtp", "alice@far.example", *self.verified("tls_starttls on"))

    def test_submission_starttls(self):
        self.send("submission", "me@home.test", *self.verified("tls_starttls on"), *self.login("plain"))

    def test_submissions(self):
        self.send("submissions", "me@home.test", *self.verified("tls_starttls off"), *self.login("plain"))

    def test_submissions_login(self):
        self.send("submissions", "me@home.test", *self.verified("tls_starttls off"), *self.login("login"))
