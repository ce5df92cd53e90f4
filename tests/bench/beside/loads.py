"""What servers are given to do. Each load ends by itself and returns what a clock of its own says, in seconds."""
import re
import select
import time

import mkmail
from beside.wire import Imap, Pop3, Refused, Smtp, dotted

SENDER = b"alice@example.org"
VISIBLE_WITHIN_SECONDS = 120
CONNECTIONS_OF_ADDRESS = 20
PHONE = b"(UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"
FETCHES = (
    ("flags", b"(FLAGS UID)"),
    ("envelopes", b"(ENVELOPE)"),
    ("header fields", b"(BODY.PEEK[HEADER.FIELDS (FROM SUBJECT DATE)])"),
    ("phone", PHONE),
    ("bodies", b"(BODY.PEEK[])"),
)
# With the share of messages that has to be found: see mkmail.
SEARCHES = (
    ("SUBJECT", b'SUBJECT "Quokka"', 1 / 100),
    ("TEXT", b'TEXT "zanzibarite"', 2 / 1000),
    ("BODY", b'BODY "zanzibarite"', 2 / 1000),
)

_made = {}


def mail(count, seed=1, size=None):
    """Generated once; the same for every server."""
    key = (count, seed, size)
    if key not in _made:
        _made[key] = [mkmail.message(number, seed, size=size) for number in range(count)]
    return _made[key]


def timed(work):
    began = time.monotonic()
    work()
    return time.monotonic() - began


def session(server, tls=False, number=0):
    return Imap(server.imaps if tls else server.imap, tls, source(number)).log_in(server.user, server.password)


