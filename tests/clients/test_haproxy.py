"""haproxy in front of port 25 and IMAPS, by PROXY versions 1 and 2: what is written down is whose the connection really is."""
import imaplib
import os
import re
import shutil
import smtplib
import socket
import subprocess
import time

from node import PASSWORD, NodeTest, ServedNode, message
from peers import free_port

FRONT = "127.0.0.9"
CLIENT = "127.0.0.77"

BEGINNING = """
global
    stats socket %s/stats
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
"""
PAIR = """
frontend {name}
    bind 127.0.0.1:{port}
    bind [::1]:{port}
    default_backend {name}
backend {name}
    source {front}
    server node 127.0.0.1:{to} {send} check inter 200ms
"""


class Phone(imaplib.IMAP4_SSL):
    def _create_socket(self, timeout):
        sock = socket.create_connection((self.host, self.port), timeout, (CLIENT, 0))
        return self.ssl_context.wrap_socket(sock, server_hostname=self.host)


class Haproxy(NodeTest):
    @classmethod
    def setUpClass(cls):
        cls.node = ServedNode(listen='proxy_from = ["%s"]' % FRONT)
        cls.ports = {(service, version): free_port() for service in ("smtp", "imaps") for version in (1, 2)}
        text = BEGINNING % cls.node.folder
        for (service, version), port in cls.ports.items():
            send = "send-proxy" if version == 1 else "send-proxy-v2 proxy-v2-options crc32c,unique-id"
            text += PAIR.format(name="%s%d" % (service, version), port=port, front=FRONT, to=cls.node.port(service), send=send)
        path = os.path.join(cls.node.folder, "haproxy.cfg")
        with open(path, "w") as f:
            f.write(text)
        if shutil.which("haproxy") is None:
            raise AssertionError("haproxy is not installed")
        cls.haproxy = subprocess.Popen(["haproxy", "-db", "-f", path], stdout=cls.node.log, stderr=cls.node.log)
        limit = time.monotonic() + 20
        while not os.path.exists(cls.node.folder + "/stats") and time.monotonic() < limit:
            time.sleep(0.05)

    @classmethod
    def tearDownClass(cls):
        cls.haproxy.terminate()
        cls.haproxy.wait()
        cls.node.stop()

    def deliver(self, version, server, client):
        m = message("haproxy%d" % version)
        with smtplib.SMTP(server, self.ports["smtp", version], source_address=(client, 0)) as s:
            s.starttls()
            s.sendmail("alice@far.example", ["me@home.test"], m)
        got, = [got for _, got in self.assert_arrived(m).values()]
        return re.search(rb"Received: from [^;]*;", got).group()

    def test_mail(self):
        for version in (1, 2):
            self.setUp()
            self.assertIn(b"[127.0.0.77]", self.deliver(version, "127.0.0.1", CLIENT))
            self.setUp()
            self.assertIn(b"[IPv6:::1]", self.deliver(version, "::1", "::1"))
            self.assertNotIn("peer=" + FRONT, self.node.log_text())

    def test_imaps(self):
        for version in (1, 2):
            c = Phone("127.0.0.1", self.ports["imaps", version], ssl_context=self.node.tls_context(False))
            c.login("me", PASSWORD)
            self.assertEqual(c.select("INBOX")[0], "OK")
            c.logout()
            self.assertEqual(self.node.log_text().count("service=imap mechanism=LOGIN peer=%s " % CLIENT), version)

    def test_checks(self):
        """Connections of haproxy itself, by which it finds out that the node is there."""
        time.sleep(1)
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(self.node.folder + "/stats")
            s.sendall(b"show stat\n")
            text = b"".join(iter(lambda: s.recv(65536), b"")).decode()
        rows = [dict(zip(text.lstrip("# ").split("\n")[0].split(","), line.split(","))) for line in text.split("\n")[1:]]
        self.assertEqual([row["status"] for row in rows if row.get("svname") == "node"], ["UP"] * 4)

    def test_without_a_header(self):
        s = socket.socket()
        s.settimeout(10)
        s.bind((FRONT, 0))
        s.connect(("127.0.0.1", self.node.port("smtp")))
        s.sendall(b"EHLO a.far.example\r\n")
        try:
            self.assertEqual(s.recv(100), b"")
        except ConnectionResetError:
            pass  # an end, too
        # From elsewhere a header is nonsense.
        with socket.create_connection(("127.0.0.1", self.node.port("imap"))) as s:
            s.sendall(b"PROXY TCP4 192.0.2.1 127.0.0.1 1 143\r\n")
            said = b""
            while b"BAD" not in said:
                more = s.recv(1000)
                self.assertTrue(more, said)
                said += more
            self.assertNotIn("192.0.2.1", self.node.log_text())
