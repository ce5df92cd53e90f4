"""Starts a server in a control group of its own, stops it, and says what it uses: CPU time with that of processes that have
ended, memory (PSS), bytes and flushes at the device."""
import os
import platform
import shutil
import signal
import socket
import subprocess
import threading
import time

from beside.place import INSIDE, ROOT
from beside.wire import target

STARTS_WITHIN_SECONDS = 20
STOPS_WITHIN_SECONDS = 20


class Server:
    """One that listens at `base` + the usual port, for each of its services."""

    user, password = "user", "benchpass"
    recipient = b"user@bench.test"
    # Messages of a command that fills the large mailbox.
    filled_at_once = 1

    def __init__(self, name, place, base):
        self.name, self.place, self.base = name, place, base
        self.smtp, self.imap, self.imaps, self.pop3 = ("127.0.0.1:%d" % (base + port) for port in (25, 143, 993, 110))
        self.folder = os.path.join(place.volume, name)
        self.certificate = place.certificate
        self.group = os.path.join(os.environ[INSIDE], name)
        os.makedirs(self.group)

    # -- what each kind does in its own way

    def prepare(self):
        """Called before each start, the folder of its mail exists."""

    def commands(self):
        """What starts it."""
        raise NotImplementedError

    def stop_commands(self):
        """What ends it politely, instead of SIGTERM."""
        return []

    # -- life

    def start(self):
        """Seconds from exec to the first greeting of SMTP and of IMAP."""
        os.makedirs(self.folder, exist_ok=True)
        self.prepare()
        began = time.monotonic()
        with open(self.place.path("logs", self.name), "ab") as log:
            # Into the group first; then it becomes the server.
            enter = ["/bin/sh", "-c", 'echo $$ > "$0/cgroup.procs"; exec "$@"', self.group]
            for command in self.commands():
                subprocess.Popen(enter + command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        return {service: self.await_greeting(where, began) for service, where in (("smtp", self.smtp), ("imap", self.imap))}

    def await_greeting(self, where, began):
        while time.monotonic() < began + STARTS_WITHIN_SECONDS:
            try:
                with socket.create_connection(target(where), timeout=10) as connection:
                    if connection.recv(200):
                        return time.monotonic() - began
            except OSError:
                time.sleep(0.001)
        raise RuntimeError("%s does not greet at %s\n%s" % (self.name, where, self.log()))

    def log(self):
        with open(self.place.path("logs", self.name), errors="replace") as file:
            return file.read()[-500:]

    def processes(self):
        with open(self.group + "/cgroup.procs") as file:
            return [int(line) for line in file]

    def stop(self, how=signal.SIGTERM):
        polite = self.stop_commands() if how == signal.SIGTERM and self.processes() else []
        for command in polite:
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=STOPS_WITHIN_SECONDS)
        limit = time.monotonic() + STOPS_WITHIN_SECONDS
        if not polite:
            self.signal(how)
        while self.processes():
            if how == signal.SIGKILL or time.monotonic() > limit:
                self.signal(signal.SIGKILL)
            reap()
            time.sleep(0.01)
        reap()

    def signal(self, how):
        for process in self.processes():
            try:
                os.kill(process, how)
            except ProcessLookupError:
                pass

    def fresh(self):
        """Starts anew without mail."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.start()

    # -- what it uses

    def cpu_seconds(self):
        try:
            with open(self.group + "/cpu.stat") as file:
                return int(dict(line.split() for line in file)["usage_usec"]) / 1e6
        except FileNotFoundError:
            with open(self.group + "/cpuacct.usage") as file:
                return int(file.read()) / 1e9

    def memory(self):
        """PSS in MiB, of all its processes."""
        sum_kib = 0
        for process in self.processes():
            try:
                with open("/proc/%d/smaps_rollup" % process) as file:
                    sum_kib += next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
            except (OSError, StopIteration):
                continue  # it has just ended
        return sum_kib / 1024

    def store_bytes(self):
        """Of everything that keeps mail."""
        return allocated(self.folder)

    def mail_bytes(self):
        """Without what is as large however much mail there is."""
        return self.store_bytes()


def allocated(path):
    told = subprocess.run(["du", "-s", "-B1", path], capture_output=True, text=True, check=True)
    return int(told.stdout.split()[0])


def reap():
    """Processes that daemons have left behind are ours."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def built():
    """The static program for this machine, which is what people get; made if need be."""
    kind = platform.machine() + "-unknown-linux-musl"
    if INSIDE not in os.environ:
        subprocess.run([os.path.join(ROOT, "cross", "build"), kind], check=True)
    return os.path.join(ROOT, "target", "cross", kind, "hauspost")


class Hauspost(Server):
    """`hauspost try` of the given program."""

    user, recipient = "me", b"me@home.test"

    def __init__(self, name, place, base, program):
        super().__init__(name, place, base)
        # A copy, whose pages in memory are not those of another node that runs the same program.
        self.program = shutil.copy(program, place.path("conf", name))
        self.certificate = os.path.join(self.folder, "cert.pem")

    def commands(self):
        return [[self.program, "try", "--data", self.folder, "--port-base", str(self.base), "--password", self.password]]

    def mail_bytes(self):
        return allocated(os.path.join(self.folder, "hauspost.redb"))


class Configured(Hauspost):
    """`hauspost serve`, with a configuration that takes messages of a hundred megabytes."""

    recipient = b"me@home.test"

    def prepare(self):
        if os.listdir(self.folder):
            return
        subprocess.run([self.program, "init", "--data", self.folder, "--hostname", "mail.home.test", "--address", "me@home.test",
                        "--password-stdin"], input=self.password.encode(), check=True, capture_output=True)
        path = os.path.join(self.folder, "hauspost.toml")
        with open(path) as file:
            text = file.read()
        ports = (("mx", 25), ("imap", 143), ("imaps", 993), ("pop3", 110), ("submission", 587), ("submissions", 465),
                 ("pop3s", 995), ("https", 443))
        listen = "".join('%s = ["127.0.0.1:%d"]\n' % (name, self.base + port) for name, port in ports)
        text = "plaintext_login_on_loopback = true\n" + text.replace("[listen]\n", "[listen]\n" + listen)
        with open(path, "w") as file:
            file.write(text.replace("[limits]\n", '[limits]\nmessage_bytes_max = "200MB"\n'))

    def commands(self):
        return [[self.program, "serve", "--stay-root", "--data", self.folder]]


class Watch:
    """The most memory that the server has while something is done."""

    def __init__(self, server):
        self.server, self.peak, self.over = server, 0.0, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.over.is_set():
            self.peak = max(self.peak, self.server.memory())
            self.over.wait(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
