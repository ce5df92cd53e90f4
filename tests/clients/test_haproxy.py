"""haproxy in front, with PROXY headers of both versions: before TLS, before a greeting; and connections without one."""
import imaplib
import smtplib
import socket
import subprocess
import time

from node import PASSWORD, NodeTest, ServedNode, free_base, message

# haproxy connects from here, so that nobody else on this machine is a front.
FRONT = "127.0.0.2"


class Haproxy(NodeTest):
    @classmethod
    def setUpClass(cls):
        cls.node = ServedNode(listen='proxy_from = ["%s"]\n' % FRONT)

    def front(self, version):
        """A haproxy for IMAPS and MX; gives its two ports."""
        base = free_base()
        services = [("imaps", base + 993), ("smtp", base + 25)]
        lines = ["defaults", " mode tcp", " timeout connect 5s", " timeout client 20s", " timeout server 20s"]
        for service, port in services:
            lines += ["listen %s" % service, " bind 127.0.0.1:%d" % port, " source " + FRONT,
                      " server node 127.0.0.1:%d %s" % (self.node.port(service), version)]
        configuration = self.path("haproxy.cfg", "\n".join(lines) + "\n")
        process = subprocess.Popen(["haproxy", "-db", "-f", configuration], stderr=subprocess.DEVNULL)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        limit = time.monotonic() + 10
        while time.monotonic() < limit:
            try:
                socket.create_connection(("127.0.0.1", base + 25)).close()
                return base + 993, base + 25
            except OSError:
                time.sleep(0.05)
        self.fail("haproxy does not listen")

    def test_both_versions(self):
        for version, client in (("send-proxy", "127.0.0.7"), ("send-proxy-v2", "127.0.0.8")):
            imaps, mx = self.front(version)
            with smtplib.SMTP("127.0.0.1", mx, source_address=(client, 0)) as s:
                s.sendmail("alice@far.example", ["me@home.test"], message(version))
            got = next(got for _, got in self.node.await_messages(1).values() if version.encode() in got)
            self.assertIn(b"([%s])" % client.encode(), got.split(b"\r\n\r\n")[0])
            raw = socket.create_connection(("127.0.0.1", imaps), source_address=(client, 0))
            c = Wrapped(raw, self.node.tls_context(False))
            c.login("me", PASSWORD)
            c.logout()
            self.assertRegex(self.node.log_text(), "event=login service=imap .*peer=%s .*TLSv1.3" % client)

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


class Wrapped(imaplib.IMAP4):
    """IMAP over TLS on a socket that is connected."""

    def __init__(self, raw, context):
        self.raw, self.context = raw, context
        super().__init__()

    def _create_socket(self, timeout):
        return self.context.wrap_socket(self.raw)
