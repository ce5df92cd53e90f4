"""What has been published of SMTP smuggling and of commands slipped in around STARTTLS, sent raw to MX and to submission.

Written without looking at how the server reads: each sequence is sent as it is, with everything after it, and then IMAP
shows that there is no second message and that nothing came by another sender or for another recipient.
"""
import base64
import re
import socket
import ssl

from node import PASSWORD, Node, NodeTest

# "SMTP Smuggling - Spoofing E-Mails Worldwide" (SEC Consult, 2023), CVE-2023-51764, -51765, -51766, CVE-2024-27305,
# CVE-2024-34055 and what variants of them were tried since.
ENDS = [
    b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r.\r", b"\n.\r", b"\r.\n", b"\r\n.\r\r\n", b"\r\r\n.\r\r\n",
    b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\n\n.\r\n", b"\r\n.\r.\r\n", b"\r\n.\n.\r\n", b"\r\n\x85.\r\n", b"\xc2\x85.\xc2\x85",
    b"\xe2\x80\xa8.\xe2\x80\xa8", b"\x0b.\x0b", b"\x0c.\x0c", b"\r\n .\r\n", b"\r\n. \r\n", b"\r\n.\t\r\n", b"\r\n.\\r\\n", b"%0d%0a.%0d%0a",
    b"\n\r.\n\r", b"\r\n.\n\r", b"\r\n..\r\n", b"\x1a", b"\x04",
]
SMUGGLED = b"MAIL FROM:<evil@evil.example>\r\nRCPT TO:<me+smuggled@home.test>\r\nDATA\r\nX-Test-Id: smuggled\r\nFrom: me@home.test\r\n\r\nowned"
EVIL = b"MAIL FROM:<evil@evil.example>\r\nRCPT TO:<me+smuggled@home.test>\r\n"


