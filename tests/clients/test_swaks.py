"""swaks: MX and submission in every way of TLS and of login it has, what is refused in each, and transactions that break off."""
import base64
import smtplib

from node import PASSWORD, NodeTest, ServedNode, lf, message

# What swaks ends with (its manual, EXIT CODES).
GREETING, HELO, MAIL, RCPT, AFTER_DATA, AUTH, TLS, XCLIENT = 21, 22, 23, 24, 26, 28, 29, 33
# A front of the node, and who it says its client is.
FRONT, CLIENT = "127.0.0.9", "192.0.2.1"


class Swaks(NodeTest):
    options = ("--log-level", "info")

    def setUp(self):
        super().setUp()
        self.seen = len(self.node.log_text())

    def log(self):
        return self.node.log_text()[self.seen:]

    def mx(self, *options, sender="alice@far.example", to="me@home.test", ok=0, service="smtp"):
        """A message to port 25, or what comes of trying."""
        return self.run_program("swaks", "--server", "localhost", "--port", str(self.node.port(service)), "--from", sender,
                                "--to", to, "--header", "X-Test-Id: swaks", *options, ok=(ok,))

    def device(self, *options, **more):
        return self.mx(*options, sender="me@home.test", **{"service": "submission", **more})

    def login(self, mechanism, password=PASSWORD):
        return ("--auth", mechanism, "--auth-user", "me", "--auth-password", password)

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

    def arrived(self, count=1):
        self.assertEqual(len(self.node.await_messages(count)), count, self.log())

    def test_versions_of_tls(self):
        for n, version in enumerate(("1_2", "1_3"), 1):
            name = "tls=TLSv" + version.replace("_", ".")
            self.mx("--tls", "--tls-protocol", "tlsv" + version)
            self.assertIn(name, self.log().split("service=mx")[-1])
            self.device("--tls", "--tls-protocol", "tlsv" + version, *self.login("PLAIN"))
            self.device("--tls-on-connect", "--tls-protocol", "tlsv" + version, *self.login("LOGIN"), service="submissions")
            self.assertEqual(self.log().count("service=submission mechanism=PLAIN peer=127.0.0.1 login=\"me@home.test\" " + name), 1)
            self.assertEqual(self.log().count("service=submission mechanism=LOGIN peer=127.0.0.1 login=\"me@home.test\" " + name), 1)
            self.arrived(3 * n)
        for version in ("1", "1_1"):
            old = ("--tls-protocol", "tlsv" + version, "--tls-cipher", "ALL:@SECLEVEL=0")
            self.mx("--tls", *old, ok=TLS)
            self.device("--tls-on-connect", *old, *self.login("PLAIN"), service="submissions", ok=TLS)

    def test_tls_if_possible(self):
        for n, option in enumerate(("--tls-optional", "--tls-optional-strict"), 1):
            self.mx(option)
            self.arrived(n)
            self.assertEqual(self.log().count("service=mx peer=127.0.0.1 from=\"alice@far.example\" to=\"me@home.test\""), n)
            self.assertNotIn("tls=none id=", self.log())

    def test_certificate_is_verified(self):
        trust = ("--tls-verify", "--tls-ca-path", self.node.certificate)
        self.mx("--tls", "--tls-sni", "localhost", *trust)
        self.device("--tls-on-connect", *trust, *self.login("PLAIN"), service="submissions")
        self.arrived(2)
        self.mx("--tls", "--tls-verify", ok=TLS)

    def test_tls_where_there_is_none(self):
        self.mx("--tls-on-connect", ok=TLS)
        out = self.mx("--timeout", "2", service="submissions", ok=GREETING)
        self.assertNotIn(b"220", out)
        self.arrived(0)

    def test_pipelined_everywhere(self):
        self.mx("--tls", "--pipeline")
        self.device("--tls", "--pipeline", *self.login("PLAIN"))
        self.device("--tls-on-connect", "--pipeline", *self.login("LOGIN"), service="submissions")
        self.arrived(3)

    def test_several_recipients(self):
        self.mx("--pipeline", to="me@home.test,nobody@home.test,me+x@home.test")
        self.arrived(1)
        self.assertIn(b"550 5.1.1", self.mx(to="nobody@home.test", ok=RCPT))

    def test_classic(self):
        self.mx("--protocol", "SMTP")
        self.assertIn(b"with SMTP id", next(iter(self.node.await_messages(1).values()))[1])
        self.mx("--protocol", "LMTP", ok=HELO)

    def test_wrong_password(self):
        for mechanism in ("PLAIN", "LOGIN"):
            out = self.device("--tls-on-connect", *self.login(mechanism, "old secret"), service="submissions", ok=AUTH)
            self.assertIn(b"535 5.7.8", out)
        self.arrived(0)
        self.assertNotIn("old secret", self.log())

    def test_no_login(self):
        self.assertIn(b"530 5.7.0", self.device("--tls", ok=MAIL))
        self.assertIn(b"530 5.7.0", self.device(ok=MAIL))
        for mechanism in ("CRAM-MD5", "DIGEST-MD5"):
            out = self.device("--tls", *self.login(mechanism), ok=AUTH)
            self.assertNotIn(b"<-  334", out)
        # Does without, then.
        self.device("--tls", "--auth-optional", "CRAM-MD5", "--auth-user", "me", "--auth-password", PASSWORD, ok=MAIL)
        self.mx("--tls", *self.login("PLAIN"), ok=AUTH)
        self.arrived(0)

    def test_login_is_cancelled(self):
        with smtplib.SMTP("127.0.0.1", self.node.port("submission")) as s:
            s.starttls(context=self.node.tls_context())
            s.ehlo()
            for ask, answers in (("PLAIN", []), ("LOGIN", []), ("LOGIN", ["me"])):
                self.assertEqual(s.docmd("AUTH", ask)[0], 334)
                for answer in answers:
                    self.assertEqual(s.docmd(base64.b64encode(answer.encode()).decode())[0], 334)
                self.assertEqual(s.docmd("*")[0], 501)
            self.assertEqual(s.docmd("MAIL", "FROM:<me@home.test>")[0], 530)
            s.login("me", PASSWORD)
            self.assertEqual(s.docmd("AUTH", "PLAIN")[0], 503)

    def test_xclient(self):
        """Nobody may say whose a connection is."""
        claim = ("--xclient-addr", "192.0.2.1", "--xclient-name", "trusted.example", "--xclient-login", "me")
        self.mx(*claim, ok=XCLIENT)
        self.device("--tls", *claim, ok=XCLIENT)
        with smtplib.SMTP("127.0.0.1", self.node.port("smtp")) as s:
            s.ehlo()
            self.assertEqual(s.docmd("XCLIENT", "ADDR=192.0.2.1 LOGIN=me")[0], 500)
        self.arrived(0)
        self.mx("--xclient-optional", *claim)
        got = next(iter(self.node.await_messages(1).values()))[1]
        self.assertNotIn(b"192.0.2.1", got)

    def test_long_lines(self):
        for n, length in enumerate((998, 5000, 200_000), 1):
            self.mx("--body", self.path("body", "x" * length + "\r\n"), "--header", "X-Long: " + "y" * 900)
            self.arrived(n)
        self.assertIn(b"x" * 200_000 + b"\r\n", list(self.node.messages().values())[-1][1])
        self.mx(sender="x" * 400 + "@far.example", ok=MAIL)
        self.mx(sender="x" * 4000 + "@far.example", ok=MAIL)
        self.mx(to="x" * 400 + "@home.test", ok=RCPT)
        self.mx("--helo", "x" * 4000, ok=HELO)
        self.arrived(3)

    def test_not_for_us(self):
        for to in ("bob@far.example", "bob%far.example@home.test", "far.example!bob@home.test", "@home.test:bob@far.example"):
            self.mx(to=to, ok=RCPT)
        self.device("--tls", *self.login("PLAIN"), "--from", "bob@far.example", ok=MAIL)
        self.arrived(0)

    def test_too_large(self):
        self.mx("--body", self.path("body", ("x" * 76 + "\r\n") * 660_000), ok=AFTER_DATA)
        self.arrived(0)

    def test_broken_off(self):
        for stop in ("CONNECT", "FIRST-HELO", "TLS", "HELO", "MAIL", "RCPT"):
            self.mx("--tls", "--quit-after", stop)
            self.mx("--tls", "--drop-after", stop)
            if stop != "CONNECT":  # nothing is sent there
                self.mx("--tls", "--drop-after-send", stop)
        self.mx("--drop-after", "DATA")
        self.mx("--drop-after-send", "DATA")
        self.device("--tls", *self.login("PLAIN"), "--quit-after", "AUTH")
        self.arrived(0)
        self.mx("--drop-after", "DOT")
        self.arrived(1)


