"""Dovecot on loopback, a plain IMAP client, and answers as values that can be compared."""
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

from node import PASSWORD
from peers import free_port

CONFIGURATION = """\
base_dir = {folder}/run
log_path = {folder}/log
protocols = imap
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{folder}/mail
mail_max_userip_connections = 100
imap_max_line_length = 1M
first_valid_uid = 1
service imap-login {{
  inet_listener imap {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={folder}/mail
}}
"""


class Dovecot:
    """A Dovecot with one user, `me`, whose password is that of the node."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="hauspost-dovecot-")
        os.chmod(self.folder, 0o755)
        self.port = free_port()
        with open(self.folder + "/users", "w") as f:
            f.write("me:{PLAIN}%s\n" % PASSWORD)
        with open(self.folder + "/dovecot.conf", "w") as f:
            f.write(CONFIGURATION.format(folder=self.folder, port=self.port))
        os.mkdir(self.folder + "/mail")
        shutil.chown(self.folder + "/mail", "mail", "mail")
        self.process = subprocess.Popen(["dovecot", "-F", "-c", self.folder + "/dovecot.conf"], stderr=subprocess.DEVNULL)
        limit = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
                return
            except OSError:
                if time.monotonic() > limit or self.process.poll() is not None:
                    raise RuntimeError("no Dovecot:\n" + open(self.folder + "/log").read())
                time.sleep(0.05)

    def stop(self):
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)


class Client:
    """An IMAP client that knows lines and literals, and nothing of what they mean."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=120)
        self.file = self.socket.makefile("rb")
        self.number = 0
        self.file.readline()
        self.ok(b"LOGIN me \"%s\"" % PASSWORD.encode())

    def line(self):
        """Bytes and, in tuples, literals, up to the end of a line."""
        parts = []
        while True:
            line = self.file.readline()
            if not line:
                raise EOFError("the server has closed")
            literal = re.search(rb"~?\{(\d+)\}\r\n$", line)
            if not literal:
                return parts + [line[:-2]]
            parts += [line[:literal.start()], (self.file.read(int(literal.group(1))),)]

    def ask(self, command, literal=None):
        """(tagged answer without its tag, untagged lines)."""
        self.number += 1
        tag = b"t%d " % self.number
        self.socket.sendall(tag + command + b"\r\n")
        lines = []
        while True:
            line = self.line()
            if line[0].startswith(b"+") and literal is not None:
                self.socket.sendall(literal + b"\r\n")
            elif line[0].startswith(tag):
                return line[0][len(tag):], lines
            else:
                lines.append(line)

    def ok(self, command, literal=None):
        answer, lines = self.ask(command, literal)
        if not answer.startswith(b"OK"):
            raise RuntimeError("%r: %r" % (command[:200], answer))
        return lines

    def fill(self, mailbox, messages):
        """Makes a mailbox of (message, INTERNALDATE) and selects it."""
        self.ok(b"CREATE " + mailbox)
        for message, date in messages:
            self.ok(b'APPEND %s () "%s" {%d}' % (mailbox, date, len(message)), message)
        self.ok(b"SELECT " + mailbox)

    def fetch(self, item):
        """{message: value} of one item."""
        found = {}
        for line in self.ok(b"FETCH 1:* (%s)" % item):
            if b" FETCH " in line[0][:40]:
                values = parse([line[0].split(b" FETCH ", 1)[1]] + line[1:])[0]
                found[int(line[0].split()[1])] = values[-1] if len(values) == 2 else values[values.index(item.decode()) + 1]
        return found

    def numbers(self, command):
        """What a SEARCH or SORT tells; the tagged answer when it is refused."""
        answer, lines = self.ask(command)
        if not answer.startswith(b"OK"):
            return answer.split()[0]
        told = [line[0] for line in lines if re.match(rb"\* (SEARCH|SORT)\b", line[0])]
        return [int(number) for number in told[0].split()[2:]] if told else None

    def thread(self, command):
        """Threads as nested lists."""
        told = [line[0] for line in self.ok(command) if line[0].startswith(b"* THREAD")]
        return parse([told[0][len(b"* THREAD"):]])


def parse(parts):
    """A response in nested lists: strings as ('text',), other words as they are, NIL as None."""
    stack = [[]]
    word = re.compile(rb'"((?:[^"\\]|\\.)*)"|([()])|((?:\[[^\]]*\]|[^ ()\[])+)| ', re.S)
    for part in parts:
        if isinstance(part, tuple):
            stack[-1].append((part[0].decode("latin1"),))
            continue
        for found in word.finditer(part):
            quoted, bracket, other = found.groups()
            if quoted is not None:
                stack[-1].append((re.sub(rb"\\(.)", rb"\1", quoted).decode("latin1"),))
            elif bracket == b"(":
                stack.append([])
            elif bracket == b")":
                inner = stack.pop()
                stack[-1].append(inner)
            elif other is not None:
                stack[-1].append(None if other.upper() == b"NIL" else other.decode("latin1"))
    if len(stack) != 1:
        raise ValueError("parentheses are not balanced")
    return stack[0]
