"""A place to measure in: a network with nothing but loopback, a name server that knows nobody, and an ext4 of its own.

All of it belongs to one process and the namespaces it was started in (network, mounts, processes): when that ends, however it
ends, its servers, mounts, loop device and network are gone, too. Only a folder and a control group are left to remove.
"""
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time

PACKAGES = ("postfix", "dovecot-imapd", "dovecot-pop3d", "dovecot-lmtpd", "dnsmasq-base", "isync", "iproute2", "openssl", "e2fsprogs")
INSIDE = "HAUSPOST_BENCH_INSIDE"
ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", ".."))
FOLDER = os.path.join(ROOT, "target", "bench")
IMAGE_BYTES = 8 << 30
RAM_BYTES_LEFT = 4 << 30


def require(packages=PACKAGES):
    """Says what is missing to measure here, and ends; or installs it."""
    if sys.platform != "linux" or shutil.which("dpkg-query") is None:
        give_up("This needs Debian or a relative of it: the peers come from its packages.")
    if os.geteuid() != 0:
        give_up("This needs root: for namespaces, a loop device, control groups and servers that drop their rights.")
    missing = [name for name in packages if not installed(name)]
    if missing:
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        for command in ["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", *missing]:
            if subprocess.run(["apt-get", *command], env=environment, stdout=subprocess.DEVNULL).returncode:
                give_up("Could not install " + " ".join(missing))


def give_up(why):
    print(why, file=sys.stderr)
    sys.exit(2)


def installed(package):
    told = subprocess.run(["dpkg-query", "-W", "-f", "${Status}", package], capture_output=True, text=True)
    return told.stdout.endswith("ok installed")


def enter():
    """Runs this program again inside, cleans up behind it and ends with its exit code. Returns only inside."""
    if INSIDE in os.environ:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    os.makedirs(os.path.dirname(FOLDER), exist_ok=True)
    lock = open(FOLDER + ".lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        give_up("This is running already.")
    shutil.rmtree(FOLDER, ignore_errors=True)
    os.makedirs(FOLDER)
    group = os.path.join(control_groups(), "hauspost-bench-%d" % os.getpid())
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, *sys.argv]
    inside = subprocess.Popen(command, env={**os.environ, INSIDE: group})
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        exit_code = inside.wait()
    except KeyboardInterrupt:
        exit_code = 130
    finally:
        # With it goes everything in its namespaces.
        inside.kill()
        inside.wait()
        remove_groups(group)
        shutil.rmtree(FOLDER, ignore_errors=True)
    sys.exit(exit_code)


def remove_groups(group):
    """As soon as their processes are gone."""
    limit = time.monotonic() + 60
    for folder, _, _ in os.walk(group, topdown=False):
        while True:
            try:
                os.rmdir(folder)
                break
            except OSError:
                if time.monotonic() > limit:
                    print("could not remove " + folder)
                    break
                time.sleep(0.05)


def control_groups():
    """Where groups can be made that count CPU time: version 2 wherever it is mounted, else cpuacct."""
    found = {}
    with open("/proc/mounts") as file:
        for line in file:
            _, where, kind, options = line.split()[:4]
            if kind == "cgroup2" or kind == "cgroup" and "cpuacct" in options.split(","):
                found[kind] = where
    where = found.get("cgroup2") or found.get("cgroup")
    if where is None or not os.access(where, os.W_OK):
        give_up("This needs control groups that root can write to, for the CPU time of servers.")
    return where


class Place:
    """Made inside; gives servers their folders."""

    def __init__(self):
        self.volume = self.path("vol")
        for name in "vol", "run", "logs", "conf":
            os.makedirs(self.path(name))
        self.certify()
        self.mount()
        self.name_server()

    @staticmethod
    def path(*names):
        return os.path.join(FOLDER, *names)

    def certify(self):
        self.certificate, self.key = self.path("conf", "cert.pem"), self.path("conf", "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", self.key,
                        "-out", self.certificate], check=True, stderr=subprocess.DEVNULL)

    def mount(self):
        """An ext4 in memory where there is enough, else in a file: its device counts what the server writes, and nothing else."""
        shm = os.statvfs("/dev/shm") if os.path.isdir("/dev/shm") else None
        in_memory = shm and shm.f_bavail * shm.f_frsize > RAM_BYTES_LEFT
        image = "/dev/shm/hauspost-bench-%s" % os.path.basename(os.environ[INSIDE]) if in_memory else self.path("image")
        try:
            with open(image, "wb") as file:
                file.truncate(IMAGE_BYTES)
            options = "lazy_itable_init=0,lazy_journal_init=0"
            subprocess.run(["mkfs.ext4", "-q", "-F", "-E", options, "-N", "600000", image], check=True)
            subprocess.run(["mount", "-o", "loop,noatime", image, self.volume], check=True)
        finally:
            os.remove(image)  # lives on as long as it is mounted
        self.backing = "memory" if in_memory else "a file"
        number = os.stat(self.volume).st_dev
        self.device = (str(os.major(number)), str(os.minor(number)))

    def name_server(self):
        """Answers "no such name" at once, which a machine without network cannot be relied on to do."""
        resolver = self.path("conf", "resolv.conf")
        with open(resolver, "w") as file:
            file.write("nameserver 127.0.0.1\n")
        subprocess.run(["mount", "--bind", resolver, "/etc/resolv.conf"], check=True)
        command = ["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--local=/#/", "--user=root",
                   "--listen-address=127.0.0.1", "--bind-interfaces", "--pid-file=", "--host-record=client.example.org,127.0.0.1"]
        self.names = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def written(self):
        """(bytes, flushes) of the device so far: data, metadata and journal of the file system."""
        with open("/proc/diskstats") as file:
            for line in file:
                words = line.split()
                if (words[0], words[1]) == self.device:
                    return int(words[9]) * 512, int(words[18])
        raise RuntimeError("the kernel does not count this device")

    def sync(self):
        subprocess.run(["sync", "-f", self.volume], check=True)
