"""fetchmail, mpop and getmail: everything out of INBOX in each TLS mode, byte for byte, gone afterwards."""
import glob
import os
import pwd

from node import PASSWORD, NodeTest, message


class Fetchers(NodeTest):
    def setUp(self):
        super().setUp()
        self.sent = [message("f1"), message("f2", big=200_000)]
        for m in self.sent:
            self.node.deliver(m)
        self.out = os.path.join(self.folder, "out")
        for d in ("cur", "new", "tmp"):
            os.makedirs(os.path.join(self.out, d))

    def assert_fetched(self):
        names = glob.glob(self.out + "/new/*") + glob.glob(self.out + "/cur/*")
        got = []
        for name in names:
            with open(name, "rb") as f:
                got.append(f.read())
        self.assertEqual(len(got), 2)
        for m in self.sent:
            marker = [line for line in m.split(b"\r\n") if line.startswith(b"X-Test-Id")][0]
            self.assert_same(m, [g for g in got if marker in g][0])
        self.assertEqual(self.node.messages(), {}, "left on the server")

    # -- fetchmail
    def fetchmail(self, protocol, service, *ssl):
        script = self.path("mda", "#!/bin/sh\nexec cat > %s/new/$$\n" % self.out, 0o700)
        rc = self.path("rc", "poll localhost protocol %s port %d no dns user \"me\" password \"%s\" %s no rewrite fetchall mda \"%s\"\n"
                       % (protocol, self.node.port(service), PASSWORD, " ".join(ssl), script))
        self.run_program("fetchmail", "-f", rc, "--nosyslog", "--pidfile", self.path("pid"), "-i", self.path("ids"), "-v")
        self.assert_fetched()

    def verified(self, how):
        return (how, "sslcertck", "sslcertfile " + self.node.certificate)

    def test_fetchmail_pop3(self):
        self.fetchmail("pop3", "pop3", "sslproto ''")

    def test_fetchmail_pop3_stls(self):
        self.fetchmail("pop3", "pop3", *self.verified("sslproto 'TLS1.2+'"))

    def test_fetchmail_pop3s(self):
        self.fetchmail("pop3", "pop3s", *self.verified("ssl"))

    def test_fetchmail_imap(self):
        self.fetchmail("imap", "imap", "sslproto ''")

    def test_fetchmail_imap_starttls(self):
        self.fetchmail("imap", "imap", *self.verified("sslproto 'TLS1.2+'"))

    def test_fetchmail_imaps(self):
        self.fetchmail("imap", "imaps", *self.verified("ssl"))

    # -- mpop
    def mpop(self, service, *lines):
        rc = self.path("rc", "\n".join(["account a", "host localhost", "port %d" % self.node.port(service), "user me",
                                        "passwordeval echo '%s'" % PASSWORD, "uidls_file " + self.path("uidls"),
                                        "delivery maildir " + self.out, "keep off", "received_header off", *lines,
                                        "account default : a", ""]))
        self.run_program("mpop", "-C", rc)
        self.assert_fetched()

    def test_mpop_plain(self):
        self.mpop("pop3", "tls off", "auth user")

    def test_mpop_stls(self):
        self.mpop("pop3", "tls on", "tls_starttls on", "tls_trust_file " + self.node.certificate, "auth plain")

    def test_mpop_pop3s(self):
        self.mpop("pop3s", "tls on", "tls_starttls off", "tls_trust_file " + self.node.certificate, "auth plain")

    # -- getmail
    def getmail(self, retriever, service, *lines):
        os.makedirs(os.path.join(self.folder, ".getmail"))
        user = []
        if os.geteuid() == 0:  # it never delivers as root
            user = ["user = nobody"]
            for folder in (self.node.folder, self.folder):
                os.chmod(folder, 0o711)
            for folder in (self.out, self.out + "/cur", self.out + "/new", self.out + "/tmp"):
                os.chown(folder, pwd.getpwnam("nobody").pw_uid, -1)
        rc = self.path(".getmail/rc", "\n".join([
            "[retriever]", "type = " + retriever, "server = localhost", "port = %d" % self.node.port(service),
            "username = me", "password = " + PASSWORD, *lines, "[destination]", "type = Maildir", "path = %s/" % self.out, *user,
            "[options]", "delete = true", "delivered_to = false", "received = false", ""]))
        self.run_program("getmail", "--getmaildir", os.path.dirname(rc), "--rcfile", rc)
        self.assert_fetched()

    def test_getmail_pop3(self):
        self.getmail("SimplePOP3Retriever", "pop3")

    def test_getmail_pop3s(self):
        self.getmail("SimplePOP3SSLRetriever", "pop3s", "ca_certs = " + self.node.certificate)

    def test_getmail_imap(self):
        self.getmail("SimpleIMAPRetriever", "imap", 'mailboxes = ("INBOX",)')

    def test_getmail_imaps(self):
        self.getmail("SimpleIMAPSSLRetriever", "imaps", 'mailboxes = ("INBOX",)', "ca_certs = " + self.node.certificate)
