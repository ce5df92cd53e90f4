"""A thousand connections that are opened and left lying, from one peer and from many, while a phone reads and sends."""
import imaplib
import os
import resource
import smtplib
import socket
import time

from node import PASSWORD, NodeTest, ServedNode, message

CONNECTIONS = 1000
# For the sessions that there may be at once, 300 of each service; half of them in a TLS handshake.
GROWTH_BYTES_MAX = 24 << 20
# What is said before a connection is left lying, by service: nothing, half a handshake, half a command, a whole one.
LEFT_LYING = [
    ("imaps", b""), ("imap", b""), ("submission", b"EHLO half"), ("imaps", b"\x16\x03\x01\x02\x00\x01"), ("imap", b"a LOGIN me {"),
    ("submissions", b""), ("smtp", b"EHLO far.example\r\nMAIL FROM:<"), ("pop3", b"USER me\r\n"), ("pop3s", b"\x16\x03\x01\x02\x00\x01"),
]


class Flood(NodeTest):
    @classmethod
    def setUpClass(cls):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
        cls.node = ServedNode()

    def status(self, key):
        with open("/proc/%d/status" % self.node.process.pid) as f:
            return int(next(line for line in f if line.startswith(key)).split()[1]) * 1024

    def open_one(self, n, peer):
        service, said = LEFT_LYING[n % len(LEFT_LYING)]
        s = socket.socket()
        s.bind((peer, 0))
        s.settimeout(5)
        try:
            s.connect(("127.0.0.1", self.node.port(service)))
            s.sendall(said)
        except OSError:
            pass  # refused by the node, which is well
        return s

    def works(self, phone):
        began = time.monotonic()
        self.assertEqual(phone.noop()[0], "OK")
        self.assertLess(time.monotonic() - began, 2)
        again = imaplib.IMAP4_SSL("127.0.0.1", self.node.port("imaps"), ssl_context=self.node.tls_context(False))
        again.login("me", PASSWORD)
        again.logout()
        with smtplib.SMTP_SSL("127.0.0.1", self.node.port("submissions"), context=self.node.tls_context(False)) as s:
            s.login("me", PASSWORD)
            s.sendmail("me@home.test", ["me@home.test"], message("flood", sender="me@home.test"))
        self.node.deliver(message("flood-mx"))
        self.assertLess(time.monotonic() - began, 10)

    def flood(self, peers):
        phone = imaplib.IMAP4_SSL("127.0.0.1", self.node.port("imaps"), ssl_context=self.node.tls_context(False))
        phone.login("me", PASSWORD)
        phone.select("INBOX")
        self.works(phone)
        before = self.status("VmRSS")
        held = []
        for n in range(CONNECTIONS):
            held.append(self.open_one(n, peers[n % len(peers)]))
            if n % 250 == 249:
                self.works(phone)
        growth = self.status("VmRSS") - before
        files = len(os.listdir("/proc/%d/fd" % self.node.process.pid))
        print("%d peers: %.1f MiB more, %d descriptors" % (len(peers), growth / (1 << 20), files))
        self.assertLess(growth, GROWTH_BYTES_MAX)
        self.assertLess(files, CONNECTIONS + 100)
        for s in held:
            s.close()
        self.works(phone)
        phone.logout()

    def test_one_peer(self):
        self.flood(["127.0.0.99"])

    def test_many_peers(self):
        self.flood(["127.0.%d.%d" % (1 + n // 200, 1 + n % 200) for n in range(500)])
