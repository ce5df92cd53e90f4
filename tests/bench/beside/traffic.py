"""Everybody who talks to a mail server in a long run: each is a thread that goes on until it is told to stop, counts what was
acknowledged, and keeps the first things that went wrong."""
import contextlib
import itertools
import random
import re
import socket
import socketserver
import ssl
import threading
import time

import mkmail
from beside import loads
from beside.wire import Imap, Pop3, Refused, Smtp, dotted, target

MESSAGE_BYTES = 4096
KEPT_IN_INBOX = 300
TROUBLES_KEPT = 20
# Whoever guesses comes from elsewhere than the owner.
GUESSER = "127.0.0.66"


class Sink:
    """A server that takes all mail and counts it, for what is sent."""

    def __init__(self):
        self.taken = 0
        sink = self

        class Session(socketserver.StreamRequestHandler):
            def handle(self):
                self.wfile.write(b"220 sink.example\r\n")
                while line := self.rfile.readline():
                    verb = line[:4].upper()
                    if verb == b"DATA":
                        self.wfile.write(b"354 go on\r\n")
                        while self.rfile.readline() not in (b".\r\n", b""):
                            pass
                        sink.taken += 1
                    self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 sink.example\r\n")
                    if verb == b"QUIT":
                        return

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Session)
        self.server.daemon_threads = True
        self.address = "127.0.0.1:%d" % self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Traffic:
    """`pace`: how often everybody does what they do, 1 is some messages a second."""

    def __init__(self, server, pace):
        self.server, self.pace = server, pace
        self.over, self.lock = threading.Event(), threading.Lock()
        self.numbers = itertools.count()
        # What was acknowledged: received, sent, appended, changed (a flag, a copy, an expunge), deleted by POP3.
        self.done = dict.fromkeys(("received", "sent", "appended", "changed", "fetched", "guessed", "cut", "woken"), 0)
        self.troubles = []
        everybody = [self.bring] * 2 + [self.submit] + [self.wait] * 6 + [self.read] + [self.drain, self.guess, self.cut]
        self.threads = [threading.Thread(target=self.go_on, args=(who, number)) for number, who in enumerate(everybody)]

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.over.set()
        for thread in self.threads:
            thread.join(60)
        if any(thread.is_alive() for thread in self.threads):
            raise RuntimeError("a client got no answer for a minute")

    def go_on(self, who, number):
        chance = random.Random(number)
        while not self.over.is_set():
            try:
                who(chance)
            except (OSError, Refused, ValueError, AttributeError) as trouble:
                with self.lock:
                    self.troubles = (self.troubles + ["%s: %r" % (who.__name__, trouble)])[:TROUBLES_KEPT]
                self.over.wait(1)

    def did(self, what, count=1):
        with self.lock:
            self.done[what] += count

    def pause(self, chance, seconds):
        """About so long; true when all is over."""
        return self.over.wait(chance.uniform(0.5, 1.5) * seconds / self.pace)

    def message(self, sender=None):
        with self.lock:
            number = next(self.numbers)
        message = mkmail.message(number, seed=8, size=MESSAGE_BYTES)
        return re.sub(rb"\r\nFrom: [^\r]*", b"\r\nFrom: " + sender, message) if sender else message

    # -- everybody

    def bring(self, chance):
        smtp = Smtp(self.server.smtp)
        for _ in range(chance.randint(1, 5)):
            smtp.deliver(loads.SENDER, self.server.recipient, dotted(self.message()))
            self.did("received")
        smtp.end()
        self.pause(chance, 2)

    def submit(self, chance):
        smtp = Smtp("127.0.0.1:%d" % (self.server.base + 587)).log_in(self.server.user, self.server.password)
        smtp.deliver(self.server.recipient, b"bob@far.example", dotted(self.message(self.server.recipient)))
        self.did("sent")
        smtp.end()
        self.pause(chance, 4)

    def wait(self, chance):
        """A phone that idles over TLS, and fetches what is new; it comes anew now and then."""
        imap = loads.session(self.server, tls=True)
        imap.select("INBOX")
        until = time.monotonic() + chance.uniform(20, 120)
        while time.monotonic() < until and not self.over.is_set():
            tag = imap.idle()
            imap.socket.settimeout(5)
            try:
                while b" EXISTS" not in imap.line():
                    pass
                self.did("woken")
            except TimeoutError:
                pass
            imap.socket.settimeout(60)
            imap.send(b"DONE\r\n")
            imap.tagged(tag)
            imap.command(b"FETCH * (UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[])", ok=False)
        imap.end()

    def read(self, chance):
        """The computer of the owner: reads, marks, files, keeps drafts, and deletes what is old."""
        imap = loads.session(self.server)
        for mailbox in "Work", "Drafts":
            imap.command(b"CREATE " + mailbox.encode(), ok=False)
        for _ in range(30):
            count = imap.select("INBOX")[0]
            if count:
                number = chance.randint(1, count)
                imap.command(b"FETCH %d:* %s" % (max(1, count - 50), loads.PHONE))
                imap.command(b"STORE %d +FLAGS (\\Flagged)" % number)
                imap.command(b"COPY %d Work" % number)
                imap.append("Drafts", self.message())
                imap.command(b'SEARCH TEXT "zanzibarite"')
                self.did("changed", 2)
                self.did("appended")
            if count > KEPT_IN_INBOX:
                self.delete(imap, b"1:%d" % (count - KEPT_IN_INBOX // 2))
                for mailbox in "Work", "Drafts", "Sent":
                    if imap.select(mailbox)[0]:
                        self.delete(imap, b"1:*")
            if self.pause(chance, 1):
                break
        imap.end()

    def delete(self, imap, numbers):
        imap.command(b"STORE %s +FLAGS.SILENT (\\Deleted)" % numbers)
        imap.command(b"EXPUNGE")
        self.did("changed", 2)

    def drain(self, chance):
        pop3 = Pop3(self.server.pop3)
        pop3.command(b"USER " + self.server.user.encode())
        pop3.command(b"PASS " + self.server.password.encode())
        for number in range(1, min(3, int(pop3.command(b"STAT").split()[1])) + 1):
            pop3.command(b"RETR %d" % number)
            pop3.lines()
            pop3.command(b"DELE %d" % number)
            self.did("fetched")
        pop3.send(b"QUIT\r\n")
        # Another may have deleted them in the meantime: that is said, and all the same.
        pop3.line()
        pop3.close()
        self.did("changed")
        self.pause(chance, 20)

    def guess(self, chance):
        """Who has guessed for a while is not listened to any more: that is as it should be."""
        with contextlib.suppress(Refused, OSError):
            imap = Imap(self.server.imap, source=GUESSER)
            with contextlib.closing(imap):
                imap.command(b'LOGIN "%s" "guess%d"' % (self.server.user.encode(), chance.randint(0, 10**6)), ok=False)
        self.did("guessed")
        self.pause(chance, 15)

    def cut(self, chance):
        """Connections that end where nobody expects it."""
        where = chance.choice(("data", "append", "handshake", "greeting"))
        if where == "data":
            smtp = Smtp(self.server.smtp)
            smtp.envelope(loads.SENDER, self.server.recipient)
            smtp.send(self.message()[:2000])
            smtp.close()
        elif where == "append":
            imap = loads.session(self.server)
            imap.send(b"a APPEND INBOX {100000+}\r\n" + self.message()[:3000])
            imap.close()
        else:
            with socket.create_connection(target(self.server.imaps if where == "handshake" else self.server.pop3), 10) as raw:
                if where == "handshake":
                    hello, out = ssl.MemoryBIO(), ssl.MemoryBIO()
                    try:
                        ssl.create_default_context().wrap_bio(hello, out, server_hostname="localhost").do_handshake()
                    except ssl.SSLWantReadError:
                        raw.sendall(out.read()[:100])
        self.did("cut")
        self.pause(chance, 3)
