"""Thunderbird, just installed, under a virtual screen: somebody types their address and the password of the device into its first
window, and everything else it finds by itself.

Names lead to this machine, and its port 443 to the node's, by what Thunderbird has for that: no line of the machine's is changed."""
import json
import re
import socket
import threading
import time

from node import NodeTest, message
from thunderbird import Thunderbird


class Proxy:
    """A proxy for HTTPS that knows the node's names, and leads them to its port; it keeps what it was asked for."""

    def __init__(self, node):
        self.node, self.asked = node, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, client.makefile("rb") as lines:
            method, target, _ = lines.readline().decode().split()
            while lines.readline().strip():
                pass
            self.asked.append(target)
            if method != "CONNECT" or not target.endswith("home.test:443"):
                client.sendall(b"HTTP/1.1 502 Unknown\r\n\r\n")
                return
            with socket.create_connection(("127.0.0.1", self.node.port("https"))) as server:
                client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
                back = threading.Thread(target=relay, args=(server, client), daemon=True)
                back.start()
                relay(client, server)
                back.join(10)

    def close(self):
        self.listener.close()


def relay(source, target):
    try:
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


class FirstStart(NodeTest):
    options = ("--log-level", "info")

    def await_login(self, service):
        wanted = re.compile(r'event=login service=%s .* login="me\+desktop@home\.test" tls=TLS' % service)
        limit = time.monotonic() + 30
        while not wanted.search(self.node.log_text()):
            self.assertLess(time.monotonic(), limit, self.node.log_text())
            time.sleep(0.1)

    def test_an_address_and_a_password_are_enough(self):
        self.node.deliver(message())
        password = self.add_device("desktop")
        proxy = Proxy(self.node)
        self.addCleanup(proxy.close)
        thunderbird = Thunderbird({
            "network.dns.localDomains": "home.test,autoconfig.home.test",
            "network.proxy.type": 1,
            "network.proxy.http": "127.0.0.1",
            "network.proxy.http_port": proxy.port,
            "network.proxy.ssl": "127.0.0.1",
            "network.proxy.ssl_port": proxy.port,
        })
        self.addCleanup(thunderbird.close)
        thunderbird.trust(self.node.certificate)
        thunderbird.type("#realName", "Ada")
        thunderbird.type("#email", "me@home.test")
        thunderbird.go_on()
        # What it has found, as it shows it.
        found = {name: thunderbird.text("#" + name) for name in (
            "incomingHost", "incomingPort", "outgoingHost", "outgoingPort", "sharedUsername", "sharedSocketType")}
        self.assertEqual(found, {
            "incomingHost": "localhost", "incomingPort": str(self.node.port("imaps")), "outgoingHost": "localhost",
            "outgoingPort": str(self.node.port("submissions")), "sharedUsername": "me@home.test",
            "sharedSocketType": "SSL/TLS"})
        # By autoconfig: neither by trying ports nor from a list of providers.
        self.assertIn("autoconfig.home.test:443", proxy.asked)
        thunderbird.go_on()
        thunderbird.type("#password", password)
        thunderbird.go_on()
        account = thunderbird.run("""
            const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
            const { incomingServer: server } = await until(() =>
                MailServices.accounts.accounts.find(account => account.incomingServer.type == "imap"));
            const inbox = await until(() => server.rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox));
            await until(() => inbox.getTotalMessages(false) > 0);
            return { port: server.port, messages: inbox.getTotalMessages(false) };
        """)
        self.assertEqual(account, {"port": self.node.port("imaps"), "messages": 1})
        self.await_login("imap")
        thunderbird.run("""
            const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
            MailServices.outgoingServer.defaultServer.verifyLogon({ OnStartRunningUrl() {}, OnStopRunningUrl() {} }, null);
        """)
        self.await_login("submission")
        [one] = json.loads(self.device("list", "--json"))
        self.assertTrue(one["used"] and one["at_home"], one)
        self.assertRegex(one["program"], r"^Thunderbird \d")
