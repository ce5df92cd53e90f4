#!/usr/bin/env python3
"""The static programs as their boards run them: static.py TARGET...

Each program that cross/build has made is started in an empty folder as its root: no libraries, no /proc, no /dev, no /etc, no
certificates, no time zones; the processor of another kind is played by qemu-user: for aarch64 with pages of 16 KiB, for armv7 one
without instructions for AES. It receives a message, shows it over TLS, relays one, and finds its store whole afterwards. The
program of this machine's own kind does it in 128 MiB of addresses.
"""
import imaplib
import os
import platform
import shutil
import signal
import smtplib
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests", "clients"))

import node
from run import run
from test_queue import Host

# The goal is 6 MiB (see README); this keeps what has been reached.
SIZE_MAX = 10 << 20
MEMORY_MAX = 128 << 20
# Of a node that was just set up (PSS): 8.3 MiB when the linker lays functions as they come.
AT_REST_MAX = 7 << 20
# Names of the processor: for programs, for readelf, and what the emulator is told of it.
TARGETS = {
    "aarch64-unknown-linux-musl": ("aarch64", "AArch64", ["-p", "16384"]),
    "armv7-unknown-linux-musleabihf": ("arm", "ARM", ["-cpu", "cortex-a7"]),
    "x86_64-unknown-linux-musl": ("x86_64", "Advanced Micro Devices X86-64", ["-cpu", "core2duo"]),
}


class RootedNode(node.Node):
    """`hauspost try` with nothing around it. Its root is the folder above its data folder."""

    def __init__(self, target, *options):
        self.target = target
        super().__init__(*options)

    def command(self, *words):
        """How the program is started in its root, which is made if it is not there."""
        machine, _, emulated = TARGETS[self.target]
        program = os.path.join(TOP, "target", "cross", self.target, "hauspost")
        root = os.path.join(self.folder, "root")
        inside = os.path.join(root, "data")
        if not os.path.exists(inside):
            os.makedirs(inside)
            shutil.copy(program, root)
        self.data = inside
        if platform.machine() == machine:
            return ["prlimit", "--as=%d" % MEMORY_MAX, "unshare", "--map-root-user", "--root", root, "/hauspost", *words]
        emulator = "qemu-%s-static" % machine
        shutil.copy(shutil.which(emulator) or emulator, root)
        return ["unshare", "--map-root-user", "--root", root, "/" + emulator, *emulated, "/hauspost", *words]

    def start(self):
        command = self.command("try", "--data", "/data/mail", "--port-base", str(self.base), "--password", node.PASSWORD, *self.options)
        self.data = os.path.join(self.data, "mail")
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)
        for service in ("smtp", "imap", "submission"):
            self.await_greeting(service)


class Static(unittest.TestCase):
    target = None

    def read_elf(self, option):
        program = os.path.join(TOP, "target", "cross", self.target, "hauspost")
        return subprocess.run(["readelf", "--wide", option, program], capture_output=True, text=True, check=True).stdout

    def test_form(self):
        """Static, stripped, position-independent, small; segments fit pages of 64 KiB on ARM."""
        self.assertIn(TARGETS[self.target][1], self.read_elf("-h"))
        self.assertIn("Type:                              DYN", self.read_elf("-h"))
        segments = self.read_elf("-l")
        self.assertNotIn("INTERP", segments)
        self.assertNotIn("NEEDED", self.read_elf("-d"))
        self.assertNotIn(".symtab", self.read_elf("-S"))
        alignments = [int(line.split()[-1], 16) for line in segments.splitlines() if line.split()[:1] == ["LOAD"]]
        self.assertTrue(alignments)
        if self.target[:3] in ("aar", "arm"):
            self.assertEqual(set(alignments), {0x10000})
        size = os.path.getsize(os.path.join(TOP, "target", "cross", self.target, "hauspost"))
        self.assertLessEqual(size, SIZE_MAX)

    def test_memory(self):
        """What runs every day lies together in the program (`cross/order`)."""
        if platform.machine() != TARGETS[self.target][0]:
            return  # the emulator's memory
        there = RootedNode(self.target)
        self.addCleanup(there.stop, signal.SIGKILL)
        time.sleep(2)
        with open("/proc/%d/smaps_rollup" % there.process.pid) as lines:
            kib = next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
        self.assertLessEqual(kib << 10, AT_REST_MAX)

    def test_moves_and_comparisons(self):
        """Of `cross/mem.c`, as it is in the program."""
        machine, _, emulated = TARGETS[self.target]
        tools = os.path.join(TOP, "target", "cross", "tools")
        with tempfile.TemporaryDirectory(prefix="hauspost-mem-") as folder:
            program = os.path.join(folder, "mem")
            caches = {name: os.path.join(tools, "zig", "cache") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
            subprocess.run([os.path.join(tools, self.target, "cc"), "-static", "-O2", "-fno-builtin", "-o", program,
                            os.path.join(HERE, "mem.c"), os.path.join(tools, self.target, "mem.o")], env={**os.environ, **caches}, check=True)
            emulator = [] if platform.machine() == machine else ["qemu-%s-static" % machine, *emulated]
            told = subprocess.run([*emulator, program], capture_output=True, text=True)
            self.assertEqual((told.stdout, told.returncode), ("equal\n", 0))

    def test_walk(self):
        host = Host()
        host.start()
        there = RootedNode(self.target, "--relay", "127.0.0.1:%d" % host.port)
        self.addCleanup(there.stop, signal.SIGKILL)
        sent = node.message("static")
        there.deliver(sent)

        session = imaplib.IMAP4_SSL("127.0.0.1", there.port("imaps"), ssl_context=there.tls_context())
        session.login("me", node.PASSWORD)
        session.select("INBOX")
        _, found = session.uid("SEARCH", "HEADER", "X-Test-Id", "static")
        _, lines = session.uid("FETCH", found[0].split()[0].decode(), "(BODY.PEEK[])")
        self.assertEqual(lines[0][1].partition(b"\r\n\r\n")[2], sent.partition(b"\r\n\r\n")[2])
        session.logout()

        with smtplib.SMTP("127.0.0.1", there.port("submission")) as submission:
            submission.starttls(context=there.tls_context())
            submission.login("me", node.PASSWORD)
            submission.sendmail("me@home.test", ["bob@far.example"], node.message("out", "me@home.test", "bob@far.example"))
        for _ in range(600):
            if host.messages:
                break
            time.sleep(0.05)
        self.assertEqual(len(host.messages), 1, there.log_text())
        self.assertIn(b"X-Test-Id: out\r\n", host.messages[0])

        there.stop()
        self.assertEqual(there.process.returncode, 0, there.log_text())
        check = subprocess.run(there.command("check", "--data", "/data/mail"), capture_output=True, text=True, timeout=120)
        self.assertEqual(check.returncode, 0, check.stdout + check.stderr)


def main():
    if len(sys.argv) < 2 or not set(sys.argv[1:]) <= set(TARGETS):
        sys.exit(__doc__)
    suite = unittest.TestSuite()
    for target in sys.argv[1:]:
        case = type(target, (Static,), {"target": target})
        suite.addTests(unittest.defaultTestLoader.loadTestsFromTestCase(case))
    run(suite)


if __name__ == "__main__":
    main()
