"""COMPRESS=DEFLATE (RFC 4978) spoken by Python's zlib: bodies are the same, and a client that reads slowly costs no memory."""
import re
import socket
import time
import unittest
import zlib

from node import PASSWORD, NodeTest, message


class Session:
    """One IMAP connection over TLS."""

    def __init__(self, node):
        plain = socket.create_connection(("127.0.0.1", node.port("imaps")), timeout=30)
        self.socket = node.tls_context().wrap_socket(plain, server_hostname="localhost")
        self.deflate = self.inflate = None
        self.command(b'LOGIN me "%s"' % PASSWORD.encode())
        self.command(b"SELECT INBOX")

    def send(self, data):
        self.socket.sendall(self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH) if self.deflate else data)

    def receive(self):
        data = self.socket.recv(1 << 16)
        if not data:
            raise EOFError
        return self.inflate.decompress(data) if self.inflate else data

    def command(self, text):
        self.send(b"t " + text + b"\r\n")
        told, tail = [], b""
        while not re.search(rb"(?:^|\r\n)t [A-Z]+[^\r\n]*\r\n$", tail):
            told.append(self.receive())
            tail = (tail + told[-1])[-4096:]
        return b"".join(told)

    def compress(self):
        assert b"t OK" in self.command(b"COMPRESS DEFLATE")
        self.deflate, self.inflate = zlib.compressobj(9, zlib.DEFLATED, -15), zlib.decompressobj(-15)

    def append(self, text):
        self.send(b"t APPEND INBOX {%d+}\r\n%s\r\n" % (len(text), text))
        told = b""
        while b"t OK" not in told:
            told += self.receive()


def own_kib(process):
    # Not the pages of the program: other nodes share those, and come and go.
    with open("/proc/%d/smaps_rollup" % process) as file:
        return int(re.search(r"^Pss_Anon:\s+(\d+)", file.read(), re.M).group(1))


class Compress(NodeTest):
    def test_bodies_are_the_same(self):
        plain = Session(self.node)
        sent = [message(str(number), big=size) for number, size in enumerate([0, 100, 50_000, 400_000])]
        sent.append(b"Subject: NUL and noise\r\n\r\n" + bytes(range(1, 256)) * 300 + b"\r\n")
        for text in sent:
            plain.append(text)
        packed = Session(self.node)
        packed.compress()
        for what in (b"BODY.PEEK[]", b"BODY.PEEK[HEADER]", b"BODY.PEEK[TEXT]", b"BODY.PEEK[1]", b"BODY.PEEK[2]<10.70000>",
                     b"BODY.PEEK[HEADER.FIELDS (From Subject)]", b"(FLAGS UID BODY.PEEK[]<1.40000> ENVELOPE)"):
            text = b"FETCH 1:* " + what
            self.assertTrue(plain.command(text) == packed.command(text), what)
        packed.append(sent[3])
        plain.command(b"NOOP")
        self.assertTrue(sent[3] in plain.command(b"FETCH 6 BODY.PEEK[]"))

    def test_a_slow_client_costs_no_memory(self):
        filler = Session(self.node)
        for number in range(4):
            filler.append(message("big%d" % number, big=4_000_000))
        for number in range(300):
            filler.append(message("small%d" % number, big=20_000))
        for compressed in False, True:
            session = Session(self.node)
            if compressed:
                session.compress()
            # What the store keeps of pages it has read is bounded by itself: it is full before anything is measured.
            session.command(b"FETCH 5:* (BODY.PEEK[])")
            before = own_kib(self.node.process.pid)
            session.send(b"t FETCH 1:* (BODY.PEEK[])\r\n")
            most = 0
            for _ in range(60):
                # Takes a little at a time: the server is ahead of it all the while.
                session.receive()
                most = max(most, own_kib(self.node.process.pid))
                time.sleep(0.01)
            session.socket.close()
            print("compressed %s: %d KiB more" % (compressed, most - before), flush=True)
            self.assertLess(most - before, 3000)


if __name__ == "__main__":
    unittest.main()
