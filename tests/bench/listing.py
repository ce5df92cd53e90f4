#!/usr/bin/env python3
"""What mail programs list a mailbox by, over TLS: listing.py [--messages 10000] [--runs 5] NAME=HOST:PORT:USER:PASSWORD:PROCESS ...

Servers and messages are those of compressed.py. Each run asks one server after the other, so that all meet the same machine; the
first run, in which a server may fill caches of its own, is told apart. Printed: seconds of the first run, the median of seconds
of the others, and CPU seconds of the server in them, each.

Only for servers on this machine; ends by itself.
"""
import argparse
import re
import statistics
import time

from compressed import BOX, Session, cpu_seconds

STEPS = (
    ("flags", b"FETCH 1:* (UID FLAGS)"),
    ("envelopes", b"FETCH 1:* (ENVELOPE)"),
    ("three header fields", b"FETCH 1:* (BODY.PEEK[HEADER.FIELDS (FROM SUBJECT DATE)])"),
    ("whole headers", b"FETCH 1:* (BODY.PEEK[HEADER])"),
    ("a phone's first sync", b"FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"),
    ("all bodies", b"FETCH 1:* (BODY.PEEK[])"),
    ("SEARCH TEXT", b'UID SEARCH TEXT "zanzibarite"'),
    ("SORT", b"SORT (SUBJECT) UTF-8 ALL"),
    ("THREAD", b"THREAD REFERENCES UTF-8 ALL"),
)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("servers", nargs="+")
    asked = parser.parse_args()
    servers = []
    for text in asked.servers:
        name, rest = text.split("=", 1)
        host, port, user, password, process = rest.split(":")
        session = Session(host, int(port), user, password)
        session.fill(asked.messages)
        session.command(b"EXAMINE " + BOX)
        servers.append((name, session, int(process)))
    print("%-22s %-12s %9s %9s %9s" % ("", "server", "first s", "then s", "CPU s"))
    for step, command in STEPS:
        seconds = {name: [] for name, _, _ in servers}
        cpu = dict.fromkeys(seconds, 0.0)
        for run in range(asked.runs + 1):
            for name, session, process in servers:
                cpu_before, began = cpu_seconds(process), time.monotonic()
                told = b"".join(session.command(command))
                seconds[name].append(time.monotonic() - began)
                cpu[name] += cpu_seconds(process) - cpu_before if run else 0
                if command.startswith(b"FETCH") and len(re.findall(rb"\* \d+ FETCH \(", told)) < asked.messages:
                    raise RuntimeError("%s left messages out" % name)
        for name, (first, *others) in seconds.items():
            print("%-22s %-12s %9.4f %9.4f %9.4f" % (step, name, first, statistics.median(others), cpu[name] / asked.runs))


if __name__ == "__main__":
    main()
