"""Postfix on both sides: it delivers to our MX, and our relay delivers to it, through a smarthost and by MX lookup."""
import shutil
import smtplib
import subprocess
import tempfile
import time
import unittest

from node import PASSWORD, Node, NodeTest, message
from peers import FAR, Dnsmasq, Postfix, free_port

def submit(node, m, recipient="bob@far.example"):
    with smtplib.SMTP_SSL("localhost", node.port("submissions"), context=node.tls_context()) as s:
        s.login("me", PASSWORD)
        s.sendmail("me@home.test", [recipient], m)


class PostfixSends(NodeTest):
    """Postfix delivers to our MX."""

    def walk(self, security):
        peer = Postfix(self.node.port("smtp"), self.node.certificate, self.node.data + "/key.pem", security)
        self.addCleanup(peer.stop)
        sent = {}
        for i, big in enumerate((0, 50_000, 2_000_000)):
            sent[i] = message("pf%d" % i, sender="bob@far.example", big=big)
            peer.send(sent[i])
        found = self.node.await_messages(3, seconds=30)
        self.assertEqual(len(found), 3, peer.log_text() + self.node.log_text())
        for i, m in sent.items():
            got = [g for _, g in found.values() if b"X-Test-Id: pf%d\r\n" % i in g]
            self.assertEqual(len(got), 1)
            self.assert_same(m, got[0])
        return [g for _, g in found.values()]

    def test_plain(self):
        self.assertNotIn(b"with ESMTPS", self.walk("none")[0].split(b"mx.far.example")[0])

    def test_starttls_verified(self):
        for got in self.walk("encrypt"):
            self.assertIn(b"ESMTPS", got)

    def test_unknown_recipient_bounces_at_the_sender(self):
        peer = Postfix(self.node.port("smtp"), self.node.certificate, self.node.data + "/key.pem")
        self.addCleanup(peer.stop)
        peer.send(message("unknown", sender="bob@far.example"), recipient="nobody@home.test")
        bounces = peer.received(1)
        self.assertEqual(len(bounces), 1, peer.log_text())
        self.assertIn(b"5.1.1", bounces[0])


class PostfixReceives(unittest.TestCase):
    """Our relay delivers to Postfix."""

    assert_same = NodeTest.assert_same

    def peer(self):
        folder = tempfile.mkdtemp(prefix="hauspost-cert-")
        self.addCleanup(shutil.rmtree, folder, ignore_errors=True)
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-days", "30", "-subj", "/CN=mx.far.example", "-keyout", folder + "/key.pem", "-out",
                        folder + "/cert.pem"], check=True, stderr=subprocess.DEVNULL)
        peer = Postfix(9, folder + "/cert.pem", folder + "/key.pem")
        self.addCleanup(peer.stop)
        return peer

    def walk(self, node, peer):
        sent = [message("out%d" % i, sender="me@home.test", to="bob@far.example", big=big)
                for i, big in enumerate((0, 50_000, 2_000_000))]
        for m in sent:
            submit(node, m)
        got = peer.received(3)
        self.assertEqual(len(got), 3, peer.log_text() + node.log_text())
        for i, m in enumerate(sent):
            self.assert_same(m, [g for g in got if b"X-Test-Id: out%d\n" % i in g][0])

    def test_smarthost(self):
        peer = self.peer()
        node = Node("--relay", "127.0.0.1:%d" % peer.port)
        self.addCleanup(node.stop)
        self.walk(node, peer)

    def test_mx_lookup(self):
        peer = self.peer()
        names = Dnsmasq(*FAR)
        self.addCleanup(names.stop)
        node = Node("--dns", names.address, "--mx-port", str(peer.port))
        self.addCleanup(node.stop)
        self.walk(node, peer)
        # opportunistic TLS was used, although nobody signed the certificate
        self.assertTrue(all(b"with ESMTPS" in g for g in peer.received(3)))

    def test_refused_by_the_peer_comes_back_as_a_bounce(self):
        peer = self.peer()
        node = Node("--relay", "127.0.0.1:%d" % peer.port)
        self.addCleanup(node.stop)
        m = message("refused", sender="me@home.test", to="nobody@far.example")
        submit(node, m, "nobody@far.example")
        limit, found = time.monotonic() + 30, []
        while not found and time.monotonic() < limit:
            c = node.imap()
            c.select("INBOX", readonly=True)
            found = c.search(None, "FROM", '"MAILER-DAEMON"')[1][0].split()
            if found:
                text = c.fetch(found[-1].decode(), "(BODY.PEEK[])")[1][0][1]
            c.logout()
            time.sleep(0.1)
        self.assertTrue(found, peer.log_text() + node.log_text())
        self.assertIn(b"nobody@far.example", text)
        self.assertIn(b"message/delivery-status", text)
        self.assertIn(b"5.1.1", text)


