"""How our own cost grows with the mail that is there, with sessions, and with the size of a message.

A figure is told per unit of work: of one message where all messages are worked on (SELECT too: it has to number them), of the whole
where the work is the same at each size. So a line that does not rise is one whose cost grows no faster than its work. Growth is told
from each size to the next, for a tenfold size; what is logarithmic rises a little each time, by what a level of redb's trees costs.
What still grows by more than GROWTH_MAX towards the largest size is called by name. A thousand small messages lie in the store's
cache, ten thousand do not: a step there is not one that goes on.
"""
import math
import re
import statistics
import time

import mkmail
from beside import loads
from beside.servers import Configured, Watch
from beside.wire import Smtp, dotted

GROWTH_MAX = 1.3
SIZES = (1_000, 10_000, 100_000, 500_000)
CONNECTIONS = (1, 10, 100)
BODY_MEGABYTES = (1, 10, 100)
MESSAGE_BYTES = 1_500
AT_ONCE = 100
REPEATS = 3
BOX = "Big"


class Growth:
    """One kind of size, and what was measured at each."""

    def __init__(self, record, server, sizes, unit):
        self.record, self.server, self.sizes, self.unit, self.found = record, server, sizes, unit, {}

    def keep(self, figure, size, cost, work=1):
        """`cost` of `work` units, at this size."""
        self.found.setdefault(figure, {})[size] = cost / work
        self.record(self.server, "%s at %d %s" % (figure, size, self.unit), cost / work)

    def lines(self):
        """The table, and the figures that grow faster than their work."""
        grown, lines = [], [["per unit", *("%s %s" % (format(size, ","), self.unit) for size in self.sizes), "growth", ""]]
        for figure, costs in self.found.items():
            known = [(size, costs[size]) for size in self.sizes if size in costs]
            steps = [(after / before) ** (1 / math.log10(larger / smaller)) if before > 0 else 1
                     for (smaller, before), (larger, after) in zip(known, known[1:])]
            grows = bool(steps) and steps[-1] > GROWTH_MAX
            if grows:
                grown.append(figure)
            cells = ["%.4g" % costs[size] if size in costs else "-" for size in self.sizes]
            lines.append([figure, *cells, " ".join("%.2f" % step for step in steps), "FASTER THAN THE WORK" if grows else ""])
        widths = [max(map(len, column)) for column in zip(*lines)]
        return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines], grown


def small(first, count):
    """Messages of MESSAGE_BYTES, no two alike, quickly made."""
    made = loads.mail(1000, seed=6, size=MESSAGE_BYTES)
    return [re.sub(rb"(\r\nSubject: |\r\nMessage-ID: <)", rb"\g<1>n%dn" % number, made[number % 1000])
            for number in range(first, first + count)]


def cpu_ms(server, work):
    """Of the server, the smallest of some times: others that write disturb it, and nothing makes it less."""
    found = []
    for _ in range(REPEATS):
        before = server.cpu_seconds()
        work()
        found.append(server.cpu_seconds() - before)
    return min(found) * 1e3


def by_messages(place, server, record, most):
    growth = Growth(record, server, [size for size in SIZES if size <= most], "messages")
    server.fresh()
    there = 0
    for size in growth.sizes:
        print("# %s %d messages" % (time.strftime("%T"), size), flush=True)
        place.sync()
        cpu, written, seconds = server.cpu_seconds(), place.written()[0], 0.0
        with Watch(server) as watch:
            for first in range(there, size, 10_000):
                count = min(10_000, size - first)
                seconds += loads.fill(server, BOX, small(first, count), AT_ONCE)
        place.sync()
        added, there = size - there, size
        growth.keep("APPEND, CPU ms a message", size, (server.cpu_seconds() - cpu) * 1e3, added)
        growth.keep("APPEND, KB written a message", size, (place.written()[0] - written) / 1e3, added)
        growth.keep("APPEND, peak memory MiB", size, watch.peak)
        server.stop()
        growth.keep("store, KB a message", size, server.mail_bytes() / 1e3, size)
        starts = []
        for _ in range(REPEATS):
            starts.append(server.start()["smtp"] * 1e3)
            server.stop()
        growth.keep("exec to first greeting, ms", size, statistics.median(starts))
        server.start()
        ask(place, server, growth, size)
        # The next size may take an hour.
        print("\n".join(growth.lines()[0]), flush=True)
    server.stop()
    return growth


