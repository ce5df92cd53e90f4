"""SCRAM-SHA-256 and SCRAM-SHA-256-PLUS from the client's side, written from RFC 5802, RFC 7677 and RFC 5929."""
import base64
import hashlib
import hmac
import os


class Refused(Exception):
    """The server said e=..., or its own proof is wrong."""


def end_point(connection):
    """tls-server-end-point of a connection: the certificates of the tests are signed with SHA-256."""
    return b"tls-server-end-point", hashlib.sha256(connection.getpeercert(binary_form=True)).digest()


class Scram:
    """One exchange: three answers to what the server says. `flag` is b"n", b"y" or (name, data) of a channel binding."""

    def __init__(self, login, password, flag=b"n", authzid=b""):
        name = login.encode().replace(b"=", b"=3D").replace(b",", b"=2C")
        bound = isinstance(flag, tuple)
        self.header = (b"p=" + flag[0] if bound else flag) + b"," + (b"a=" + authzid if authzid else b"") + b","
        self.cover = self.header + (flag[1] if bound else b"")
        self.bare = b"n=" + name + b",r=" + base64.b64encode(os.urandom(18))
        self.password = password.encode()
        self.said = None
        self.done = False

    def first(self):
        return self.header + self.bare

    def final(self, server_first):
        if server_first.startswith(b"e="):
            raise Refused(server_first)
        attributes = dict(part.split(b"=", 1) for part in server_first.split(b","))
        self.salt, self.rounds = base64.b64decode(attributes[b"s"]), int(attributes[b"i"])
        assert attributes[b"r"].startswith(self.bare.split(b"r=", 1)[1]) and self.rounds >= 4096
        salted = hashlib.pbkdf2_hmac("sha256", self.password, self.salt, self.rounds)
        client_key = mac(salted, b"Client Key")
        without = b"c=" + base64.b64encode(self.cover) + b",r=" + attributes[b"r"]
        exchanged = self.bare + b"," + server_first + b"," + without
        signature = mac(hashlib.sha256(client_key).digest(), exchanged)
        self.expected = base64.b64encode(mac(mac(salted, b"Server Key"), exchanged))
        return without + b",p=" + base64.b64encode(bytes(a ^ b for a, b in zip(client_key, signature)))

    def check(self, server_final):
        if server_final != b"v=" + self.expected:
            raise Refused(server_final)
        self.done = True

    def answer(self, challenge):
        """What to say to a challenge, both decoded. For imaplib and smtplib, whose first challenge may be empty."""
        if self.said is None:
            self.said = "first"
            return self.first()
        if self.said == "first":
            self.said = "final"
            return self.final(challenge)
        self.check(challenge)
        return b""


def mac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()
