#!/usr/bin/env python3
"""Relaying beside Postfix, in one run: beside_postfix.py PATH_TO_HAUSPOST [--messages 1000] [--bytes 4096] [--connections 4] [--runs 3]

The same driver gives both servers the same messages over SMTP on loopback, both relay them to the same sink (Postfix's smtp-sink);
each run is one server, then the other, so that both meet the same machine. Printed for each run and in the end as medians:
messages a second, from the first MAIL to the last final dot at the sink, and CPU seconds of the server per 1,000 messages (driver
and sink not counted). Needs root, for Postfix. Loopback only; ends by itself.
"""
import argparse
import base64
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = HERE, os.path.join(HERE, "..", "clients")
import peers  # noqa: E402
from beside.wire import Smtp, dotted  # noqa: E402
from node import PASSWORD, Node  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
PATIENCE_SECONDS = 120


def message(number, size):
    """Text that compresses as mail does, as it goes over the wire: no two alike."""
    head = ("From: me@home.test\r\nTo: bob@far.example\r\nSubject: number %d\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n"
            "Message-ID: <%d.bench@home.test>\r\n\r\n" % (number, number))
    lines, length = [head], len(head)
    while length < size:
        line = base64.b64encode(("%d/%d/%d" % (number, length, number * length)).encode() * 3).decode()[:74] + "\r\n"
        lines.append(line)
        length += len(line)
    return dotted("".join(lines).encode())


def connect(port, login):
    connection = Smtp("127.0.0.1:%d" % port)
    return connection.log_in("me", PASSWORD) if login else connection


class Sink:
    """smtp-sink, which counts on its standard output."""

    def __init__(self):
        self.port = peers.free_port()
        self.process = subprocess.Popen(["smtp-sink", "-u", "postfix", "-c", "127.0.0.1:%d" % self.port, "512"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.count, self.last = 0, 0.0
        threading.Thread(target=self.read, daemon=True).start()
        limit = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.1", self.port)) and time.monotonic() < limit:
            time.sleep(0.05)

    def read(self):
        rest = b""
        while True:
            piece = os.read(self.process.stdout.fileno(), 65536)
            if not piece:
                return
            *lines, rest = (rest + piece).replace(b"\n", b"\r").split(b"\r")
            for line in lines:
                words = dict(word.split(b"=") for word in line.split() if b"=" in word)
                count = int(words.get(b"mesg", 0))
                if count > self.count:
                    self.count, self.last = count, time.monotonic()

    def stop(self):
        self.process.terminate()
        self.process.wait()


def cpu_seconds(root):
    """Of a process, all below it, and all that have ended below them."""
    parents, spent = {}, {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open("/proc/%s/stat" % name) as f:
                    fields = f.read().rsplit(")", 1)[1].split()
            except OSError:
                continue
            parents[int(name)] = int(fields[1])
            spent[int(name)] = sum(int(field) for field in fields[11:15])
    ours, found = {root}, True
    while found:
        found = {pid for pid, parent in parents.items() if parent in ours} - ours
        ours |= found
    return sum(spent.get(pid, 0) for pid in ours) / TICKS


def measure(port, login, root, sink, bodies, connections):
    conversations = [connect(port, login) for _ in range(connections)]
    cpu, begin = cpu_seconds(root), time.monotonic()

    def work(which):
        for body in bodies[which::connections]:
            conversations[which].deliver(b"me@home.test", b"bob@far.example", body)
        conversations[which].end()

    threads = [threading.Thread(target=work, args=(which,)) for which in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while sink.count < len(bodies) and time.monotonic() < begin + PATIENCE_SECONDS:
        time.sleep(0.01)
    if sink.count < len(bodies):
        raise RuntimeError("only %d of %d arrived" % (sink.count, len(bodies)))
    # What is settled after the last dot is work, too.
    time.sleep(0.5)
    return len(bodies) / (sink.last - begin), (cpu_seconds(root) - cpu) * 1000 / len(bodies)


def run_hauspost(bodies, connections):
    sink = Sink()
    node = Node("--relay", "127.0.0.1:%d" % sink.port, "--log-level", "info")
    try:
        return measure(node.port("submission"), True, node.process.pid, sink, bodies, connections)
    finally:
        node.stop()
        shutil.rmtree(node.folder, ignore_errors=True)
        sink.stop()


def run_postfix(bodies, connections):
    sink = Sink()
    folder = tempfile.mkdtemp(prefix="hauspost-cert-")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3", "-subj", "/CN=mx.far.example", "-keyout",
                    folder + "/key.pem", "-out", folder + "/cert.pem"], check=True, stderr=subprocess.DEVNULL)
    settings = peers.MAIN
    # What it is set up with elsewhere makes it deliver mail for far.example itself.
    peers.MAIN = settings.replace("virtual_mailbox_domains = far.example", "virtual_mailbox_domains =")
    peers.MAIN += "relayhost = [127.0.0.1]:%d\n" % sink.port
    try:
        postfix = peers.Postfix(9, folder + "/cert.pem", folder + "/key.pem", "none")
    finally:
        peers.MAIN = settings
    try:
        with open(postfix.folder + "/queue/pid/master.pid") as f:
            master = int(f.read())
        return measure(postfix.port, False, master, sink, bodies, connections)
    finally:
        postfix.stop()
        shutil.rmtree(folder, ignore_errors=True)
        sink.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("hauspost")
    parser.add_argument("--messages", type=int, default=1000)
    parser.add_argument("--bytes", type=int, default=4096)
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    os.environ["HAUSPOST"] = os.path.abspath(options.hauspost)
    bodies = [message(number, options.bytes) for number in range(options.messages)]
    figures = {"hauspost": [], "postfix": []}
    for _ in range(options.runs):
        for name, run in ("postfix", run_postfix), ("hauspost", run_hauspost):
            found = run(bodies, options.connections)
            figures[name].append(found)
            print("%-9s %8.0f messages/s %8.3f CPU s per 1,000" % ((name,) + found), flush=True)
    median = {name: [statistics.median(column) for column in zip(*found)] for name, found in figures.items()}
    for name, (rate, cpu) in median.items():
        print("%-9s %8.0f messages/s %8.3f CPU s per 1,000, median of %d" % (name, rate, cpu, options.runs))
    (our_rate, our_cpu), (their_rate, their_cpu) = median["hauspost"], median["postfix"]
    print("ratio: %.1f times the messages, 1/%.1f of the CPU" % (our_rate / their_rate, their_cpu / our_cpu))


if __name__ == "__main__":
    main()