def ask(place, server, growth, size):
    """What a mailbox of this size costs to read, search and change."""
    imap = loads.session(server)
    with Watch(server) as watch:
        growth.keep("SELECT, CPU us a message", size, cpu_ms(server, lambda: imap.select(BOX)) * 1e3, size)
    growth.keep("SELECT, peak memory MiB", size, watch.peak)
    with Watch(server) as watch:
        for name, items in loads.FETCHES:
            growth.keep("FETCH %s, CPU us a message" % name, size, cpu_ms(server, lambda: imap.command(b"FETCH 1:* " + items)) * 1e3, size)
    growth.keep("FETCH, peak memory MiB", size, watch.peak)
    last = b"%d:* " % (size - 99)
    growth.keep("FETCH phone of the last 100, CPU ms", size, cpu_ms(server, lambda: imap.command(b"FETCH " + last + loads.PHONE)))
    with Watch(server) as watch:
        for name, key in ("SUBJECT", b'SUBJECT "Quokka"'), ("TEXT", b'TEXT "zanzibarite"'), ("UNSEEN", b"UNSEEN"):
            growth.keep("SEARCH %s, CPU us a message" % name, size, cpu_ms(server, lambda: imap.command(b"SEARCH " + key)) * 1e3, size)
    growth.keep("SEARCH, peak memory MiB", size, watch.peak)
    flip = iter((b"+", b"-", b"+", b"-"))
    place.sync()
    written = place.written()[0]
    growth.keep("STORE of 1,000, CPU ms", size,
                cpu_ms(server, lambda: imap.command(b"STORE 1:1000 " + next(flip) + b"FLAGS.SILENT (\\Flagged)")))
    place.sync()
    growth.keep("STORE of 1,000, KB written", size, (place.written()[0] - written) / 1e3, REPEATS)
    growth.keep("STATUS, CPU ms", size, cpu_ms(server, lambda: imap.messages(BOX)))
    imap.end()
    messages = loads.mail(100, size=4096)
    known = loads.change_ten(server, BOX)
    growth.keep("login, QRESYNC after ten changes, CPU us a message", size,
                cpu_ms(server, lambda: loads.come_back(server, BOX, known)) * 1e3, size)
    growth.keep("deliver 100 of 4 KB, CPU ms", size,
                cpu_ms(server, lambda: loads.deliver(server, messages, 1)))


def by_sessions(place, server, record, _most):
    growth = Growth(record, server, CONNECTIONS, "sessions")
    for count in CONNECTIONS:
        server.fresh()
        time.sleep(2)
        alone = server.memory()
        held = [loads.session(server, tls=True, number=number) for number in range(count)]
        for imap in held:
            imap.select("INBOX")
            imap.idle()
        time.sleep(2)
        growth.keep("memory, KiB an idle TLS session", count, (server.memory() - alone) * 1024, count)
        for imap in held:
            imap.close()
        server.fresh()
        messages = loads.mail(2000, size=4096)
        place.sync()
        cpu, (written, _) = server.cpu_seconds(), place.written()
        with Watch(server) as watch:
            loads.deliver(server, messages, count)
        cpu = server.cpu_seconds() - cpu
        growth.keep("deliver 4 KB, peak KiB a session", count, (watch.peak - alone) * 1024, count)
        place.sync()
        growth.keep("deliver 4 KB, CPU ms a message", count, cpu * 1e3, len(messages))
        growth.keep("deliver 4 KB, KB written a message", count, (place.written()[0] - written) / 1e3, len(messages))
    server.stop()
    return growth


def by_body(place, server, record, _most):
    server = Configured(server.name + "-configured", place, server.base, server.program)
    growth = Growth(record, server, BODY_MEGABYTES, "MB")
    for megabytes in BODY_MEGABYTES:
        server.fresh()
        time.sleep(1)
        wire = dotted(mkmail.big_message(megabytes * 1_000_000))
        place.sync()
        cpu, written = server.cpu_seconds(), place.written()[0]
        with Watch(server) as watch:
            smtp = Smtp(server.smtp)
            seconds = loads.timed(lambda: smtp.deliver(loads.SENDER, server.recipient, wire))
            smtp.end()
        cpu = server.cpu_seconds() - cpu
        place.sync()
        growth.keep("receive, CPU ms a MB", megabytes, cpu * 1e3, megabytes)
        growth.keep("receive, wall ms a MB", megabytes, seconds * 1e3, megabytes)
        growth.keep("receive, MB written a MB", megabytes, (place.written()[0] - written) / 1e6, megabytes)
        growth.keep("receive, peak memory MiB", megabytes, watch.peak)
        imap = loads.session(server)
        last = imap.select("INBOX")[0]
        with Watch(server) as watch:
            cost = cpu_ms(server, lambda: imap.command(b"FETCH %d (BODY.PEEK[])" % last))
        growth.keep("FETCH, CPU ms a MB", megabytes, cost, megabytes)
        growth.keep("FETCH, peak memory MiB", megabytes, watch.peak)
        imap.end()
    server.stop()
    return growth


KINDS = {"bodies": by_body, "sessions": by_sessions, "messages": by_messages}


def run(place, server, kinds, most, record):
    """Prints the tables; 0 when nothing grows faster than its work."""
    grown = []
    for kind in kinds:
        lines, more = KINDS[kind](place, server, record, most).lines()
        grown += more
        print("\n".join(lines) + "\n", flush=True)
    print("grow faster than their work by more than %g per tenfold: %s" % (GROWTH_MAX, ", ".join(grown) or "none"))
    return 1 if grown else 0
