"""Postfix and Exim, set up as little as can be, deliver to our MX: what they do by themselves, by every extension they use."""
import time

from node import Node, NodeTest, message
from peers import Exim, Postfix, free_port

BIG_BYTES = 18_700_000  # 25 MB in base64


def utf8_message():
    """A header that only SMTPUTF8 may carry."""
    return "\r\n".join([
        "From: Jürgen Müller <jürgen@far.example>", "To: Ich <me@home.test>", "Subject: Grüße, 你好, ünfolded", "X-Test-Id: utf8",
        "Date: Sat, 21 Nov 2026 10:00:00 +0100", "Message-ID: <utf8@far.example>", "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit", "", "Schöne Grüße 你好", ""]).encode()


class Inbound:
    """The same mail through either peer."""

    @classmethod
    def setUpClass(cls):
        port = free_port()
        cls.node = Node("--log-level", "info", "--relay", "127.0.0.1:%d" % port)
        cls.peer = cls.program(cls.node.port("smtp"), cls.node.certificate, cls.node.data + "/key.pem", port=port)

    @classmethod
    def tearDownClass(cls):
        cls.peer.stop()
        cls.node.stop()

    def setUp(self):
        super().setUp()
        self.peer.forget()

    def arrived(self, sent, count=1, seconds=30):
        """The copies in INBOX, each the same as what was sent, byte for byte, apart from lines added on top."""
        found = [got for _, got in self.node.await_messages(count, seconds=seconds).values()]
        self.assertEqual(len(found), count, self.peer.log_text() + self.node.log_text()[-3000:])
        for got in found:
            self.assertEqual(got[-len(sent):], sent)
        return found

    def returned(self):
        """The one message that came back to bob since the test began."""
        back = self.peer.received(1)
        self.assertEqual(len(back), 1, self.peer.log_text() + self.node.log_text()[-3000:])
        return back[0].decode()

    def test_eight_bits_over_opportunistic_tls(self):
        m = message("eight-bits", sender="bob@far.example")
        self.peer.send(m, mail=["BODY=8BITMIME"])
        got, = self.arrived(m)
        self.assertIn(b"with ESMTPS id", got)
        self.assertTrue(got.startswith(b"Return-Path: <bob@far.example>\r\n"), got[:200])

    def test_plain(self):
        peer = self.program(self.node.port("smtp"), self.node.certificate, self.node.data + "/key.pem", security="none")
        self.addCleanup(peer.stop)
        m = message("plain", sender="bob@far.example")
        peer.send(m)
        got, = self.arrived(m)
        self.assertIn(b"with ESMTP id", got)

    def test_several_recipients(self):
        m = message("several", sender="bob@far.example")
        self.peer.send(m, recipient=["me@home.test", "me+list@home.test", "nobody@home.test", "postmaster@home.test"])
        self.assertEqual(len(self.node.await_messages(1)), 1)  # one owner, one copy
        bounce = self.returned()
        self.assertIn("nobody@home.test", bounce)
        self.assertIn("5.1.1", bounce)
        report = bounce.split("message/delivery-status")[1].split("Subject: test several")[0]
        for good in ("me@home.test", "me+list@home.test", "postmaster@home.test"):
            self.assertNotIn("; " + good, report)

    def test_utf8(self):
        m = utf8_message()
        self.peer.send(m, sender="jürgen@far.example", mail=["SMTPUTF8", "BODY=8BITMIME"])
        got, = self.arrived(m)
        self.assertTrue(got.startswith("Return-Path: <jürgen@far.example>\r\n".encode()), got[:200])
        self.assertIn(b"with UTF8SMTPS id", got)

    def test_a_large_one(self):
        m = message("large", sender="bob@far.example", big=BIG_BYTES)
        self.assertGreater(len(m), 25_000_000)
        began = time.monotonic()
        self.peer.send(m)
        self.arrived(m, seconds=90)
        print("%.1f s" % (time.monotonic() - began))

    def test_a_report_of_success(self):
        m = message("report", sender="bob@far.example")
        self.peer.send(m, mail=["RET=HDRS", "ENVID=QQ+2B314159"], rcpt=["NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;Me@home.test"])
        self.arrived(m)
        report = self.returned()
        self.assertIn("multipart/report", report)
        for line in ("Original-Envelope-Id: QQ+314159", "Original-Recipient: rfc822; Me@home.test", "Action: delivered", "Status: 2."):
            self.assertIn(line.lower(), report.lower())
        self.assertIn("Subject: test report", report)
        self.assertNotIn("last line", report)

    def test_a_report_of_failure_only(self):
        m = message("failure", sender="bob@far.example")
        for recipient in ("me@home.test", "nobody@home.test"):
            self.peer.send(m, recipient=recipient, mail=["RET=FULL", "ENVID=QQ2718"], rcpt=["NOTIFY=FAILURE"])
        self.arrived(m)
        report = self.returned()
        self.assertIn("nobody@home.test", report)
        self.assertIn("QQ2718", report)

    def test_no_report(self):
        m = message("never", sender="bob@far.example")
        self.peer.send(m, recipient=["me@home.test", "nobody@home.test"], rcpt=["NOTIFY=NEVER"])
        self.arrived(m)
        self.peer.send(m, recipient="nobody@home.test", rcpt=["NOTIFY=FAILURE"])
        self.returned()


class FromPostfix(Inbound, NodeTest):
    program = Postfix

    def test_sendmail(self):
        m = message("sendmail", sender="bob@far.example")
        self.peer.sendmail(m, "-f", "bob@far.example", "-N", "success,failure", "-V", "QQ16", "-i", "me@home.test")
        self.arrived(m)
        report = self.returned()
        self.assertIn("Action: delivered", report)
        self.assertIn("Original-Envelope-Id: QQ16", report)


class FromExim(Inbound, NodeTest):
    program = Exim

    def test_chunks(self):
        """A message of many chunks; Exim marks delivery by BDAT with K in its log."""
        m = message("chunks", sender="bob@far.example", big=1_000_000)
        self.peer.send(m)
        self.arrived(m)
        sent = [line for line in self.peer.log_text().split("\n") if "=> me@home.test" in line][-1]
        self.assertIn(" K ", sent)
        self.assertIn(" X=TLS1.3", sent)