def source(number):
    """Of many connections, an address has so many: servers bound what one may have."""
    return "127.0.0.%d" % (1 + number // CONNECTIONS_OF_ADDRESS)


class Sender(Smtp):
    """A connection that sends one message after the other, never waiting itself."""

    def begin(self, number, recipient, body):
        self.number, self.body, self.awaited = number, body, [b"2", b"2", b"3"]
        self.envelope(SENDER, recipient)

    def go_on(self):
        """Takes what was said; true once the message is accepted. Replies to these commands are of one line."""
        self.left += self.receive()
        while b"\n" in self.left:
            self.answer(self.awaited.pop(0))
            if self.awaited:
                continue
            if self.body is None:
                return True
            self.send(self.body)
            self.body, self.awaited = None, [b"2"]
        return False


def push(server, wires, connections, acknowledged=lambda number: None):
    """Sends all messages, each over whichever connection is free; seconds until the last is accepted."""
    numbers, poll = iter(range(len(wires))), select.poll()
    senders = {sender.socket.fileno(): sender for sender in (Sender(server.smtp, source(number)) for number in range(connections))}

    def feed(descriptor):
        number = next(numbers, None)
        if number is not None:
            senders[descriptor].begin(number, server.recipient, wires[number])
            return
        poll.unregister(descriptor)
        senders.pop(descriptor).end()

    began = time.monotonic()
    for descriptor in list(senders):
        poll.register(descriptor, select.POLLIN)
        feed(descriptor)
    while senders:
        for descriptor, _ in poll.poll(VISIBLE_WITHIN_SECONDS * 1000) or stuck():
            if senders[descriptor].go_on():
                acknowledged(senders[descriptor].number)
                feed(descriptor)
    return time.monotonic() - began


def stuck():
    raise Refused("no answer within %d seconds" % VISIBLE_WITHIN_SECONDS)


def deliver(server, messages, connections):
    """(seconds until the last is received, seconds until all are in the mailbox)."""
    wires = [dotted(message) for message in messages]
    imap = session(server)
    before = imap.messages("INBOX")
    began = time.monotonic()
    received = push(server, wires, connections)
    while imap.messages("INBOX") < before + len(wires):
        if time.monotonic() > began + received + VISIBLE_WITHIN_SECONDS:
            raise Refused("not all messages are in the mailbox")
        time.sleep(0.002)
    seconds = time.monotonic() - began
    imap.end()
    return received, seconds


def fill(server, mailbox, messages, at_once=1):
    """Appends one after the other, or `at_once` in a command."""
    imap = session(server)
    imap.command(b'CREATE "%s"' % mailbox.encode(), ok=False)
    seconds = 0.0
    for first in range(0, len(messages), at_once):
        seconds += timed(lambda: imap.append(mailbox, *messages[first:first + at_once]))
    imap.end()
    return seconds


def read(server, mailbox, tls=False, wanted=None):
    """Seconds of SELECT and of each FETCH; all messages have to be there in each."""
    imap = session(server, tls)
    count = imap.messages(mailbox)
    found = {"SELECT": timed(lambda: imap.select(mailbox))}
    for name, items in FETCHES:
        if wanted and name not in wanted:
            continue
        told = []
        found[name] = timed(lambda: told.append(imap.command(b"FETCH 1:* " + items)))
        if told[0].count(b" FETCH (") < count:
            raise Refused("FETCH of %s left messages out" % name)
    imap.end()
    return found


def search(server, mailbox):
    """Seconds of each SEARCH; what it found is compared with what is there."""
    imap = session(server)
    count, found = imap.select(mailbox)[0], {}
    for name, key, share in SEARCHES:
        told = []
        found[name] = timed(lambda: told.append(imap.command(b"UID SEARCH " + key)))
        hits = sum(len(line.split()) for line in re.findall(rb"\* SEARCH([ 0-9]*)", told[0]))
        if count % 1000 == 0 and hits != round(count * share):
            raise Refused("SEARCH %s found %d of %d" % (name, hits, count * share))
    imap.end()
    return found


def change(server, mailbox, messages):
    """Seconds of STORE, COPY, MOVE and EXPUNGE of as many messages, and of appending these one after the other."""
    imap, count, found = session(server), len(messages), {}
    imap.select(mailbox)
    for name in b"Scratch", b"Scratch2":
        imap.command(b"DELETE " + name, ok=False)
        imap.command(b"CREATE " + name)

    def take(name, text):
        found[name] = timed(lambda: imap.command(text))

    take("STORE", b"STORE 1:%d +FLAGS (\\Flagged)" % count)
    imap.command(b"STORE 1:%d -FLAGS.SILENT (\\Flagged)" % count)
    take("COPY", b"COPY 1:%d Scratch" % count)
    imap.select("Scratch")
    take("MOVE", b"MOVE 1:%d Scratch2" % count)
    imap.select("Scratch2")
    imap.command(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
    take("EXPUNGE", b"EXPUNGE")
    found["APPEND"] = timed(lambda: [imap.append("Scratch", message) for message in messages])
    imap.select(mailbox)
    for name in b"Scratch", b"Scratch2":
        imap.command(b"DELETE " + name)
    imap.end()
    return found


def change_ten(server, mailbox):
    """Five flags, three messages gone, two new. What a phone knew before: UIDVALIDITY, HIGHESTMODSEQ and UIDNEXT."""
    other = session(server)
    count, told = other.select(mailbox, b" (CONDSTORE)")
    known = [re.search(name + rb" (\d+)", told).group(1) for name in (b"UIDVALIDITY", b"HIGHESTMODSEQ", b"UIDNEXT")]
    for number in 11, 222, 333, 444, 555:
        number = min(number, count)
        flagged = b"\\Seen" in other.command(b"FETCH %d (FLAGS)" % number)
        other.command(b"STORE %d %sFLAGS.SILENT (\\Seen)" % (number, b"-" if flagged else b"+"))
    for number in count - 30, count - 40, count - 50:
        other.command(b"STORE %d +FLAGS.SILENT (\\Deleted)" % number)
    other.command(b"EXPUNGE")
    # A third keeps the mailbox at its length.
    for message in mail(3, seed=9):
        other.append(mailbox, message)
    other.end()
    return known


def come_back(server, mailbox, known):
    """The phone comes back. Seconds from connecting to knowing all."""
    began = time.monotonic()
    imap = session(server)
    imap.command(b"ENABLE QRESYNC")
    told = imap.select(mailbox, b" (QRESYNC (%s %s))" % tuple(known[:2]))[1]
    told += imap.command(b"UID FETCH %s:* %s" % (known[2], PHONE))
    seconds = time.monotonic() - began
    if b"VANISHED" not in told or told.count(b" FETCH (") < 8:
        raise Refused("QRESYNC left changes out")
    imap.end()
    return seconds


def wake(server, samples):
    """Seconds from the 250 of a message to the EXISTS that an idling session is told, each."""
    imap, smtp, waits = session(server), Smtp(server.smtp), []
    imap.select("INBOX")
    tag = imap.idle()
    for message in mail(samples, seed=5, size=4096):
        smtp.envelope(SENDER, server.recipient)
        for wanted in b"2", b"2", b"3":
            smtp.answer(wanted)
        smtp.send(dotted(message))
        told = {}
        while len(told) < 2:
            ready, _, _ = select.select([side.socket for side in (smtp, imap)], [], [], VISIBLE_WITHIN_SECONDS)
            now = time.monotonic()
            for side, mark in (smtp, b"250"), (imap, b" EXISTS"):
                if side.socket in ready:
                    side.left += side.receive()
                    if mark in side.left and side.left.endswith(b"\n"):
                        told[mark], side.left = now, b""
            if not ready:
                stuck()
        waits.append(max(0.0, told[b" EXISTS"] - told[b"250"]))
        time.sleep(0.1)
    imap.send(b"DONE\r\n")
    imap.tagged(tag)
    imap.end()
    smtp.end()
    return waits


def drain(server, count):
    """Seconds of RETR and DELE of each message by POP3, a command at a time, and QUIT."""
    pop3 = Pop3(server.pop3)
    pop3.command(b"USER " + server.user.encode())
    pop3.command(b"PASS " + server.password.encode())
    if int(pop3.command(b"STAT").split()[1]) < count:
        raise Refused("there is less mail than was brought")
    began = time.monotonic()
    for number in range(1, count + 1):
        pop3.command(b"RETR %d" % number)
        pop3.lines()
        pop3.command(b"DELE %d" % number)
    pop3.command(b"QUIT")
    return time.monotonic() - began


def empty(server, mailbox):
    imap = session(server)
    if imap.select(mailbox)[0]:
        imap.command(b"STORE 1:* +FLAGS.SILENT (\\Deleted)")
        imap.command(b"EXPUNGE")
    imap.end()


def missing(server, messages):
    """How many of the messages are not in INBOX, after a while for a queue to deliver them, and how many are there twice."""
    wanted = {re.search(rb"\r\nMessage-ID: (\S+)", message).group(1) for message in messages}
    limit = time.monotonic() + VISIBLE_WITHIN_SECONDS
    while True:
        imap = session(server)
        imap.select("INBOX")
        told = imap.command(b"UID FETCH 1:* (BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
        imap.end()
        there = re.findall(rb"(?i)Message-ID: (\S+)", told)
        lost = wanted - set(there)
        if not lost or time.monotonic() > limit:
            return len(lost), len(there) - len(set(there))
        time.sleep(1)
