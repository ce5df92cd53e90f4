"""A DNS server on loopback: Knot, with zones as text."""
import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from peers import free_port

CONFIGURATION = """\
server:
    rundir: {folder}
    listen: 127.0.0.1@{port}
database:
    storage: {folder}
log:
  - target: stderr
    any: warning
template:
  - id: default
    storage: {folder}
    zonefile-sync: -1
    journal-content: none
zone:
"""


class Knot:
    """Serves zones: {"home.example": "records"}; an SOA and an NS record are added to each."""

    def __init__(self, zones):
        if shutil.which("knotd") is None:
            raise unittest.TestCase.failureException("knotd is not installed")
        self.folder = tempfile.mkdtemp(prefix="hauspost-knot-")
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.port = free_port()
        text = CONFIGURATION.format(folder=self.folder, port=self.port)
        for name, records in zones.items():
            head = "%s. 3600 IN SOA ns.%s. admin.%s. 1 3600 600 86400 60\n%s. 3600 IN NS ns.%s.\nns.%s. 3600 IN A 127.0.0.1\n"
            with open(os.path.join(self.folder, name + ".zone"), "w") as f:
                f.write(head % ((name,) * 6) + records)
            text += "  - domain: %s\n" % name
        path = os.path.join(self.folder, "knot.conf")
        with open(path, "w") as f:
            f.write(text)
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen(["knotd", "-c", path], stdout=self.log, stderr=self.log)
        self.await_zones(zones)

    def await_zones(self, zones):
        limit = time.monotonic() + 20
        for name in zones:
            while not self.knows(name):
                if self.process.poll() is not None or time.monotonic() > limit:
                    with open(self.log.name) as f:
                        raise RuntimeError("the DNS server did not start:\n" + f.read())
                time.sleep(0.05)

    def knows(self, name):
        """Asks for the SOA record (RFC 1035 section 4.1)."""
        labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.settimeout(0.5)
            try:
                s.sendto(b"\1\2\0\0\0\1\0\0\0\0\0\0" + labels + b"\0\6\0\1", ("127.0.0.1", self.port))
                answer = s.recv(512)
            except OSError:
                return False
            return answer[3] & 15 == 0 and answer[7] > 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        self.log.close()
