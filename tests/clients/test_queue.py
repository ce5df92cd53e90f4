"""hauspost queue as its owner uses it: mail to a host that is down, looked at, held, released, tried when the host is back, given up,
removed."""
import imaplib
import json
import os
import pwd
import re
import shutil
import smtplib
import socket
import subprocess
import threading
import time
import unittest

from node import PASSWORD, Node, NodeTest


class Host:
    """A mail server that is down until it is started."""

    def __init__(self):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.messages = []

    def start(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.converse, args=(connection,), daemon=True).start()

    def converse(self, connection):
        lines = connection.makefile("rwb")

        def say(text):
            lines.write(text + b"\r\n")
            lines.flush()
        say(b"220 far.example")
        for line in lines:
            verb = line[:4].upper()
            if verb == b"DATA":
                say(b"354 go on")
                message = b""
                for line in lines:
                    if line == b".\r\n":
                        break
                    message += line
                self.messages.append(message)
            say(b"221 bye" if verb == b"QUIT" else b"250 fine")
            if verb == b"QUIT":
                break
        connection.close()


class QueueTest(NodeTest):
    """Each test has a node and a host of its own."""

    @classmethod
    def setUpClass(cls):
        pass

    @classmethod
    def tearDownClass(cls):
        pass

    def setUp(self):
        self.host = Host()
        self.node = Node("--relay", "127.0.0.1:%d" % self.host.port)
        self.addCleanup(self.node.stop)
        self.folder = self.node.folder

    def queue(self, *words, exit=0):
        command = [os.environ["HAUSPOST"], "queue", words[0], "--data", self.node.data, *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=dict(os.environ, TZ="UTC-1"))
        self.assertEqual(done.returncode, exit, done.stdout + done.stderr)
        self.assertEqual(done.stderr == "", exit == 0, done.stderr)
        return done.stdout + done.stderr

    def send(self, subject):
        out = self.run_program(
            "swaks", "--server", "127.0.0.1", "--port", str(self.node.port("submission")), "--from", "me@home.test", "--to",
            "bob@far.example", "--auth-user", "me", "--auth-password", PASSWORD, "--header", "Subject: " + subject)
        return re.search(r"Queued as (\d+)", out.decode()).group(1)

    def wait_for(self, what, seconds=20):
        limit = time.monotonic() + seconds
        while not what():
            self.assertLess(time.monotonic(), limit, self.queue("list") + self.node.log_text())
            time.sleep(0.05)

    def await_tried(self, count):
        self.wait_for(lambda: sum(r["attempts"] for m in json.loads(self.queue("list", "--json"))
                                  for r in m["recipients"]) >= count)

    def test_down_and_up_again(self):
        one = self.send("first")
        self.await_tried(1)
        text = self.queue("list")
        for wanted in (one + "  from me@home.test", "bob@far.example", "subject  first", "tried once", "No server gave an answer",
                       "1 message in the queue"):
            self.assertIn(wanted, text)
        # The time is that of whoever asks: this zone is an hour ahead of Greenwich.
        due = json.loads(self.queue("list", "--json"))[0]["due"]
        hour = (int(due[11:13]) + 1) % 24
        self.assertRegex(text, r"next     in \d+ (s|min) \((\d+ \w+ )?%02d:%s\)" % (hour, due[14:16]))
        shown = self.queue("show", one)
        self.assertIn("subject    first", shown)
        self.assertIn("+01:00", shown)
        self.assertIn("is held", self.queue("hold", one))
        self.host.start()
        # A host that has failed a moment ago is left alone for a while, unless its owner knows better.
        two = self.send("second")
        self.queue("retry", "--all")
        self.wait_for(lambda: len(self.host.messages) == 1)
        self.assertIn(b"Subject: second", self.host.messages[0])
        self.assertIn("no message " + two, self.queue("show", two, exit=1))
        self.assertIn("release it first", self.queue("retry", one, exit=1))
        self.assertIn("is tried now", self.queue("release", one))
        self.wait_for(lambda: len(self.host.messages) == 2)
        self.wait_for(lambda: "The queue is empty" in self.queue("list"))

    def test_retried_given_up_removed(self):
        retried, given_up, removed = [self.send(subject) for subject in ("retried", "given up", "removed")]
        self.await_tried(3)
        self.assertIn("nobody is told", self.queue("remove", removed))
        self.assertIn("is told", self.queue("bounce", given_up))
        imap = imaplib.IMAP4("127.0.0.1", self.node.port("imap"))
        imap.login("me", PASSWORD)
        imap.select("INBOX")
        found = imap.search(None, "FROM", "MAILER-DAEMON")[1][0].split()
        self.assertEqual(len(found), 1)
        bounce = imap.fetch(found[0], "(BODY[])")[1][0][1].decode()
        self.assertIn("Subject: Not delivered: given up", bounce)
        self.assertIn("Your message to bob@far.example was not delivered, because whoever runs this mail",
                      bounce.replace("\r\n", " ").replace("  ", " "))
        self.assertIn("Final-Recipient: rfc822; bob@far.example", bounce)
        imap.logout()
        self.host.start()
        self.assertIn("is tried now", self.queue("retry", retried))
        self.wait_for(lambda: "The queue is empty" in self.queue("list"))
        self.assertEqual([b"Subject: retried" in message for message in self.host.messages], [True])

    def test_times_of_their_own_are_kept(self):
        """What is to be sent later is hurried neither by retrying all nor by being released."""
        with smtplib.SMTP("127.0.0.1", self.node.port("submission")) as smtp:
            smtp.login("me", PASSWORD)
            smtp.mail("me@home.test", ["HOLDFOR=3600"])
            smtp.rcpt("bob@far.example")
            one = re.search(rb"Queued as (\d+)", smtp.data(b"From: <me@home.test>\r\nSubject: later\r\n\r\nx\r\n")[1])
        one = one.group(1).decode()
        two = self.send("now")
        self.await_tried(1)
        self.host.start()
        self.assertIn("1 message waits for a time of its own", self.queue("retry", "--all"))
        self.wait_for(lambda: len(self.host.messages) == 1)
        self.assertIn("as its sender asked", self.queue("list"))
        self.queue("hold", one)
        self.assertIn("when its own time comes", self.queue("release", one))
        self.assertIn("as its sender asked", self.queue("list"))
        self.assertIn("is tried now", self.queue("retry", one))
        self.wait_for(lambda: len(self.host.messages) == 2)
        self.assertIn("no message " + two, self.queue("retry", two, exit=1))

    @unittest.skipIf(os.geteuid() != 0, "only root can become somebody else")
    def test_strangers(self):
        """Another user of the machine reaches nothing, not even where somebody has opened the folder for them."""
        nobody = pwd.getpwnam("nobody").pw_uid
        command = [os.environ["HAUSPOST"], "queue", "list", "--data", self.node.data]
        os.chmod(self.node.folder, 0o755)

        def ask():
            # Where others can reach it.
            program = shutil.copy(command[0], self.node.folder)
            os.chmod(program, 0o755)
            return subprocess.run([program] + command[1:], capture_output=True, text=True, user=nobody, timeout=60)
        closed = ask()
        self.assertEqual(closed.returncode, 71, closed.stderr)
        self.assertIn("run this command as one of them", closed.stderr)
        os.chmod(self.node.data, 0o755)
        os.chmod(os.path.join(self.node.data, "control"), 0o666)
        opened = ask()
        self.assertEqual((opened.returncode, opened.stdout), (74, ""), opened.stderr)
        self.assertIn("event=control-refused uid=%d" % nobody, self.node.log_text())

    def test_without_a_running_server(self):
        one, two = self.send("first"), self.send("second")
        self.await_tried(2)
        self.node.stop()
        self.assertIn("2 messages in the queue", self.queue("list"))
        self.queue("remove", one)
        self.assertIn("as soon as the server runs", self.queue("retry", two))
        self.assertIn("no message " + one, self.queue("remove", one, exit=1))
        self.host.start()
        self.node.start()
        self.wait_for(lambda: len(self.host.messages) == 1)
        self.assertIn(b"Subject: second", self.host.messages[0])