class Fronted(NodeTest):
    """swaks as the front of a client far away, by PROXY headers of both versions."""

    @classmethod
    def setUpClass(cls):
        cls.node = ServedNode(listen='proxy_from = ["%s"]' % FRONT)

    def swaks(self, service, version, *options, sender="me@home.test", ok=0):
        family = "TCP4" if version == 1 else "AF_INET"
        return self.run_program(
            "swaks", "--server", "127.0.0.1", "--port", str(self.node.port(service)), "--local-interface", FRONT, "--proxy-version",
            str(version), "--proxy-family", family, "--proxy-source", CLIENT, "--proxy-source-port", "40000", "--proxy-dest",
            "198.51.100.1", "--proxy-dest-port", "25", "--from", sender, "--to", "me@home.test", "--header", "X-Test-Id: front",
            *options, ok=(ok,))

    def test_both_versions(self):
        login = ("--auth-user", "me", "--auth-password", PASSWORD)
        for version in (1, 2):
            self.setUp()
            self.swaks("smtp", version, "--tls", sender="alice@far.example")
            got = next(iter(self.node.await_messages(1).values()))[1]
            self.assertIn(b"[%s]" % CLIENT.encode(), got.split(b";")[0])
            self.swaks("submission", version, "--tls", "--auth", "PLAIN", *login)
            self.swaks("submissions", version, "--tls-on-connect", "--auth", "LOGIN", *login)
            self.assertEqual(len(self.node.await_messages(3)), 3)
            # A login far away without TLS is neither offered nor taken.
            out = self.swaks("submission", version, "--auth", "PLAIN", *login, ok=AUTH)
            self.assertNotIn(b"AUTH PLAIN", out.split(b"~>")[0])
            self.swaks("submission", version, ok=MAIL)
