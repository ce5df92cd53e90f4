"""Other mail servers on loopback, each in a folder of its own and set up as little as can be: Postfix and Exim."""
import glob
import os
import pwd
import shutil
import smtplib
import socket
import subprocess
import tempfile
import time
import unittest

import postfix

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def free_port():
    """One that nobody listens on now."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Dnsmasq:
    """A name server that knows nothing but what its options say."""

    def __init__(self, *options):
        # UDP and TCP both: a port that only one of them has free is of no use.
        self.port = free_port()
        self.process = subprocess.Popen(["dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts",
                                         "--listen-address=127.0.0.1", "--bind-interfaces", "--port=%d" % self.port, "--pid-file=",
                                         *options], stderr=subprocess.DEVNULL)
        limit = time.monotonic() + 10
        while socket.socket().connect_ex(("127.0.0.1", self.port)):
            if time.monotonic() > limit or self.process.poll() is not None:
                raise RuntimeError("dnsmasq did not start")
            time.sleep(0.05)

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def stop(self):
        self.process.terminate()
        self.process.wait()


# far.example with its mail server on this machine.
FAR = ("--local=/#/", "--mx-host=far.example,mx.far.example,10", "--host-record=mx.far.example,127.0.0.1")


MAIN = postfix.MAIN + """\
myhostname = mx.far.example
virtual_mailbox_domains = far.example
virtual_mailbox_base = {folder}/mail
virtual_mailbox_maps = inline:{{ {{bob@far.example=bob/}} }}
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
virtual_minimum_uid = 1
message_size_limit = 52428800
smtp_tls_security_level = {security}
smtp_tls_CAfile = {certificate}
smtp_dns_support_level = disabled
smtp_host_lookup = native
transport_maps = inline:{{ {{home.test=smtp:[127.0.0.1]:{mx}}} }}
minimal_backoff_time = 1s
queue_run_delay = 1s
"""


class Peer:
    """What they have in common: mail for bob@far.example is kept in a maildir, mail for home.test goes to our MX."""

    def __init__(self, program, user, folders, port):
        if shutil.which(program) is None:
            raise unittest.TestCase.failureException(program + " is not installed")
        if os.geteuid() != 0:
            raise unittest.TestCase.failureException("a mail server that drops its rights needs root")
        self.folder = tempfile.mkdtemp(prefix="hauspost-peer-")
        os.chmod(self.folder, 0o755)
        self.owner = pwd.getpwnam(user)
        for name, owned in folders.items():
            os.makedirs(os.path.join(self.folder, name))
            if owned:
                os.chown(os.path.join(self.folder, name), self.owner.pw_uid, self.owner.pw_gid)
        self.port = port or free_port()

    def await_greeting(self):
        limit = time.monotonic() + 20
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
                    if s.recv(100):
                        return
            except OSError:
                if time.monotonic() > limit:
                    raise RuntimeError("the peer did not start:\n" + self.log_text())
                time.sleep(0.1)

    def log_text(self):
        text = ""
        for name in sorted(os.listdir(self.folder + "/log")):
            with open(os.path.join(self.folder, "log", name), errors="replace") as f:
                text += f.read()[-3000:]
        return text

    def send(self, message_bytes, sender="bob@far.example", recipient="me@home.test", mail=(), rcpt=()):
        """Gives it a message, for one recipient or several, with parameters of MAIL and RCPT."""
        recipients = [recipient] if isinstance(recipient, str) else recipient
        with smtplib.SMTP("127.0.0.1", self.port) as s:
            refused = s.sendmail(sender, recipients, message_bytes, mail, rcpt)
            if refused:
                raise RuntimeError(str(refused))

    def forget(self):
        """Empties bob's maildir."""
        for name in glob.glob(self.folder + "/mail/bob/new/*"):
            os.remove(name)

    def received(self, count, seconds=30):
        """The messages in bob's maildir, once there are `count` of them or the time is over."""
        limit = time.monotonic() + seconds
        new = os.path.join(self.folder, "mail", "bob", "new")
        while True:
            names = sorted(os.listdir(new)) if os.path.isdir(new) else []
            if len(names) >= count or time.monotonic() > limit:
                break
            time.sleep(0.1)
        found = []
        for name in names:
            with open(os.path.join(new, name), "rb") as f:
                found.append(f.read())
        return found


class Postfix(Peer):
    def __init__(self, mx_port, certificate, key, security="may", port=None):
        super().__init__("postfix", "postfix", {"queue": False, "data": True, "mail": True, "log": False, "conf": False}, port)
        owner = self.owner
        self.conf = os.path.join(self.folder, "conf")
        with open(self.conf + "/main.cf", "w") as f:
            logs = self.folder + "/log"
            f.write(MAIN.format(folder=self.folder, logs=logs, log=logs + "/postfix.log", uid=owner.pw_uid, gid=owner.pw_gid,
                                certificate=certificate, key=key, security=security, mx=mx_port))
        with open(self.conf + "/master.cf", "w") as f:
            f.write(postfix.MASTER.format(smtp=self.port, wake=1))
        self.postfix("check")
        self.postfix("start")
        self.await_greeting()

    def postfix(self, what):
        r = subprocess.run(["postfix", "-c", self.conf, what], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if r.returncode and what != "check":
            raise RuntimeError("postfix %s: %s\n%s" % (what, r.stdout.decode(), self.log_text()))

    def stop(self):
        subprocess.run(["postfix", "-c", self.conf, "stop"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def sendmail(self, message_bytes, *options):
        subprocess.run(["/usr/sbin/sendmail", "-C", self.conf, *options], input=message_bytes.replace(b"\r\n", b"\n"), check=True)


EXIM = """\
primary_hostname = mx.far.example
spool_directory = {folder}/spool
log_file_path = {folder}/log/%slog
pid_file_path = {folder}/spool/pid
exim_path = {program}
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
keep_environment =
acl_smtp_rcpt = accept
dsn_advertise_hosts = *
begin routers
here:
  driver = accept
  domains = far.example
  transport = maildir
there:
  driver = manualroute
  route_list = home.test 127.0.0.1
  self = send
  transport = smtp
begin transports
maildir:
  driver = appendfile
  directory = {folder}/mail/bob
  maildir_format
  user = Debian-exim
smtp:
  driver = smtp
  port = {mx}
{smtp}
begin retry
* * F,1h,1s
"""


class Exim(Peer):
    """The one that is installed, or unpacked by tests/run, because Debian installs only one mail server."""

    def __init__(self, mx_port, _certificate, _key, security="may", port=None):
        beside = os.path.join(TOP, "target", "exim", "usr", "sbin", "exim4")
        program = shutil.which("exim4") or os.path.abspath(beside)
        super().__init__(program, "Debian-exim", {"spool": True, "mail": True, "log": True}, port)
        smtp = {"none": "hosts_avoid_tls = *", "may": "", "encrypt": "hosts_require_tls = *"}[security]
        with open(self.folder + "/exim.conf", "w") as f:
            f.write(EXIM.format(folder=self.folder, program=program, port=self.port, mx=mx_port, smtp="  " + smtp))
        self.process = subprocess.Popen([program, "-C", self.folder + "/exim.conf", "-bdf", "-q1s"],
                                        stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.await_greeting()

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        shutil.rmtree(self.folder, ignore_errors=True)
