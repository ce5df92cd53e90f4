#!/usr/bin/env python3
"""A queue in trouble: queue_in_trouble.py PATH_TO_HAUSPOST [dead] [memory]

dead: 5,000 messages to 500 domains whose servers do not answer, then one to a domain whose server lives: seconds from its 250 here to
the final dot there; at the start, and once more when all have been tried. The dead servers are sockets on loopback that take no
connections, so that connecting to them hangs as it does to a host that is gone.

memory: 10,000 messages of 4 KB that wait for a smarthost that is down: anonymous memory of the process, against a node that has sent
the same messages and whose queue is empty; both started anew, and with redb's cache filled by reading all of Sent.

Needs dnsmasq and the peers' folder of tests/clients. Loopback only; ends by itself.
"""
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "clients"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from beside_postfix import Sink, connect, message  # noqa: E402
from node import Node  # noqa: E402
from peers import Dnsmasq, free_port  # noqa: E402

DOMAINS, EACH, WAITING = 500, 10, 10_000
PATIENCE_SECONDS = 300


def address(number):
    return "127.%d.%d.1" % (100 + number // 250, number % 250)


class DeadServers:
    """Sockets whose queue of connections is full."""

    def __init__(self, port):
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
        self.sockets = []
        for number in range(DOMAINS):
            server = socket.socket()
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((address(number), port))
            server.listen(0)
            self.sockets.append(server)
            for _ in range(2):
                client = socket.socket()
                client.setblocking(False)
                client.connect_ex((address(number), port))
                self.sockets.append(client)


def options(live):
    """What dnsmasq shall say: a host with its own address for each dead domain, and one that lives."""
    said = ["--local=/#/", "--mx-host=live.example,mx.live.example,10", "--host-record=mx.live.example," + live]
    for number in range(DOMAINS):
        said.append("--mx-host=d%d.example,mx.d%d.example,10" % (number, number))
        said.append("--host-record=mx.d%d.example,%s" % (number, address(number)))
    return said


def send(sender, recipient, body):
    sender.deliver(b"me@home.test", recipient.encode(), body)


def await_that(what, test):
    limit = time.monotonic() + PATIENCE_SECONDS
    while not test():
        if time.monotonic() > limit:
            raise RuntimeError("waited too long: " + what)
        time.sleep(0.02)


def live_delivery(node, sink, body):
    before = sink.count
    sender = connect(node.port("submission"), True)
    send(sender, "ann@live.example", body)
    said = time.monotonic()
    await_that("delivery to the live domain", lambda: sink.count > before)
    sender.end()
    return sink.last - said


def dead():
    sink = Sink()
    servers = DeadServers(sink.port)
    names = Dnsmasq(*options("127.0.0.1"))
    node = Node("--dns", names.address, "--mx-port", str(sink.port), "--log-level", "info")
    try:
        sender = connect(node.port("submission"), True)
        took = []
        for number in range(DOMAINS * EACH):
            send(sender, "x@d%d.example" % (number % DOMAINS), message(number, 4096))
            if number == DOMAINS:
                took.append(("while 500 of 5,000 are there", live_delivery(node, sink, message(1_000_001, 4096))))
        took.append(("behind all 5,000", live_delivery(node, sink, message(1_000_002, 4096))))
        time.sleep(30)
        took.append(("half a minute later", live_delivery(node, sink, message(1_000_003, 4096))))
        subprocess.run([os.environ["HAUSPOST"], "queue", "retry", "--all", "--data", node.data], check=True, stdout=subprocess.DEVNULL)
        took.append(("as all are tried again", live_delivery(node, sink, message(1_000_004, 4096))))
        for when, seconds in took:
            print("live domain's mail, %-32s %8.2f s goal 2" % (when, seconds), flush=True)
    finally:
        node.stop()
        names.stop()
        sink.stop()
        shutil.rmtree(node.folder, ignore_errors=True)
        del servers


def anonymous_bytes(process):
    with open("/proc/%d/smaps_rollup" % process.pid) as f:
        return int(re.search(r"^Anonymous:\s+(\d+)", f.read(), re.M)[1]) * 1024


def read_sent(node):
    c = node.imap()
    c.select("Sent", readonly=True)
    c.uid("FETCH", "1:*", "(UID FLAGS ENVELOPE BODYSTRUCTURE)")
    c.logout()
    time.sleep(2)


def started_anew(node, what):
    node.stop()
    node.start()
    time.sleep(3)
    fresh = anonymous_bytes(node.process)
    read_sent(node)
    full = anonymous_bytes(node.process)
    print("anonymous memory, %-30s %8.2f MiB fresh %8.2f MiB with redb's cache filled" % (what, fresh / 2**20, full / 2**20), flush=True)
    return fresh, full


def memory():
    sink = Sink()
    found = {}
    for what, port in ("none waits", sink.port), ("10,000 messages wait", free_port()):
        node = Node("--relay", "127.0.0.1:%d" % port)
        try:
            sender = connect(node.port("submission"), True)
            for number in range(WAITING):
                send(sender, "x@d%d.example" % (number % DOMAINS), message(number, 4096))
            sender.end()
            await_that("delivery of all", lambda: port != sink.port or sink.count >= WAITING)
            time.sleep(10)
            print("anonymous memory, %-30s %8.2f MiB as they were sent" % (what, anonymous_bytes(node.process) / 2**20), flush=True)
            found[port == sink.port] = started_anew(node, what)
        finally:
            node.stop()
            shutil.rmtree(node.folder, ignore_errors=True)
    sink.stop()
    for name, more, less in zip(("fresh", "filled"), found[False], found[True]):
        print("10,000 messages cost, %-26s %8.2f MiB goal 4" % (name, (more - less) / 2**20), flush=True)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    os.environ["HAUSPOST"] = os.path.abspath(sys.argv[1])
    for name in sys.argv[2:] or ["dead", "memory"]:
        {"dead": dead, "memory": memory}[name]()