class Raw:
    """A connection with as little understanding of SMTP as a test needs."""

    def __init__(self, node, service):
        self.node = node
        self.sock = socket.create_connection(("127.0.0.1", node.port(service)), timeout=20)
        self.file = self.sock.makefile("rb")
        self.owner = service == "submission"
        self.reply()

    def reply(self):
        """The next reply's code, or 0 when the server hung up."""
        while True:
            try:
                line = self.file.readline()
            except OSError:
                return 0
            if not line.endswith(b"\n"):
                return 0
            if line[3:4] != b"-":
                return int(line[:3])

    def say(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            return 0
        return self.reply()

    def begin(self):
        """To where a message begins, or its recipients have been given."""
        codes = [self.say(b"EHLO peer.example\r\n")]
        if self.owner:
            secret = base64.b64encode(b"\0me\0" + PASSWORD.encode())
            codes.append(self.say(b"AUTH PLAIN " + secret + b"\r\n"))
        codes += [self.say(b"MAIL FROM:<%s>\r\n" % self.sender()), self.say(b"RCPT TO:<me@home.test>\r\n")]
        return codes

    def sender(self):
        return b"me@home.test" if self.owner else b"alice@far.example"

    def head(self, test_id):
        return b"From: <%s>\r\nTo: me@home.test\r\nDate: Sat, 21 Nov 2026 10:00:00 +0100\r\nMessage-ID: <%s@far.example>\r\nX-Test-Id: %s\r\n\r\nHello" % (
            self.sender(), test_id, test_id)

    def end(self):
        """Until the server hangs up."""
        codes = []
        try:
            self.sock.sendall(b"QUIT\r\n")
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        while code := self.reply():
            codes.append(code)
        self.sock.close()
        return codes


class Smuggling(NodeTest):
    @classmethod
    def setUpClass(cls):
        cls.node = Node("--log-level", "info")

    def setUp(self):
        super().setUp()
        self.seen = len(self.node.log_text())

    def log(self):
        return self.node.log_text()[self.seen:]

    def judge(self, accepted, what):
        """What was accepted is there once; nothing smuggled is."""
        found = [got for _, got in self.node.messages().values()]
        self.assertEqual(len(found), accepted, what)
        for got in found:
            self.assertFalse(got.startswith(b"Return-Path: <evil"), what)
            self.assertLessEqual(got.count(b"Return-Path:"), 1, what)
            self.assertNotIn(b"X-Test-Id: smuggled", got.split(b"\r\n\r\n")[0], what)
        log = self.log()
        for line in log.split("\n"):
            if "event=accepted" in line and ("evil@" in line or "me+smuggled" in line):
                self.fail("%r\n%s" % (what, line))
        if accepted:
            self.node.empty()

    def test_data(self):
        for service in ("smtp", "submission"):
            for n, end in enumerate(ENDS):
                s = Raw(self.node, service)
                codes = s.begin() + [s.say(b"DATA\r\n")]
                self.assertEqual(codes[-3:], [250, 250, 354], (service, codes))
                answer = s.say(s.head(b"d%d" % n) + end + SMUGGLED + b"\r\n.\r\n")
                rest = s.end()
                self.assertEqual(rest, [221], (service, end, answer))
                self.judge(int(answer == 250), (service, end, answer))
                # A bare CR or LF, or a NUL, is not mended and passed on: others would read another message out of it.
                if re.search(rb"[\0\r\n]", end.replace(b"\r\n", b"")):
                    self.assertGreaterEqual(answer, 500, (service, end))

    def test_data_in_pieces(self):
        """The same, with the server made to read at every seam."""
        for end in ENDS[:12]:
            s = Raw(self.node, "smtp")
            s.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.begin()
            s.say(b"DATA\r\n")
            s.sock.sendall(s.head(b"p"))
            for byte in end:
                s.sock.sendall(bytes([byte]))
            answer = s.say(SMUGGLED + b"\r\n.\r\n")
            self.assertEqual(s.end(), [221], (end, answer))
            self.judge(int(answer == 250), (end, answer))

    def test_chunks(self):
        for service in ("smtp", "submission"):
            for n, end in enumerate(ENDS):
                for seam in range(len(end) + 1):
                    s = Raw(self.node, service)
                    s.begin()
                    first, last = s.head(b"b%d" % n) + end[:seam], end[seam:] + SMUGGLED + b"\r\n.\r\n"
                    answers = [s.say(b"BDAT %d\r\n" % len(first) + first), s.say(b"BDAT %d LAST\r\n" % len(last) + last)]
                    self.assertEqual(s.end(), [221], (service, end, seam, answers))
                    self.judge(int(answers[1] == 250), (service, end, seam, answers))

    def test_chunks_that_lie(self):
        for service in ("smtp", "submission"):
            for command in (b"BDAT -1 LAST", b"BDAT 18446744073709551616 LAST", b"BDAT 18446744073709551615 LAST", b"BDAT 5 LAST LAST",
                            b"BDAT +5 LAST", b"BDAT 0x5 LAST", b"BDAT 5LAST", b"BDAT", b"BDAT 5.0 LAST", b"BDAT 5\nBDAT 0 LAST"):
                s = Raw(self.node, service)
                s.begin()
                # When it cannot be known where the chunk ends, nothing behind it may be taken for commands.
                s.sock.sendall(command + b"\r\nHello\r\n.\r\nRSET\r\n" + EVIL + b"BDAT 5 LAST\r\nowned")
                codes = s.end()
                self.judge(0, (service, command, codes))

    def test_data_inside_chunks_and_the_other_way_round(self):
        for service in ("smtp", "submission"):
            s = Raw(self.node, service)
            s.begin()
            first = s.head(b"mixed")
            self.assertEqual(s.say(b"BDAT %d\r\n" % len(first) + first), 250)
            self.assertEqual(s.say(b"DATA\r\n"), 503)
            s.sock.sendall(b"RSET\r\n" + b"BDAT 5 LAST\r\nHello")
            s.end()
            self.judge(0, service)
            s = Raw(self.node, service)
            s.begin()
            s.say(b"DATA\r\n")
            self.assertEqual(s.say(first + b"\r\nBDAT 5 LAST\r\nHello\r\n.\r\n"), 250)
            self.assertEqual(s.end(), [221])
            self.judge(1, service)

    def test_commands(self):
        """A lone CR or LF ends no command, nor does anything hidden in an address."""
        for service in ("smtp", "submission"):
            for end in (b"\n", b"\r", b"\n\r", b"\0", b"\x85", b"\xe2\x80\xa8", b"%0d%0a"):
                for line in (b"RCPT TO:<me@home.test>%sRCPT TO:<me+smuggled@home.test>\r\n", b"RCPT TO:<me@home.test%s>\r\n",
                             b"NOOP%sRCPT TO:<me+smuggled@home.test>\r\n", b"EHLO peer%sMAIL FROM:<evil@evil.example>\r\n"):
                    s = Raw(self.node, service)
                    s.begin()
                    s.sock.sendall(line % end)
                    s.sock.sendall(b"DATA\r\n" + s.head(b"cmd") + b"\r\n.\r\n")
                    s.end()
                    found = self.node.messages()
                    self.assertLessEqual(len(found), 1, (service, end, line))
                    self.judge(len(found), (service, end, line))

    def test_starttls(self):
        """Commands behind STARTTLS in the same packet or before the handshake (CVE-2011-0411, "NO STARTTLS" 2021)."""
        for service in ("smtp", "submission"):
            for behind in (b"EHLO evil.example\r\n" + EVIL, b"NOOP\r\n", b"\r\n", b"X", b"RSET\r\n" * 100):
                s = Raw(self.node, service)
                s.say(b"EHLO peer.example\r\n")
                self.assertEqual((s.say(b"STARTTLS\r\n" + behind), s.reply()), (554, 0), behind)
                s.sock.close()
            s = Raw(self.node, service)
            s.say(b"EHLO peer.example\r\n")
            self.assertEqual(s.say(b"STARTTLS\r\n"), 220)
            s.sock.sendall(b"EHLO evil.example\r\n" + EVIL)  # instead of a handshake
            self.assertEqual(s.end(), [])
            s = Raw(self.node, service)
            s.say(b"EHLO peer.example\r\n")
            self.assertEqual(s.say(b"STARTTLS\r\n"), 220)
            tls = ssl.create_default_context(cafile=self.node.certificate).wrap_socket(s.sock, server_hostname="localhost")
            s.sock, s.file = tls, tls.makefile("rb")
            # Nothing of before is remembered, not even the name (RFC 3207 section 4.2).
            self.assertEqual(s.say(b"RCPT TO:<me@home.test>\r\n"), 503)
            self.assertIn(s.say(b"MAIL FROM:<alice@far.example>\r\n"), (503, 530))
            s.sock.close()
            self.judge(0, service)
