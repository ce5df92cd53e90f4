"""POP3 as people have it: mail left on the server, deleted after some days or kept in the trash; APOP; a device with a mailbox of its own;
messages with UTF-8 in their headers; and a session that is cut at every byte."""
import email.header
import email.parser
import glob
import imaplib
import json
import os
import poplib
import pwd
import re
import socket
import struct

from node import PASSWORD, NodeTest, message

LOGIN = b"USER me\r\nPASS " + PASSWORD.encode() + b"\r\n"


class Base(NodeTest):
    def setUp(self):
        super().setUp()
        self.out = os.path.join(self.folder, "out")
        for d in ("cur", "new", "tmp"):
            os.makedirs(os.path.join(self.out, d))

    def append(self, m, mailbox="INBOX"):
        c = self.node.imap()
        self.assertEqual(c.append(mailbox, None, None, m)[0], "OK")
        c.logout()

    def fetched(self):
        got = []
        for name in glob.glob(self.out + "/new/*") + glob.glob(self.out + "/cur/*"):
            with open(name, "rb") as f:
                got.append(f.read())
        return got

    def assert_fetched(self, messages):
        got = self.fetched()
        self.assertEqual(len(got), len(messages))
        for m in messages:
            marker = [line for line in m.split(b"\r\n") if line.startswith(b"X-Test-Id")][0]
            self.assert_same(m, [g for g in got if marker + b"\r" in g or marker + b"\n" in g][0])

    def connect(self, mode):
        if mode == "pop3s":
            return poplib.POP3_SSL("localhost", self.node.port("pop3s"), context=self.node.tls_context(), timeout=20)
        c = poplib.POP3("localhost", self.node.port("pop3"), timeout=20)
        if mode == "stls":
            c.stls(self.node.tls_context())
        return c

    def login(self, mode, user="me", password=PASSWORD):
        c = self.connect(mode)
        c.user(user)
        c.pass_(password)
        return c


