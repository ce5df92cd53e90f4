"""What is measured, step by step. A step gets all servers, stopped, and leaves them so; within it one run is each server in
turn, so that all of them meet the same machine. `record(server, figure, value)` keeps a figure."""
import os
import signal
import subprocess
import tempfile
import threading
import time

import mkmail
from beside import loads
from beside.servers import Watch

CHANGED = 1000
DELIVERED = 1000
BIG_BYTES = 25_000_000
BOX = "Big"


class Steps:
    def __init__(self, place, servers, runs, box, record):
        self.place, self.servers, self.runs, self.box, self.record = place, servers, runs, box, record

    def start(self):
        """From exec to the first greeting, with a store that is there already."""
        for server in self.servers:
            server.fresh()
            server.stop()
        for _ in range(self.runs):
            for server in self.servers:
                self.place.sync()
                self.record(server, "exec to first greeting", min(server.start().values()) * 1e3)
                server.stop()

    def memory(self):
        for _ in range(self.runs):
            for server in self.servers:
                server.fresh()
                time.sleep(3)
                self.record(server, "memory (PSS), idle", server.memory())
                loads.fill(server, "INBOX", loads.mail(200))
                sessions = [loads.session(server, tls=True) for _ in range(20)]
                for session in sessions:
                    session.select("INBOX")
                    session.idle()
                time.sleep(2)
                self.record(server, "memory, 20 idle TLS sessions", server.memory())
                for session in sessions:
                    session.close()
                server.stop()

    def big(self):
        message = mkmail.big_message(BIG_BYTES)
        for _ in range(self.runs):
            for server in self.servers:
                server.fresh()
                time.sleep(1)
                with Watch(server) as watch:
                    seconds = loads.deliver(server, [message], 1)[1]
                self.record(server, "25 MB received and stored", seconds)
                self.record(server, "memory while 25 MB arrive, peak", watch.peak)
                server.stop()

    def deliver(self):
        for size in 4096, 51200:
            messages = loads.mail(DELIVERED, size=size)
            for connections in 1, 10:
                name = "%d KB, %d connection%s: " % (size // 1024, connections, "s" if connections > 1 else "")
                for _ in range(self.runs):
                    for server in self.servers:
                        self.deliver_once(server, name, messages, connections)

    def deliver_once(self, server, name, messages, connections):
        server.fresh()
        time.sleep(0.5)
        self.place.sync()
        cpu, (written, flushes) = server.cpu_seconds(), self.place.written()
        received, delivered = loads.deliver(server, messages, connections)
        # Counted before the sync, which flushes too; what it writes belongs to the messages.
        flushes = self.place.written()[1] - flushes
        time.sleep(0.2)
        cpu = server.cpu_seconds() - cpu
        self.place.sync()
        written = self.place.written()[0] - written
        server.stop()
        thousands = len(messages) / 1000
        for figure, value in (("delivered a second", len(messages) / delivered), ("received a second", len(messages) / received),
                              ("CPU per 1,000", cpu / thousands), ("written per 1,000", written / 1e6 / thousands),
                              ("flushes per message", flushes / len(messages))):
            self.record(server, name + figure, value)

    def mailbox(self):
        """Reading, searching and changing a mailbox of many messages, coming back to it, and fetching all of it."""
        messages = loads.mail(self.box)
        for server in self.servers:
            server.fresh()
            loads.fill(server, BOX, messages, at_once=server.filled_at_once)
            server.stop()
            raw = sum(map(len, messages))
            self.record(server, "store, part of the raw mail", server.mail_bytes() / raw)
            self.record(server, "store with its journal", server.store_bytes() / raw)
        for server in self.servers:
            server.start()
        for _ in range(self.runs):
            for server in self.servers:
                self.read(server)
        for _ in range(self.runs):
            for server in self.servers:
                for name, seconds in loads.search(server, BOX).items():
                    self.record(server, "SEARCH " + name, seconds * 1e3)
        for _ in range(self.runs):
            for server in self.servers:
                for name, seconds in loads.change(server, BOX, loads.mail(CHANGED, seed=2)).items():
                    figure = name + (" 1,000, one by one" if name == "APPEND" else " 1,000")
                    self.record(server, figure, seconds * 1e3)
        for _ in range(self.runs):
            for server in self.servers:
                known = loads.change_ten(server, BOX)
                self.record(server, "QRESYNC after ten changes", loads.come_back(server, BOX, known) * 1e3)
        for tls in False, True:
            figure = "mbsync, first sync" + (" by TLS" if tls else "")
            for _ in range(self.runs):
                for server in self.servers:
                    self.record(server, figure, self.mbsync(server, tls))
                    self.record(server, figure + ", not compressed", self.mbsync(server, tls, disabled="COMPRESS=DEFLATE"))
        for server in self.servers:
            server.stop()

    def read(self, server):
        cpu = server.cpu_seconds()
        for name, seconds in loads.read(server, BOX).items():
            self.record(server, name if name == "SELECT" else "FETCH " + name, seconds * 1e3)
        self.record(server, "FETCH bodies by TLS", loads.read(server, BOX, tls=True, wanted=["bodies"])["bodies"] * 1e3)
        self.record(server, "CPU of all that", server.cpu_seconds() - cpu)

    def mbsync(self, server, tls, disabled=""):
        """Seconds that mbsync takes to have all of the mailbox, in memory. It compresses where that is offered, unless told otherwise."""
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            os.mkdir(folder + "/mail")
            port = (server.imaps if tls else server.imap).rsplit(":", 1)[1]
            how = "SSLType IMAPS\nCertificateFile %s\n" % server.certificate if tls else "SSLType None\nAuthMechs LOGIN\n"
            how += "DisableExtension %s\n" % disabled if disabled else ""
            with open(folder + "/conf", "w") as file:
                file.write("FSync no\nIMAPAccount a\nHost localhost\nPort %s\nUser %s\nPass %s\n%s\nIMAPStore r\nAccount a\n\n"
                           "MaildirStore l\nPath %s/mail/\nInbox %s/mail/INBOX\n\nChannel c\nFar :r:%s\nNear :l:%s\n"
                           "Create Near\nSync Pull\nSyncState *\n" % (
                               port, server.user, server.password, how, folder, folder, BOX, BOX))
            began = time.monotonic()
            told = subprocess.run(["mbsync", "-q", "-c", folder + "/conf", "c"], capture_output=True, text=True, timeout=600)
            seconds = time.monotonic() - began
            got = sum(len(files) for where, _, files in os.walk(folder + "/mail") if where.endswith(("cur", "new")))
        if got < self.box:
            raise RuntimeError("mbsync has got %d of %d messages from %s: %s" % (got, self.box, server.name, told.stderr[-300:]))
        return seconds

    def idle(self):
        for server in self.servers:
            server.fresh()
        for _ in range(self.runs):
            for server in self.servers:
                for seconds in loads.wake(server, 10):
                    self.record(server, "IDLE: 250 to EXISTS", seconds * 1e3)
        for server in self.servers:
            server.stop()

    def pop3(self):
        for server in self.servers:
            server.fresh()
            loads.empty(server, "INBOX")
        for _ in range(self.runs):
            for server in self.servers:
                loads.fill(server, "INBOX", loads.mail(1000))
                self.record(server, "POP3 RETR and DELE of 1,000", loads.drain(server, 1000))
        for server in self.servers:
            server.stop()

    def kill(self):
        """All processes are killed while messages come in over ten connections; started again, what had its 250 is there once."""
        messages = loads.mail(DELIVERED, size=4096)
        for run in range(self.runs):
            for server in self.servers:
                server.fresh()
                taken = []

                def push():
                    try:
                        loads.push(server, [loads.dotted(message) for message in messages], 10, taken.append)
                    except (OSError, loads.Refused):
                        pass  # that is what a killed server looks like

                sender = threading.Thread(target=push)
                sender.start()
                while sender.is_alive() and len(taken) < 100 + 150 * run % 800:
                    time.sleep(0.001)
                server.stop(signal.SIGKILL)
                sender.join()
                server.start()
                lost, doubled = loads.missing(server, [messages[at] for at in taken])
                self.record(server, "killed while receiving: lost", lost)
                self.record(server, "killed while receiving: doubled", doubled)
                server.stop()


ALL = ("start", "memory", "big", "deliver", "mailbox", "idle", "pop3", "kill")
