"""Signatures of what goes out: each is verified by dkimpy, the RSA ones by Mail::DKIM too, with the keys that `hauspost dns` prints,
asked of a real DNS server. What is verified are the bytes that arrived at another server."""
import base64
import glob
import os
import re
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
import unittest

from knot import Knot
from node import PASSWORD, ServedNode, lf, message
from peers import free_port

# Ends with 0 when the first signature is good, by the other implementation that Debian has.
PERL = """
use Mail::DKIM::Verifier; use Mail::DKIM::DNS; use Net::DNS::Resolver;
Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(nameservers => ['127.0.0.1'], port => $ARGV[0]));
my $v = Mail::DKIM::Verifier->new(); local $/; $v->PRINT(scalar <STDIN>); $v->CLOSE;
for my $s ($v->signatures) { print $s->selector, ' ', $s->result, "\\n" }
"""


class Sink:
    """Another mail server, which takes everything and keeps it as it came."""

    def __init__(self, chunking):
        sink = self
        self.received, self.mail_lines, self.chunking = [], [], chunking

        class Session(socketserver.StreamRequestHandler):
            def handle(self):
                self.wfile.write(b"220 sink.far.example ESMTP\r\n")
                chunks = b""
                while line := self.rfile.readline():
                    verb = line.split()[0].upper()
                    if verb == b"EHLO":
                        more = b"250-CHUNKING\r\n250-BINARYMIME\r\n" if sink.chunking else b""
                        self.wfile.write(b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n" + more
                                         + b"250 SIZE 50000000\r\n")
                        continue
                    if verb == b"MAIL":
                        sink.mail_lines.append(line)
                    if verb == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        text = b""
                        while (line := self.rfile.readline()) != b".\r\n":
                            text += line[1:] if line.startswith(b".") else line
                        sink.received.append(text)
                    if verb == b"BDAT":
                        words = line.split()
                        chunks += self.rfile.read(int(words[1]))
                        if words[-1].upper() == b"LAST":
                            sink.received.append(chunks)
                            chunks = b""
                    self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 2.0.0 fine\r\n")
                    if verb == b"QUIT":
                        return

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, seconds=20):
        """The next message with what MAIL said of it."""
        limit = time.monotonic() + seconds
        while not self.received:
            if time.monotonic() > limit:
                raise AssertionError("nothing arrived")
            time.sleep(0.02)
        return self.received.pop(0), self.mail_lines.pop(0)


