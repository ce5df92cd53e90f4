"""A started node for the client tests, messages to send through it, and the comparison that must hold."""
import atexit
import base64
import imaplib
import os
import random
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time
import unittest

PASSWORD = "correct horse battery"
SERVICES = {"smtp": 25, "pop3": 110, "imap": 143, "https": 443, "submissions": 465, "submission": 587, "imaps": 993, "pop3s": 995}


def free_base():
    """A port base on which every service's port is free on 127.0.0.1 right now, from what `run.py` gives this process."""
    # Below the ports that the system gives to clients.
    first, end = map(int, os.environ.get("HAUSPOST_PORTS", "29000-31700").split("-"))
    for _ in range(200):
        base = random.randrange(first, end)
        try:
            for offset in SERVICES.values():
                with socket.socket() as s:
                    s.bind(("127.0.0.1", base + offset))
            return base
        except OSError:
            continue
    raise RuntimeError("no free ports")


class Node:
    """`hauspost try` in a folder of its own."""

    TRUSTED = "cert.pem"

    def __init__(self, *options):
        self.folder = tempfile.mkdtemp(prefix="hauspost-clients-")
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.data = os.path.join(self.folder, "data")
        self.base = free_base()
        self.options = list(options)
        self.start()

    def start(self):
        command = [os.environ["HAUSPOST"], "try", "--data", self.data, "--port-base", str(self.base),
                   "--password", PASSWORD] + self.options
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        for service in SERVICES:
            if not service.endswith("s") or service == "pop3":
                self.await_greeting(service)

    def await_greeting(self, service):
        limit = time.monotonic() + 20
        while time.monotonic() < limit:
            if self.process.poll() is not None:
                raise RuntimeError("the node ended:\n" + self.log_text())
            try:
                with socket.create_connection(("127.0.0.1", self.port(service)), timeout=5) as s:
                    if s.recv(100):
                        return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("no greeting from " + service + ":\n" + self.log_text())

    def port(self, service):
        return self.base + SERVICES[service]

    @property
    def certificate(self):
        """What its clients trust."""
        return os.path.join(self.data, self.TRUSTED)

    def log_text(self):
        with open(os.path.join(self.folder, "log"), errors="replace") as f:
            return f.read()

    def stop(self, how=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(10)
        self.log.close()

    # -- a plain look from outside, used to check what the program under test did
    def imap(self):
        c = imaplib.IMAP4("127.0.0.1", self.port("imap"))
        c.login("me", PASSWORD)
        return c

    def messages(self, mailbox="INBOX"):
        """{uid: (flags, bytes)}; the welcome message is left out."""
        c = self.imap()
        c.select('"%s"' % mailbox, readonly=True)
        found = {}
        _, lines = c.uid("FETCH", "1:*", "(UID FLAGS BODY.PEEK[])")
        for line in lines:
            if isinstance(line, tuple):
                uid = int(line[0].split(b"UID ")[1].split()[0].rstrip(b")"))
                if b"X-Test-Id:" in line[1]:
                    found[uid] = (set(imaplib.ParseFlags(line[0])), line[1])
        c.logout()
        return found

    def await_messages(self, count, mailbox="INBOX", seconds=20):
        limit = time.monotonic() + seconds
        while True:
            found = self.messages(mailbox)
            if len(found) >= count or time.monotonic() > limit:
                return found
            time.sleep(0.1)

    def deliver(self, message, recipient="me@home.test", sender="alice@far.example"):
        """Brings a message in as another mail server would."""
        with smtplib.SMTP("127.0.0.1", self.port("smtp")) as s:
            s.sendmail(sender, [recipient], message)

    def empty(self):
        """Removes everything from INBOX, the welcome message too."""
        c = self.imap()
        c.select("INBOX")
        c.store("1:*", "+FLAGS.SILENT", "\\Deleted")
        c.expunge()
        c.logout()

    def tls_context(self):
        context = ssl.create_default_context(cafile=self.certificate)
        return context


class ServedNode(Node):
    """`hauspost init` and `hauspost serve` in a folder of its own, with lines of configuration: {table: text}."""

    TRUSTED = "ca.pem"

    def __init__(self, **tables):
        self.tables = tables
        super().__init__()

    def start(self):
        if not os.path.exists(self.data):
            subprocess.run([os.environ["HAUSPOST"], "init", "--data", self.data, "--hostname", "mail.home.test", "--address",
                            "me@home.test", "--password-stdin"], input=PASSWORD.encode(), check=True, capture_output=True)
            ports = {"mx": 25, **{name: number for name, number in SERVICES.items() if name != "smtp"}}
            listen = "".join('%s = ["127.0.0.1:%d"]\n' % (name, self.base + number) for name, number in ports.items())
            path = os.path.join(self.data, "hauspost.toml")
            with open(path) as f:
                text = self.tables.get("top", "") + "\n" + f.read()
            for table in ("listen", "limits", "relay"):
                more = (listen if table == "listen" else "") + self.tables.get(table, "") + "\n"
                text = text.replace("[%s]\n" % table, "[%s]\n%s" % (table, more))
            with open(path, "w") as f:
                f.write(text)
        command = [os.environ["HAUSPOST"], "serve", "--stay-root", "--log-level", "info", "--data", self.data]
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        self.await_greeting("smtp")

    def await_log(self, text, seconds=20):
        limit = time.monotonic() + seconds
        while text not in self.log_text():
            if self.process.poll() is not None or time.monotonic() > limit:
                raise RuntimeError("not in the log: %s\n%s" % (text, self.log_text()))
            time.sleep(0.02)

    def imap(self):
        c = imaplib.IMAP4_SSL("127.0.0.1", self.port("imaps"), ssl_context=self.tls_context(False))
        c.login("me", PASSWORD)
        return c

    def tls_context(self, name=True):
        context = super().tls_context()
        context.check_hostname = name
        return context


class NodeTest(unittest.TestCase):
    """A test class with one node for all its tests, emptied before each."""

    options = ()

    @classmethod
    def setUpClass(cls):
        cls.node = Node(*cls.options)

    @classmethod
    def tearDownClass(cls):
        cls.node.stop()

    def setUp(self):
        self.node.empty()
        self.folder = tempfile.mkdtemp(dir=self.node.folder)

    def path(self, name, text=None, mode=0o600):
        """A file in this test's folder, written when text is given."""
        path = os.path.join(self.folder, name)
        if text is not None:
            with open(path, "wb") as f:
                f.write(text if isinstance(text, bytes) else text.encode())
            os.chmod(path, mode)
        return path

    def device(self, *words, exit=0):
        """What `hauspost device` says about the node."""
        command = [os.environ["HAUSPOST"], "device", words[0], "--data", self.node.data, *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, exit, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def add_device(self, *words):
        """Adds a device for this test and returns its password."""
        text = self.device("add", *words)
        self.addCleanup(self.device, "remove", words[0])
        return text.split("password  ")[1].split("\n")[0]

    def run_program(self, *command, stdin=b"", seconds=60, environment=None, ok=(0,)):
        """Runs a program to its end; a missing program or a bad exit code fails the test with what it printed."""
        if shutil.which(command[0]) is None:
            self.fail(command[0] + " is not installed")
        r = subprocess.run(command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds,
                           env=dict(os.environ, HOME=self.folder, **(environment or {})))
        if r.returncode not in ok:
            self.fail("%s ended with %d:\n%s\nnode:\n%s" % (
                " ".join(command), r.returncode, r.stdout.decode(errors="replace"), self.node.log_text()[-3000:]))
        return r.stdout

    def assert_same(self, sent, got):
        """Byte-identical apart from added header fields: the body is equal, every header line of the sent
        message is there in its order."""
        sent_head, sent_body = split(sent)
        got_head, got_body = split(got)
        self.assertEqual(sent_body, got_body)
        rest = iter(got_head)
        for line in sent_head:
            self.assertTrue(any(line == other for other in rest), "lost header line %r in\n%r" % (line, got))

    def assert_arrived(self, sent, mailbox="INBOX", count=1):
        found = self.node.await_messages(count, mailbox)
        self.assertEqual(len(found), count, self.node.log_text()[-3000:])
        for _, got in found.values():
            self.assert_same(sent, got)
            self.assertNotIn(b"\n", got.replace(b"\r\n", b""), "bare line feed")
        return found


def split(message):
    """(header lines, body) with LF line ends."""
    text = message.replace(b"\r\n", b"\n")
    head, _, body = text.partition(b"\n\n")
    return head.split(b"\n"), body


def message(test_id="1", sender="alice@far.example", to="me@home.test", big=0):
    """A message with what breaks careless servers: dots at line starts, 8-bit text, trailing blanks, long lines,
    an attachment. CRLF line ends, ends with CRLF."""
    lines = [
        "From: =?utf-8?q?Al=C3=AFce?= <%s>" % sender,
        "To: <%s>" % to,
        "Subject: test %s: a longer subject that is folded over the line end because" % test_id,
        "\tit says so much",
        "Date: Sat, 21 Nov 2026 10:00:00 +0100",
        "Message-ID: <%s.%s@far.example>" % (test_id, base64.b16encode(test_id.encode()).decode()),
        "X-Test-Id: %s" % test_id,
        "MIME-Version: 1.0",
        'Content-Type: multipart/mixed; boundary="=_b"',
        "",
        "--=_b",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        "",
        "Grüße aus dem Haus. \t ",
        ".",
        "..",
        ".leading dot",
        "From the start of a line",
        "",
        "x" * 900,
        "",
        "--=_b",
        "Content-Type: application/octet-stream; name=a.bin",
        "Content-Transfer-Encoding: base64",
        "",
    ]
    blob = random.Random(test_id).randbytes(3000 + big)
    encoded = base64.b64encode(blob).decode()
    lines += [encoded[i:i + 76] for i in range(0, len(encoded), 76)]
    lines += ["--=_b--", "", "last line", ""]
    return "\r\n".join(lines).encode()


def lf(message_bytes):
    """The message as a Unix file."""
    return message_bytes.replace(b"\r\n", b"\n")
