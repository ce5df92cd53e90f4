"""An emulated board that runs the image: what the firmware of a Raspberry Pi does, and a plug that can be pulled.

Not a Raspberry Pi: QEMU's `virt` machine with its processor and memory, whose disk and network are virtual. The kernel, the system
and the card are the image's own. The card is an overlay over what was there before: pulling the plug loses what the system has
not flushed, because the overlay learns only with a flush where new blocks lie.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "target/image"
BOOT_OFFSET = "4M"
SERVICES = {"smtp": 25, "submissions": 465, "imaps": 993, "pop3s": 995, "ssh": 22}
START_SECONDS_MAX = 300


def is_emulator_installed():
    return all(shutil.which(program) for program in ("qemu-system-aarch64", "qemu-img"))


def emulator(program):
    """The command line of a program of QEMU. An installed one is used: one that was unpacked, with the libraries that came with it, would
    take the modules of the other for its own, and end."""
    if shutil.which(program):
        return [program]
    libraries = WORK / "emulator/usr/lib/x86_64-linux-gnu"
    return [str(libraries / "ld-linux-x86-64.so.2"), "--library-path", str(libraries), str(WORK / "emulator/usr/bin" / program)]


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Card:
    """A card as a raw file with overlays over it, one for each time the board was switched on."""

    def __init__(self, folder, image, mebibytes):
        self.folder = Path(folder)
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.raw = self.folder / "card.raw"
        with open(self.raw, "wb") as out:
            subprocess.run(["xz", "-dc", str(image)], stdout=out, check=True)
        os.truncate(self.raw, mebibytes << 20)
        self.overlay = None

    def switch_on(self):
        """A new overlay for one run of the board; returns its path."""
        self.settle()
        self.overlay = self.folder / "overlay.qcow2"
        self._qemu_img("create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(self.raw), str(self.overlay))
        return self.overlay

    def settle(self):
        """Writes into the card what the last run has left."""
        if self.overlay:
            self._qemu_img("check", "-q", "-r", "all", str(self.overlay), allowed=(0, 1, 2, 3))
            self._qemu_img("commit", "-q", str(self.overlay))
            self.overlay.unlink()
            self.overlay = None

    def read(self, path):
        """A file of the boot partition, or None."""
        self.settle()
        got = subprocess.run(["mtype", "-i", f"{self.raw}@@{BOOT_OFFSET}", f"::{path}"], capture_output=True)
        return got.stdout if got.returncode == 0 else None

    def names(self, folder):
        """The names of what lies in a folder of the boot partition."""
        self.settle()
        got = subprocess.run(["mdir", "-b", "-i", f"{self.raw}@@{BOOT_OFFSET}", f"::{folder}"], capture_output=True, text=True)
        return sorted(line.rstrip("/").rsplit("/", 1)[-1] for line in got.stdout.split("\n") if line)

    def write(self, path, data):
        """Lays a file onto the boot partition, as an owner does at a computer."""
        self.settle()
        local = self.folder / "laid"
        local.write_bytes(data)
        subprocess.run(["mcopy", "-o", "-i", f"{self.raw}@@{BOOT_OFFSET}", str(local), f"::{path}"], check=True)

    @staticmethod
    def _qemu_img(*arguments, allowed=(0,)):
        got = subprocess.run(emulator("qemu-img") + list(arguments), capture_output=True, text=True)
        if got.returncode not in allowed:
            raise AssertionError(f"qemu-img {arguments[0]}: {got.stderr.strip()}")


class Board:
    """A board with a card in it. Use switch_on, then wait_for; pull_the_plug ends it at once."""

    machine = ["-M", "virt,gic-version=2", "-cpu", "cortex-a53", "-smp", "2", "-m", "512"]

    def __init__(self, card, log):
        self.card = card
        self.log = Path(log)
        self.log.write_bytes(b"")
        self.process = None
        self.starts = 0

    def switch_on(self, more=""):
        """Starts what select.txt says, as the firmware does; `more` goes onto the kernel's command line."""
        select = dict(line.split("=", 1) for line in self.card.read("select.txt").decode().split("\n") if "=" in line)
        prefix = select["os_prefix"]
        kernel, initramfs = self.card.folder / "kernel", self.card.folder / "initramfs"
        kernel.write_bytes(self.card.read(prefix + "kernel8.img"))
        initramfs.write_bytes(self.card.read(prefix + "initramfs8"))
        line = self.card.read(prefix + select["cmdline"]).decode().strip()
        self.ports = dict(zip(SERVICES, free_ports(len(SERVICES))))
        forwards = "".join(f",hostfwd=tcp:127.0.0.1:{self.ports[name]}-:{port}" for name, port in SERVICES.items())
        self.control = self.card.folder / "qmp"
        self.control.unlink(missing_ok=True)
        self.mark = self.log.stat().st_size
        self.started = time.monotonic()
        self.starts += 1
        disk = self.card.switch_on()
        self.process = subprocess.Popen(
            ["nice"]
            + emulator("qemu-system-aarch64")
            + self.machine
            + ["-accel", "tcg,thread=multi", "-no-reboot", "-display", "none", "-monitor", "none"]
            + ["-kernel", str(kernel), "-initrd", str(initramfs), "-append", f"{line} console=ttyAMA0 {more}"]
            + ["-drive", f"if=none,id=card,file={disk},format=qcow2", "-device", "virtio-blk-pci,drive=card"]
            + ["-netdev", f"user,id=net,restrict=on{forwards}", "-device", "virtio-net-pci,netdev=net,romfile="]
            + ["-device", "virtio-rng-pci", "-device", "i6300esb", "-action", "watchdog=reset"]
            + ["-qmp", f"unix:{self.control},server=on,wait=off"]
            + ["-chardev", f"file,id=serial,path={self.log},append=on", "-serial", "chardev:serial"],
            stdin=subprocess.DEVNULL,
        )

    def said(self):
        """What the consoles showed since the board was switched on."""
        return self.log.read_bytes()[self.mark :].decode(errors="replace").replace("\r", "")

    def wait_for(self, pattern, seconds=START_SECONDS_MAX):
        """Waits until the consoles show it; returns the match."""
        end = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.said())
            if found:
                return found
            if self.process.poll() is not None:
                raise AssertionError(f"the board went out before it said {pattern!r}:\n{self.said()[-2000:]}")
            if time.monotonic() > end:
                raise AssertionError(f"not said within {seconds} s: {pattern!r}:\n{self.said()[-2000:]}")
            time.sleep(0.1)

    def wait_for_restart(self, seconds=START_SECONDS_MAX):
        """Waits until the system starts the board again, which here ends the emulator."""
        self.process.wait(timeout=seconds)

    def wait_for_greeting(self, service, greeting, wrap=lambda s: s, seconds=START_SECONDS_MAX):
        """Connects until a service greets; returns the seconds since the board was switched on."""
        end = time.monotonic() + seconds
        # A connection that is made before the board has its network waits for seconds where an answer would be there sooner.
        self.wait_for("hauspost: serving after ", seconds)
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"the board went out:\n{self.said()[-2000:]}")
            try:
                with socket.create_connection(("127.0.0.1", self.ports[service]), timeout=20) as plain:
                    with wrap(plain) as stream:
                        if stream.recv(200).startswith(greeting):
                            return time.monotonic() - self.started
            except OSError:
                pass
            time.sleep(0.2)
        raise AssertionError(f"{service} did not greet within {seconds} s:\n{self.said()[-2000:]}")

    def name(self):
        """What the server calls itself to other servers."""
        with socket.create_connection(("127.0.0.1", self.ports["smtp"]), timeout=20) as stream:
            return stream.makefile("rb").readline().split()[1].decode()

    def bytes_written(self):
        """Bytes that the card was given to write since the board was switched on."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(20)
            control.connect(str(self.control))
            lines = control.makefile("rw")
            lines.readline()
            for command in ("qmp_capabilities", "query-blockstats"):
                lines.write(json.dumps({"execute": command}) + "\n")
                lines.flush()
                while "return" not in (answer := json.loads(lines.readline())):
                    pass
        return next(each["stats"]["wr_bytes"] for each in answer["return"] if each.get("device") == "card")

    def pull_the_plug(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