class Signing(unittest.TestCase):
    chunking = False

    @classmethod
    def setUpClass(cls):
        cls.sink = Sink(cls.chunking)
        relay = 'host = "127.0.0.1"\nport = %d\nsecurity = "plain"\n' % cls.sink.port
        cls.node = ServedNode(top="plaintext_login_on_loopback = true", relay=relay)
        zone = subprocess.run([os.environ["HAUSPOST"], "dns", "--data", cls.node.data, "--address", "203.0.113.5", "--format",
                               "zone"], check=True, capture_output=True, text=True).stdout
        cls.dns = Knot({"home.test": zone})

    @classmethod
    def tearDownClass(cls):
        cls.node.stop()
        cls.dns.stop()
        cls.sink.server.shutdown()
        cls.sink.server.server_close()

    def verify(self, m):
        """{selector: "pass" or "fail"} by both implementations."""
        here = os.path.dirname(os.path.abspath(__file__))
        python = subprocess.run(["/usr/bin/python3", os.path.join(here, "verify_dkim.py"), str(self.dns.port)], input=m,
                                capture_output=True)
        self.assertEqual(python.returncode, 0, python.stderr.decode())
        by_python = dict(line.split() for line in python.stdout.decode().splitlines())
        perl = subprocess.run(["perl", "-e", PERL, str(self.dns.port)], input=m, capture_output=True)
        self.assertEqual(perl.returncode, 0, perl.stderr.decode())
        by_perl = dict(line.split()[:2] for line in perl.stdout.decode().splitlines())
        # It does not know Ed25519.
        self.assertEqual(by_perl.get("rsa1"), by_python.get("rsa1"), "%r %r\n%s" % (by_perl, by_python, m[:3000]))
        return by_python

    def assert_signed(self, m):
        self.assertEqual(self.verify(m), {"rsa1": "pass", "ed1": "pass"}, m[:3000])
        head = m.split(b"\r\n\r\n")[0]
        for field in re.findall(rb"^DKIM-Signature:.*\r\n(?:[ \t].*\r\n)*", head + b"\r\n", re.M):
            self.assertTrue(all(len(line) < 78 for line in field.split(b"\r\n")), field)
        return m

    def swaks(self, m, *options):
        path = os.path.join(tempfile.mkdtemp(dir=self.node.folder), "m")
        with open(path, "wb") as f:
            f.write(lf(m))
        r = subprocess.run(["swaks", "--server", "127.0.0.1", "--port", str(self.node.port("submission")), "--from",
                            "me@home.test", "--to", "bob@far.example", "--auth", "PLAIN", "--auth-user", "me@home.test",
                            "--auth-password", PASSWORD, "--data", "@" + path, *options], capture_output=True)
        self.assertEqual(r.returncode, 0, r.stdout.decode(errors="replace") + self.node.log_text()[-2000:])
        got, mail = self.sink.take()
        # The size announced is that of what came, signatures and all.
        self.assertIn(b" SIZE=%d" % len(got), mail)
        return got

    def bdat(self, m, *parameters):
        """Submission in chunks, byte for byte as they are."""
        with socket.create_connection(("127.0.0.1", self.node.port("submission")), timeout=20) as s:
            file = s.makefile("rwb")

            def say(line, wanted):
                if line:
                    file.write(line)
                    file.flush()
                while (answer := file.readline())[3:4] == b"-":
                    pass
                self.assertTrue(answer.startswith(wanted), (line[:100], answer))

            say(b"", b"220")
            say(b"EHLO me\r\n", b"250")
            say(b"AUTH PLAIN " + base64.b64encode(b"\0me\0" + PASSWORD.encode()) + b"\r\n", b"235")
            say(b" ".join([b"MAIL FROM:<me@home.test>", *parameters]) + b"\r\n", b"250")
            say(b"RCPT TO:<bob@far.example>\r\n", b"250")
            at = len(m) // 3
            say(b"BDAT %d\r\n" % at + m[:at], b"250")
            say(b"BDAT %d LAST\r\n" % len(m[at:]) + m[at:], b"250")
            say(b"QUIT\r\n", b"221")
        return self.sink.take()[0]

    def test_attachments_dots_and_long_lines(self):
        for big in (0, 300_000):
            got = self.assert_signed(self.swaks(message("signed", sender="me@home.test", to="bob@far.example", big=big)))
            self.assertIn("Grüße aus dem Haus.".encode(), got)
            self.assertIn(b"\r\n.\r\n..\r\n.leading dot\r\n", got)

    def test_headers_and_ends_of_all_kinds(self):
        head = b"From: =?utf-8?q?M=C3=A9?= <me@home.test>\r\nTo: bob@far.example,\r\n\t\"Ann\"   <ann@far.example>\r\n"
        for n, rest in enumerate([
                b"Subject:   much   \t space  \r\n \t folded\r\n\r\ntext",
                b"Subject:\r\n\r\n",
                b"suBject: odd\r\nX-Empty:\r\nList-Id: <x.home.test>\r\nList-Id: <y.home.test>\r\n\r\n\r\n\r\n",
                b"Reply-To: me@home.test\r\nIn-Reply-To: <1@far.example>\r\nReferences: <1@far.example>\r\n <2@far.example>\r\n"
                b"Sender: me@home.test\r\n\r\ntrailing blanks  \t\r\n \r\nand lines\r\n\r\n\r\n\r\n \t\r\n\r\n",
                b"Subject: x\r\n\r\n" + b"w" * 990 + b"\r\n" + b"a  b\t\tc " * 100 + b"\r\n",
        ]):
            with self.subTest(n):
                self.assert_signed(self.swaks(head + rest))

    def test_without_author_date_and_id(self):
        got = self.assert_signed(self.swaks(b"Subject: bare\r\n\r\ntext\r\n"))
        self.assertIn(b"\r\nMessage-ID: <", got)

    def test_utf8_header(self):
        m = "From: Mé <me@home.test>\r\nSubject: Grüße 🌍\r\nTo: bob@far.example\r\n\r\nÜbung\r\n".encode()
        self.assert_signed(self.bdat(m, b"SMTPUTF8", b"BODY=8BITMIME"))

    def test_chunks(self):
        self.assert_signed(self.bdat(message("chunks", sender="me@home.test", to="bob@far.example"), b"BODY=8BITMIME"))

    def test_chunks_without_a_last_line_end(self):
        for body in (b"text", b"", b"text \r\n.\r\n..\r\n \r\n\t", b"\r\n\r\n \r\nx"):
            with self.subTest(body):
                self.assert_signed(self.bdat(b"From: me@home.test\r\nSubject: end\r\n\r\n" + body))

    def test_stray_line_ends_are_not_taken(self):
        """So what is signed never depends on what somebody on the way makes of them."""
        for text in (b"Subject: a\nb: c\r\n\r\ntext\r\n", b"Subject: a\r\n\r\none\ntwo\r\n", b"Subject: a\r\n\r\none\rtwo\r\n"):
            with self.subTest(text), self.assertRaisesRegex(AssertionError, "550 5.6.0"):
                self.bdat(b"From: me@home.test\r\n" + text)

    def test_what_was_changed_fails(self):
        m = self.swaks(message("changed", sender="me@home.test", to="bob@far.example"))
        bad = {"rsa1": "fail", "ed1": "fail"}
        for old, new in [(b"Gr\xc3\xbc\xc3\x9fe", b"Gruesse"), (b"\r\nlast line", b"\r\nlast line\r\nand more"),
                         (b"\r\nTo:", b"\r\nCc: x@far.example\r\nTo:"), (b"\r\nSubject:", b"\r\nFrom: x@far.example\r\nSubject:"),
                         (b"Subject: test", b"Subject: best"), (b"\r\nTo:", b"\r\nReply-To: x@far.example\r\nTo:")]:
            self.assertIn(old, m)
            self.assertEqual(self.verify(m.replace(old, new, 1)), bad, new)
        folded = m.replace(b"Subject: test", b"Subject:\r\n  test", 1)
        self.assertEqual(self.verify(folded), {"rsa1": "pass", "ed1": "pass"})

    def test_sent_copy_is_as_it_was_written(self):
        self.swaks(message("copied", sender="me@home.test", to="bob@far.example"))
        kept = [m for _, m in self.node.await_messages(1, "Sent").values() if b"X-Test-Id: copied" in m]
        self.assertEqual(len(kept), 1)
        self.assertNotIn(b"DKIM-Signature", kept[0])