class PostfixReports(unittest.TestCase):
    """Both ways at once: what a sender asks to be told comes back from the other side."""

    def setUp(self):
        port = free_port()
        self.node = Node("--relay", "127.0.0.1:%d" % port)
        self.addCleanup(self.node.stop)
        key = self.node.data + "/key.pem"
        self.peer = Postfix(self.node.port("smtp"), self.node.certificate, key, port=port)
        self.addCleanup(self.peer.stop)

    def submit(self, m, mail=(), rcpt=(), recipient="bob@far.example"):
        with smtplib.SMTP_SSL("localhost", self.node.port("submissions"), context=self.node.tls_context()) as s:
            s.login("me", PASSWORD)
            s.sendmail("me@home.test", [recipient], m, mail_options=mail, rcpt_options=rcpt)

    def report(self, text):
        found = self.node.await_messages(1, seconds=30)
        self.assertEqual(len(found), 1, self.peer.log_text() + self.node.log_text())
        got = list(found.values())[0][1]
        for part in text:
            self.assertIn(part, got)

    def test_postfix_reports_what_our_sender_asked(self):
        m = message("asked", sender="me@home.test", to="bob@far.example")
        self.submit(m, ["RET=HDRS", "ENVID=asked+2B1"], ["NOTIFY=SUCCESS", "ORCPT=rfc822;robert@far.example"])
        self.report([b"Action: delivered", b"Original-Envelope-Id: asked+1", b"Original-Recipient: rfc822;robert@far.example"])

    def test_nobody_is_told_who_did_not_want_to_be(self):
        m = message("never", sender="me@home.test", to="nobody@far.example")
        self.submit(m, rcpt=["NOTIFY=NEVER"], recipient="nobody@far.example")
        self.submit(m, rcpt=["NOTIFY=FAILURE"], recipient="nobody@far.example")
        self.report([b"Action: failed", b"5.1.1"])

    def test_we_report_what_a_sender_there_asked(self):
        with smtplib.SMTP("127.0.0.1", self.peer.port) as s:
            s.ehlo()
            s.sendmail("bob@far.example", ["me@home.test"], message("told", sender="bob@far.example"),
                       mail_options=["ENVID=told1"], rcpt_options=["NOTIFY=SUCCESS", "ORCPT=rfc822;me@home.test"])
        got = self.peer.received(1)
        self.assertEqual(len(got), 1, self.peer.log_text() + self.node.log_text())
        for part in (b"Action: delivered", b"Original-Envelope-Id: told1", b"Original-Recipient: rfc822; me@home.test",
                     b"Reporting-MTA: dns; home.test", b"Subject: Delivered: "):
            self.assertIn(part, got[0])

    def test_all_scripts_both_ways(self):
        out = "From: me@home.test\r\nTo: bob@far.example\r\nSubject: Gr\u00fc\u00dfe\r\n\r\nhin\r\n".encode()
        self.submit(out, ["SMTPUTF8", "BODY=8BITMIME"])
        got = self.peer.received(1)
        self.assertEqual(len(got), 1, self.peer.log_text() + self.node.log_text())
        self.assertIn("Subject: Gr\u00fc\u00dfe".encode(), got[0])
        self.assertIn(b"with UTF8SMTP", got[0])
        with smtplib.SMTP("127.0.0.1", self.peer.port) as s:
            s.ehlo()
            s.sendmail("j\u00fcrgen@far.example", ["me@home.test"],
                       "From: j\u00fcrgen@far.example\r\nSubject: zur\u00fcck\r\nX-Test-Id: back\r\n\r\nher\r\n".encode(),
                       mail_options=["SMTPUTF8", "BODY=8BITMIME"])
        self.report(["Return-Path: <j\u00fcrgen@far.example>".encode(), "Subject: zur\u00fcck".encode()])