class Poplib(Base):
    def test_every_byte_and_every_size(self):
        with_end, without = message("p1"), message("p2")[:-2]
        for m in (with_end, without, b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n", b"Subject: empty\r\n\r\n", b"X: y"):
            self.append(m)
        held = [with_end, without + b"\r\n", b"Subject: dots\r\n\r\n.\r\n..\r\n.x\r\n", b"Subject: empty\r\n\r\n", b"X: y\r\n"]
        for mode in ("plain", "stls", "pop3s"):
            c = self.login(mode)
            self.assertEqual(c.stat(), (5, sum(map(len, held))))
            sizes = [int(line.split()[1]) for line in c.list()[1]]
            for number, m in enumerate(held, 1):
                response, lines, _ = c.retr(number)
                self.assertEqual(b"".join(line + b"\r\n" for line in lines), m)
                self.assertEqual((sizes[number - 1], response), (len(m), b"+OK %d octets" % len(m)))
            header, body = with_end.split(b"\r\n\r\n", 1)
            top = header.split(b"\r\n") + [b""] + body.split(b"\r\n")[:3]
            self.assertEqual(c.top(1, 3)[1], top)
            self.assertEqual(len({line.split()[1] for line in c.uidl()[1]}), 5)
            c.quit()

    def test_capabilities(self):
        c = self.connect("pop3s")
        before = c.capa()
        c.user("me")
        c.pass_(PASSWORD)
        after = c.capa()
        for told in (before, after):
            for name in ("TOP", "UIDL", "USER", "SASL", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE", "LOGIN-DELAY",
                         "UTF8", "LANG", "IMPLEMENTATION"):
                self.assertIn(name, told)
        self.assertEqual((before["UTF8"], before["EXPIRE"], before["LOGIN-DELAY"]), (["USER"], ["NEVER"], ["0"]))

    def test_uidls_last(self):
        self.append(message("u1"))
        self.append(message("u2"))
        c = self.login("plain")
        before = c.uidl()[1]
        c.quit()
        self.node.stop()
        self.node.start()
        c = self.login("plain")
        self.assertEqual(c.uidl()[1], before)
        c.dele(1)
        c.quit()
        self.append(message("u3"))
        c = self.login("plain")
        after = c.uidl()[1]
        c.quit()
        self.assertEqual(after[0].split()[1], before[1].split()[1])
        self.assertNotIn(after[1].split()[1], [line.split()[1] for line in before])

    def test_utf8(self):
        m = ("From: Jürgen <jürgen@far.example>\r\nTo: me@home.test\r\nSubject: Grüße aus dem %s\r\nX-Test-Id: utf8\r\n"
             "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nText äöü\r\n--b\r\n"
             "Content-Disposition: attachment; filename=\"Übung.txt\"\r\n\r\nx\r\n--b--\r\n" % ("sehr langen " * 20)).encode()
        self.append(m)
        c = self.login("pop3s")
        size = int(c.list(1).split()[2])
        lines = c.retr(1)[1]
        got = b"".join(line + b"\r\n" for line in lines)
        self.assertEqual(len(got), size)
        self.assertEqual(c.top(1, 2)[1], lines[:c.top(1, 0)[1].__len__() + 2])
        c.quit()
        parsed = email.parser.BytesParser().parsebytes(got)
        subject = str(email.header.make_header(email.header.decode_header(parsed["Subject"])))
        self.assertEqual(subject, "Grüße aus dem " + "sehr langen " * 20)
        self.assertTrue(all(str(value).isascii() for _, value in parsed.items()))
        self.assertNotIn(b"@far.example>", got.split(b"Subject")[0])
        self.assertEqual(parsed.get_payload()[1].get_filename(), "Übung.txt")
        self.assertIn("Text äöü".encode(), got)
        c = self.connect("pop3s")
        c.utf8()
        c.user("me")
        c.pass_(PASSWORD)
        self.assertEqual(int(c.list(1).split()[2]), len(m))
        self.assertEqual(b"".join(line + b"\r\n" for line in c.retr(1)[1]), m)
        c.quit()


class LeftOnTheServer(Base):
    """Three programs, twice: the second time only what is new is fetched, and all of it is still there."""

    def twice(self, run):
        first = [message("k1"), message("k2")]
        for m in first:
            self.node.deliver(m)
        run()
        self.assert_fetched(first)
        third = message("k3")
        self.node.deliver(third)
        run()
        self.assert_fetched(first + [third])
        self.assertEqual(len(self.node.messages()), 3)

    def fetchmail(self, protocol, service, user, password, *options):
        script = self.path("mda", "#!/bin/sh\nexec cat > %s/new/$$\n" % self.out, 0o700)
        rc = self.path("rc", "poll localhost protocol %s port %d no dns %s user \"%s\" password \"%s\" %s no rewrite mda \"%s\"\n"
                       % (protocol, self.node.port(service), "uidl" if protocol == "pop3" else "", user, password,
                          " ".join(options), script))
        # 1: there is no new mail.
        self.run_program("fetchmail", "-f", rc, "--nosyslog", "--pidfile", self.path("pid"), "-i", self.path("ids"), "-v", ok=(0, 1))

    def test_fetchmail(self):
        certified = "sslcertck sslcertfile " + self.node.certificate
        self.twice(lambda: self.fetchmail("pop3", "pop3s", "me", PASSWORD, "ssl", certified, "keep"))

    def mpop(self, service, *lines):
        rc = self.path("rc", "\n".join(["account a", "host localhost", "port %d" % self.node.port(service),
                                        "uidls_file " + self.path("uidls"), "delivery maildir " + self.out, "received_header off",
                                        *lines, "account default : a", ""]))
        self.run_program("mpop", "-C", rc)

    def mpop_tls(self):
        return ("tls on", "tls_starttls on", "tls_trust_file " + self.node.certificate)

    def test_mpop(self):
        self.twice(lambda: self.mpop("pop3", "user me", "passwordeval echo '%s'" % PASSWORD, "keep on", *self.mpop_tls()))

    def getmail(self, *options):
        folder = os.path.join(self.folder, ".getmail")
        os.makedirs(folder, exist_ok=True)
        user = []
        if os.geteuid() == 0:  # it never delivers as root
            user = ["user = nobody"]
            for path in (self.node.folder, self.folder):
                os.chmod(path, 0o711)
            for path in (self.out, self.out + "/cur", self.out + "/new", self.out + "/tmp"):
                os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
        rc = self.path(".getmail/rc", "\n".join([
            "[retriever]", "type = SimplePOP3SSLRetriever", "server = localhost", "port = %d" % self.node.port("pop3s"),
            "username = me", "password = " + PASSWORD, "ca_certs = " + self.node.certificate, "[destination]", "type = Maildir",
            "path = %s/" % self.out, *user, "[options]", "read_all = false", "delivered_to = false", "received = false", *options, ""]))
        self.run_program("getmail", "--getmaildir", folder, "--rcfile", rc)
        return folder

    def test_getmail(self):
        self.twice(lambda: self.getmail("delete = false"))

    def test_getmail_deletes_after_some_days(self):
        sent = [message("d1"), message("d2")]
        for m in sent:
            self.node.deliver(m)
        folder = self.getmail("delete = false", "delete_after = 3")
        self.assert_fetched(sent)
        self.assertEqual(len(self.node.messages()), 2)
        [remembered] = glob.glob(folder + "/oldmail-*")
        with open(remembered, "rb") as f:
            text = f.read()
        # Four days pass: it keeps when it has seen each message first.
        older = re.sub(rb"(\d{9,})(?=\s|$)", lambda seen: b"%d" % (int(seen.group(1)) - 4 * 86400), text)
        self.assertNotEqual(older, text)
        with open(remembered, "wb") as f:
            f.write(older)
        new = message("d3")
        self.node.deliver(new)
        self.getmail("delete = false", "delete_after = 3")
        self.assert_fetched(sent + [new])
        [(_, left)] = self.node.messages().values()
        self.assert_same(new, left)


class Devices(LeftOnTheServer):
    test_fetchmail = test_mpop = test_getmail = test_getmail_deletes_after_some_days = None

    def test_apop(self):
        self.assertNotIn(b"<", self.connect("plain").getwelcome())
        told = self.device("add", "old", "--apop")
        self.addCleanup(self.device, "remove", "old")
        self.assertIn("WARNING", told)
        secret = told.split("password  ")[1].split("\n")[0]
        for listed in (self.device("list"), self.device("list", "--json")):
            self.assertNotIn(secret, listed)
        self.assertIn("READABLE", self.device("list"))
        [one] = json.loads(self.device("list", "--json"))
        self.assertTrue(one["pop3"]["apop"])
        stamps = {re.search(b"<.+@.+>", self.connect("plain").getwelcome()).group() for _ in range(3)}
        self.assertEqual(len(stamps), 3)
        sent = [message("a1"), message("a2")]
        for m in sent:
            self.node.deliver(m)
        for mode in ("plain", "stls", "pop3s"):
            c = self.connect(mode)
            c.apop("me+old", secret)
            self.assertEqual(c.stat()[0], 2)
            c.quit()
            c = self.connect(mode)
            with self.assertRaisesRegex(poplib.error_proto, r"\[AUTH\]"):
                c.apop("me+old", "wrong")
        self.fetchmail("apop", "pop3", "me", secret, "sslproto ''", "keep", "fetchall")
        self.assert_fetched(sent)
        for name in glob.glob(self.out + "/new/*"):
            os.remove(name)
        self.mpop("pop3", "user me+old", "passwordeval echo '%s'" % secret, "auth apop", "keep off", *self.mpop_tls())
        self.assert_fetched(sent)
        self.assertEqual(self.node.messages(), {})
        self.device("pop3", "old", "--no-apop")
        self.assertNotIn(b"<", self.connect("plain").getwelcome())
        self.assertNotIn(secret, self.node.log_text())

    def test_a_mailbox_of_its_own_and_the_trash(self):
        password = self.add_device("scanner")
        c = self.node.imap()
        c.create("Scans")
        c.logout()
        self.append(message("s1"), "Scans")
        self.append(message("s2"))
        self.device("pop3", "scanner", "--mailbox", "Scans", "--on-delete", "trash", "--login-delay", "5")
        listed = self.device("list")
        for said in ("sees Scans", "goes to the trash", "at most once in 5 seconds"):
            self.assertIn(said, listed)
        before = len(self.node.messages("Trash"))
        self.mpop("pop3", "user me+scanner", "passwordeval echo '%s'" % password, "keep off", *self.mpop_tls())
        self.assert_fetched([message("s1")])
        self.assertEqual((len(self.node.messages("Scans")), len(self.node.messages())), (0, 1))
        trash = self.node.messages("Trash")
        self.assertEqual(len(trash), before + 1)
        with self.assertRaisesRegex(poplib.error_proto, r"\[LOGIN-DELAY\]"):
            self.login("plain", "me+scanner", password)
        self.device("pop3", "scanner", "--login-delay", "0", "--mailbox", "INBOX", "--on-delete", "delete")
        c = self.login("plain", "me+scanner", password)
        self.assertEqual(c.stat()[0], 1)
        with self.assertRaisesRegex(poplib.error_proto, r"\[IN-USE\]"):
            self.login("plain", "me", password)
        self.login("plain").quit()
        c.quit()
        self.login("plain", "me", password).quit()

    def test_a_device_that_has_its_answer_to_quit_may_come_again(self):
        """The maildrop was free only when the connection had been closed: a moment after the answer, and later on a busy machine."""
        password = self.add_device("eager")
        before = []
        for mode in ("plain", "pop3s"):
            for _ in range(250):
                c = self.login(mode, "me", password)
                before.append(c)  # still connected
                c._shortcmd("QUIT")

    def test_mistakes(self):
        self.add_device("phone")
        self.assertIn("no mailbox", self.device("pop3", "phone", "--mailbox", "Nowhere", exit=1))
        self.assertIn("Outbox", self.device("pop3", "phone", "--mailbox", "Outbox", exit=1))
        self.assertIn("no device", self.device("pop3", "other", "--no-apop", exit=1))
        self.device("pop3", "phone", exit=64)
        self.device("pop3", "phone", "--on-delete", "burn", exit=64)
        self.device("pop3", "phone", "--login-delay", "100000", exit=64)


class Cut(Base):
    """A session that loses its connection behind any byte deletes nothing, or exactly what QUIT was to delete."""

    def test_at_every_byte(self):
        session = LOGIN + b"STAT\r\nUIDL\r\nRETR 1\r\nDELE 1\r\nDELE 3\r\nRSET\r\nDELE 2\r\nTOP 3 1\r\nQUIT\r\n"
        for number in range(3):
            self.append(message("c%d" % number))
        for cut in range(len(session)):
            with socket.create_connection(("127.0.0.1", self.node.port("pop3")), timeout=20) as s:
                s.sendall(session[:cut])
                if cut % 2:  # at once, and with a reset
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:  # when all of it has been heard
                    s.shutdown(socket.SHUT_WR)
                    while s.recv(1 << 16):
                        pass
            if cut % 16 == 0 or cut > len(session) - 12:
                self.assertEqual(len(self.node.messages()), 3, session[:cut])
        with socket.create_connection(("127.0.0.1", self.node.port("pop3")), timeout=20) as s:
            s.sendall(session)
            s.shutdown(socket.SHUT_WR)
            said = b""
            while piece := s.recv(1 << 16):
                said += piece
        self.assertTrue(said.endswith(b"+OK deleted, good bye\r\n"))
        left = sorted(re.search(b"X-Test-Id: (..)", m).group(1) for _, m in self.node.messages().values())
        self.assertEqual(left, [b"c0", b"c2"])