class SigningInChunks(Signing):
    """The same when the other server takes chunks."""
    chunking = True


class Keys(unittest.TestCase):
    """A key follows another while the node runs."""

    def hauspost(self, *arguments, code=0):
        r = subprocess.run([os.environ["HAUSPOST"], *arguments], capture_output=True, text=True)
        self.assertEqual(r.returncode, code, r.stdout + r.stderr)
        return r.stdout + r.stderr

    def test_change(self):
        sink = Sink(False)
        relay = 'host = "127.0.0.1"\nport = %d\nsecurity = "plain"\n' % sink.port
        node = ServedNode(top="plaintext_login_on_loopback = true", relay=relay)
        path = os.path.join(node.data, "hauspost.toml")

        def configure(old, new):
            with open(path) as f:
                text = f.read()
            self.assertIn(old, text)
            with open(path, "w") as f:
                f.write(text.replace(old, new, 1))

        def selectors():
            import smtplib
            with smtplib.SMTP("127.0.0.1", node.port("submission")) as s:
                s.login("me", PASSWORD)
                s.sendmail("me@home.test", ["bob@far.example"], b"From: me@home.test\r\nSubject: x\r\n\r\ntext\r\n")
            return re.findall(rb"\bs=([a-z0-9]+);", sink.take()[0])

        try:
            self.assertEqual(selectors(), [b"rsa1", b"ed1"])
            told = self.hauspost("dkim", "--data", node.data, "--new", "rsa2")
            self.assertIn('keys = ["dkim-rsa1.pem", "dkim-ed1.pem", "dkim-rsa2.pem"]', told)
            self.assertIn("rsa2._domainkey.home.test", told)
            self.assertIn("rsa2._domainkey.home.test.", self.hauspost("dns", "--data", node.data))
            self.assertEqual(os.stat(os.path.join(node.data, "dkim-rsa2.pem")).st_mode & 0o777, 0o600)
            self.assertIn("cannot write", self.hauspost("dkim", "--data", node.data, "--new", "rsa2", code=73))
            configure('keys = ["dkim-rsa1.pem", "dkim-ed1.pem"]', 'keys = ["dkim-rsa2.pem", "dkim-ed1.pem"]')
            node.process.send_signal(signal.SIGHUP)
            node.await_log("event=reloaded")
            self.assertEqual(selectors(), [b"rsa2", b"ed1"])
            os.remove(os.path.join(node.data, "dkim-rsa1.pem"))
            self.assertNotIn("rsa1._domainkey", self.hauspost("dns", "--data", node.data))
            # What cannot be read is refused, by file and key, and the node goes on with what it has.
            configure('"dkim-ed1.pem"', '"dkim-gone.pem"')
            wrong = self.hauspost("config", "--check", path, code=78)
            self.assertIn("dkim.keys", wrong)
            self.assertIn("dkim-gone.pem", wrong)
            with open(os.path.join(node.data, "dkim-gone.pem"), "w") as f:
                f.write("no key")
            self.assertIn("no private key", self.hauspost("config", "--check", path, code=78))
            node.process.send_signal(signal.SIGHUP)
            node.await_log("event=reload-refused")
            self.assertEqual(selectors(), [b"rsa2", b"ed1"])
        finally:
            node.stop()
            sink.server.shutdown()
            sink.server.server_close()

    def test_a_folder_without_keys(self):
        node = ServedNode(top="plaintext_login_on_loopback = true")
        node.stop()
        for name in glob.glob(os.path.join(node.data, "dkim-*.pem")):
            os.remove(name)
        path = os.path.join(node.data, "hauspost.toml")
        with open(path) as f:
            text = f.read()
        with open(path, "w") as f:
            f.write(text.replace('keys = ["dkim', '#keys = ["dkim'))
        node.start()
        self.assertEqual(node.log_text().count("event=unsigned"), 1)
        node.stop()


if __name__ == "__main__":
    unittest.main()
