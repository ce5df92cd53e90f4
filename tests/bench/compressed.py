#!/usr/bin/env python3
"""All bodies over TLS, plain and with COMPRESS=DEFLATE: compressed.py [--messages 10000] [--runs 3] NAME=HOST:PORT:USER:PASSWORD:PROCESS ...

Each NAME is a server with IMAP over TLS, for example ours and a Dovecot with `mail_plugins = zlib imap_zlib`; PROCESS is the id of
its first process. The same generated messages are appended to the mailbox `Bench` of each, unless they are there. Then each
run is one server after the other, so that all meet the same machine: a session fetches all bodies and checks how many bytes
the literals have. Printed as medians: seconds, bytes on the wire in relation to bytes of messages, and CPU seconds of the
server (the process, those it began, and those that have ended, the driver not counted) per MB of messages.

The client inflates with zlib. Only for servers on this machine; ends by itself.
"""
import argparse
import os
import re
import socket
import ssl
import statistics
import sys
import time
import zlib

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import mkmail  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE_SECONDS = 300
BOX = b"Bench"


class Session:
    """One IMAP connection over TLS; counts what comes over the wire."""

    def __init__(self, host, port, user, password):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        plain = socket.create_connection((host, port), timeout=PATIENCE_SECONDS)
        self.socket = context.wrap_socket(plain)
        self.deflate = self.inflate = None
        self.wire_bytes = 0
        self.left = b""
        self.line()
        self.command(b'LOGIN "%s" "%s"' % (user.encode(), password.encode()))

    def send(self, data):
        if self.deflate:
            data = self.deflate.compress(data) + self.deflate.flush(zlib.Z_SYNC_FLUSH)
        self.socket.sendall(data)

    def receive(self):
        data = self.socket.recv(1 << 18)
        if not data:
            raise RuntimeError("the server has closed the connection")
        self.wire_bytes += len(data)
        return self.inflate.decompress(data) if self.inflate else data

    def line(self):
        while b"\r\n" not in self.left:
            self.left += self.receive()
        line, self.left = self.left.split(b"\r\n", 1)
        return line

    def command(self, text, ok=True):
        """Everything up to the tagged answer."""
        self.send(b"t " + text + b"\r\n")
        parts, tail = [], b""
        while True:
            data, self.left = self.left or self.receive(), b""
            parts.append(data)
            tail = (tail + data)[-4096:]
            found = re.search(rb"(?:^|\r\n)t (OK|NO|BAD)[^\r\n]*\r\n$", tail)
            if found:
                if ok and found.group(1) != b"OK":
                    raise RuntimeError("%r was answered %r" % (text[:60], tail[-200:]))
                return parts

    def compress(self):
        self.command(b"COMPRESS DEFLATE")
        self.deflate, self.inflate = zlib.compressobj(6, zlib.DEFLATED, -15), zlib.decompressobj(-15)

    def count(self):
        answer = b"".join(self.command(b"STATUS %s (MESSAGES)" % BOX, ok=False))
        found = re.search(rb"MESSAGES (\d+)", answer)
        return int(found.group(1)) if found else None

    def fill(self, count):
        if self.count() is None:
            self.command(b"CREATE " + BOX)
        for number in range(self.count(), count):
            message = mkmail.message(number, 1)
            self.send(b"t APPEND %s {%d}\r\n" % (BOX, len(message)))
            if not self.line().startswith(b"+"):
                raise RuntimeError("APPEND was refused")
            self.send(message + b"\r\n")
            while not self.line().startswith(b"t OK"):
                pass


def cpu_seconds(process):
    """Of a process and all below it, those that have ended included."""
    parents, ticks = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % name) as file:
                fields = file.read().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(name))
        ticks[int(name)] = sum(map(int, fields[11:15]))
    todo, sum_ticks = [process], 0
    while todo:
        one = todo.pop()
        sum_ticks += ticks.get(one, 0)
        todo.extend(parents.get(one, []))
    return sum_ticks / TICKS


def fetch_all(server, compressed):
    session = Session(*server["to"])
    session.command(b"EXAMINE " + BOX)
    if compressed:
        session.compress()
    session.wire_bytes = 0
    cpu, began = cpu_seconds(server["process"]), time.monotonic()
    parts = session.command(b"FETCH 1:* (BODY.PEEK[])")
    seconds = time.monotonic() - began
    # Read while the session lives: what it used is its process's until then.
    cpu = cpu_seconds(server["process"]) - cpu
    told = b"".join(parts)
    literals = re.findall(rb"\* \d+ FETCH \(BODY\[\] \{(\d+)\}\r\n", told)
    session.socket.close()
    return {"seconds": seconds, "cpu": cpu, "wire": session.wire_bytes, "messages": len(literals), "bytes": sum(map(int, literals))}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("servers", nargs="+")
    asked = parser.parse_args()
    servers = []
    for text in asked.servers:
        name, rest = text.split("=", 1)
        host, port, user, password, process = rest.split(":")
        servers.append({"name": name, "to": (host, int(port), user, password), "process": int(process), "figures": {}})
    for server in servers:
        Session(*server["to"]).fill(asked.messages)
    for _ in range(asked.runs):
        for compressed in False, True:
            for server in servers:
                figure = fetch_all(server, compressed)
                if figure["messages"] != asked.messages:
                    raise RuntimeError("%s told %d messages" % (server["name"], figure["messages"]))
                server["figures"].setdefault(compressed, []).append(figure)
    print("%-16s %-9s %9s %10s %16s" % ("server", "", "seconds", "wire/mail", "CPU s per MB"))
    for server in servers:
        for compressed, figures in server["figures"].items():
            def median(key):
                return statistics.median(figure[key] for figure in figures)
            megabytes = median("bytes") / 1e6
            print("%-16s %-9s %9.3f %10.3f %16.6f" % (server["name"], "COMPRESS" if compressed else "plain", median("seconds"),
                                                      median("wire") / median("bytes"), median("cpu") / megabytes))


if __name__ == "__main__":
    main()
