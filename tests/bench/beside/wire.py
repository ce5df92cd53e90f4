"""SMTP, IMAP and POP3 as seen by a client that measures: blocking sockets, no more parsing than needed. Loopback only."""
import base64
import ipaddress
import random
import re
import socket
import ssl

PATIENCE_SECONDS = 400


class Refused(Exception):
    """The server said no, or hung up."""


def target(text):
    """(host, port) of HOST:PORT; nothing but this machine is loaded."""
    host, _, port = text.rpartition(":")
    if not ipaddress.ip_address(host).is_loopback:
        raise ValueError("only loopback: " + text)
    return host, int(port)


class Connection:
    """A socket that reads lines."""

    def __init__(self, where, tls=False, source="127.0.0.1"):
        self.socket = socket.create_connection(target(where), PATIENCE_SECONDS, (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.left = b""
        if tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)

    def send(self, data):
        self.socket.sendall(data)

    def receive(self, most=1 << 18):
        data = self.socket.recv(most)
        if not data:
            raise Refused("the server has closed the connection")
        return data

    def line(self):
        while b"\n" not in self.left:
            self.left += self.receive()
        line, _, self.left = self.left.partition(b"\n")
        return line + b"\n"

    def close(self):
        self.socket.close()


class Smtp(Connection):
    """A session that has said EHLO. The server has to announce PIPELINING."""

    def __init__(self, where, source="127.0.0.1"):
        super().__init__(where, source=source)
        self.answer(b"2")
        self.send(b"EHLO client.example.org\r\n")
        if b"PIPELINING" not in self.answer(b"2"):
            raise Refused("no PIPELINING")

    def answer(self, wanted):
        text = b""
        while True:
            line = self.line()
            text += line
            if line[3:4] != b"-":
                break
        if not text.startswith(wanted):
            raise Refused("SMTP: %r" % text)
        return text

    def log_in(self, user, password):
        self.send(b"AUTH PLAIN " + base64.b64encode(("\0%s\0%s" % (user, password)).encode()) + b"\r\n")
        self.answer(b"2")
        return self

    def envelope(self, sender, recipient):
        self.send(b"MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n" % (sender, recipient))

    def deliver(self, sender, recipient, dotted):
        self.envelope(sender, recipient)
        for wanted in b"2", b"2", b"3":
            self.answer(wanted)
        self.send(dotted)
        self.answer(b"2")

    def end(self):
        self.send(b"QUIT\r\n")
        self.answer(b"2")
        self.close()


def dotted(message):
    """As it goes over the wire after DATA."""
    if message.startswith(b"."):
        message = b"." + message
    return message.replace(b"\r\n.", b"\r\n..") + b".\r\n"


class Imap(Connection):
    """Tags are random: nothing in a message looks like one."""

    def __init__(self, where, tls=False, source="127.0.0.1"):
        super().__init__(where, tls, source)
        self.line()
        self.prefix, self.count = b"t%08x" % random.getrandbits(32), 0

    def tag(self):
        self.count += 1
        return b"%sx%d" % (self.prefix, self.count)

    def tagged(self, tag):
        """All that is said up to the tagged answer, and that answer."""
        parts, tail, mark = [self.left], self.left, tag + b" "
        self.left = b""
        while True:
            at = tail.find(mark)
            if at >= 0 and (at == 0 or tail[at - 1:at] == b"\n") and b"\n" in tail[at:]:
                end = tail.index(b"\n", at) + 1
                self.left = tail[end:]
                data = b"".join(parts)
                return data[:len(data) - len(self.left)], tail[at:end]
            data = self.receive()
            parts.append(data)
            tail = tail[-2000:] + data

    def command(self, text, ok=True):
        tag = self.tag()
        self.send(tag + b" " + text + b"\r\n")
        data, answer = self.tagged(tag)
        if ok and not answer[len(tag) + 1:].startswith(b"OK"):
            raise Refused("IMAP: %r was answered %r" % (text[:80], answer[:300]))
        return data

    def log_in(self, user, password):
        self.command(b'LOGIN "%s" "%s"' % (user.encode(), password.encode()))
        return self

    def capabilities(self):
        return self.command(b"CAPABILITY").upper().split()

    def messages(self, mailbox):
        found = re.search(rb"MESSAGES (\d+)", self.command(b'STATUS "%s" (MESSAGES)' % mailbox.encode()))
        return int(found.group(1))

    def select(self, mailbox, more=b""):
        """The number of messages, and all that was said."""
        data = self.command(b'SELECT "%s"%s' % (mailbox.encode(), more))
        return int(re.search(rb"\* (\d+) EXISTS", data).group(1)), data

    def append(self, mailbox, *messages):
        """One command; more than one message needs MULTIAPPEND. Literals do not wait (LITERAL+)."""
        tag = self.tag()
        literals = [b" {%d+}\r\n%s" % (len(message), message) for message in messages]
        self.send(b'%s APPEND "%s"' % (tag, mailbox.encode()) + b"".join(literals) + b"\r\n")
        _, answer = self.tagged(tag)
        if b" OK" not in answer:
            raise Refused("APPEND: %r" % answer)

    def idle(self):
        tag = self.tag()
        self.send(tag + b" IDLE\r\n")
        while not self.line().startswith(b"+"):
            pass
        return tag

    def end(self):
        self.command(b"LOGOUT")
        self.close()


class Pop3(Connection):
    def __init__(self, where):
        super().__init__(where)
        self.good(self.line())

    @staticmethod
    def good(line):
        if not line.startswith(b"+OK"):
            raise Refused("POP3: %r" % line)
        return line

    def command(self, text):
        self.send(text + b"\r\n")
        return self.good(self.line())

    def lines(self):
        """What follows +OK, up to the dot."""
        parts, tail = [self.left], b"\r\n" + self.left
        self.left = b""
        while not tail.endswith(b"\r\n.\r\n"):
            data = self.receive()
            parts.append(data)
            tail = tail[-4:] + data
        return b"".join(parts)
