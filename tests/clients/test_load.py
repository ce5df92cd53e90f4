"""Postfix's smtp-source delivers 5,000 messages by 50 connections at once while a phone idles and asks."""
import imaplib
import re
import threading
import time

from node import PASSWORD, Node, NodeTest

CONNECTIONS = 50
MESSAGES = 5000
MESSAGE_BYTES = 4096
# Of the whole node. Most of it is the store's cache and 51 sessions; it does not grow with the messages.
MEMORY_BYTES_MAX = 32 << 20
ANSWER_SECONDS_MAX = 5


class Phone(threading.Thread):
    """Waits in IDLE for news, then asks by NOOP, over and over; remembers what it was told and how long an answer took."""

    def __init__(self, node):
        super().__init__()
        self.imap = imaplib.IMAP4_SSL("localhost", node.port("imaps"), ssl_context=node.tls_context())
        self.imap.login("me", PASSWORD)
        self.imap.select("INBOX")
        self.exists, self.rounds, self.slowest, self.over, self.error = 0, 0, 0.0, threading.Event(), None

    def answer(self, tag):
        while True:
            line = self.imap.readline()
            if not line:
                raise RuntimeError("the phone was thrown out")
            told = re.match(rb"\* (\d+) EXISTS", line)
            if told:
                self.exists = int(told.group(1))
            if line.startswith(tag):
                return line

    def ask(self, command, end=None):
        began = time.monotonic()
        tag = self.imap._new_tag()
        self.imap.send(tag + b" " + command + b"\r\n")
        if end:
            self.answer(b"+")
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.over.wait(0.05)
            began = time.monotonic()
            self.imap.send(end)
        if not self.answer(tag).startswith(tag + b" OK"):
            raise RuntimeError("the phone was refused")
        self.slowest = max(self.slowest, time.monotonic() - began)

    def run(self):
        try:
            while not self.over.is_set():
                self.ask(b"IDLE", b"DONE\r\n")
                self.ask(b"NOOP")
                self.rounds += 1
            self.ask(b"NOOP")
        except Exception as error:
            self.error = error


class Load(NodeTest):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()

    def status(self, key):
        with open("/proc/%d/status" % self.node.process.pid) as f:
            return int(next(line for line in f if line.startswith(key)).split()[1]) * 1024

    def test_smtp_source(self):
        phone = Phone(self.node)
        phone.start()
        began = time.monotonic()
        try:
            self.run_program("smtp-source", "-s", str(CONNECTIONS), "-m", str(MESSAGES), "-l", str(MESSAGE_BYTES), "-f",
                             "load@far.example", "-t", "me@home.test", "127.0.0.1:%d" % self.node.port("smtp"), seconds=200)
        finally:
            seconds = time.monotonic() - began
            phone.over.set()
            phone.join()
        self.assertIsNone(phone.error)
        memory = self.status("VmHWM")
        print("%d messages in %.1f s; slowest of %d rounds of the phone %.2f s; VmHWM %.1f MiB"
              % (MESSAGES, seconds, phone.rounds, phone.slowest, memory / (1 << 20)))
        self.assertEqual(phone.exists, MESSAGES)
        self.assertGreater(phone.rounds, 1)
        self.assertLess(phone.slowest, ANSWER_SECONDS_MAX)
        self.assertLess(memory, MEMORY_BYTES_MAX)
        c = self.node.imap()
        c.select("INBOX", readonly=True)
        _, lines = c.fetch("1:*", "(RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        ids = [line[1].strip().lower() for line in lines if isinstance(line, tuple)]
        c.logout()
        self.assertEqual((len(ids), len(set(ids))), (MESSAGES, MESSAGES))
        self.assertNotIn("ERROR", self.node.log_text())
