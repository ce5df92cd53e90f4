"""The pages that set a device up, asked for by curl and looked at with Chromium: a link that opens once, a page for a narrow phone in two
languages, a password that logs in, and nothing at all for everybody else."""
import base64
import hashlib
import imaplib
import os
import plistlib
import re
import socket
import ssl
import xml.etree.ElementTree

from browser import Browser
from node import NodeTest

SCREENSHOTS = os.path.join(os.path.dirname(__file__), "../../target/screenshots")
STRICT = {
    "cache-control": "no-store", "referrer-policy": "no-referrer", "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}


class Pages(NodeTest):
    def add(self, name, *words):
        """(link, password) of a new device."""
        text = self.device("add", name, *words)
        self.addCleanup(self.device, "remove", name)
        return re.search(r"^link +(\S+)$", text, re.M)[1], re.search(r"^password +(\S+)$", text, re.M)[1]

    def url(self, path):
        return "https://localhost:%d%s" % (self.node.port("https"), path)

    def curl(self, url, *options):
        """(status, {field: value}, content)"""
        said = self.run_program("curl", "-s", "-i", "--cacert", self.node.certificate, *options, url)
        head, _, content = said.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        return int(lines[0].split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}, content

    def open(self, link, *options):
        """Where a link leads."""
        status, fields, _ = self.curl(link, *options)
        self.assertEqual(status, 303)
        return self.url(fields["location"])

    def can_log_in(self, password):
        c = imaplib.IMAP4_SSL("localhost", self.node.port("imaps"), ssl_context=self.node.tls_context())
        try:
            c.login("me@home.test", password)
        except imaplib.IMAP4.error:
            return False
        c.logout()
        return True

    def test_opens_once(self):
        link, password = self.add("phone")
        self.assertEqual(self.curl(link, "-I")[0], 200)
        page = self.open(link)
        self.assertNotIn(link.split("/d/")[1], page)
        self.assertEqual(self.curl(link)[0], 410)
        self.assertEqual(self.curl(page.replace("/p/", "/d/"))[0], 404)
        for _ in range(2):
            status, fields, content = self.curl(page)
            self.assertEqual((status, fields["content-type"]), (200, "text/html; charset=utf-8"))
            self.assertIn(password, content.decode())
        self.device("remove", "phone")
        self.assertEqual(self.curl(page)[0], 404)
        self.device("add", "phone")

    def test_strict(self):
        link, _ = self.add("phone")
        page = self.open(link)
        status, fields, content = self.curl(page)
        self.assertEqual(status, 200)
        style = re.search(rb"<style>(.*)</style>", content, re.S)[1]
        script = re.search(rb"<script>(.*)</script>", content, re.S)[1]
        digests = tuple(base64.b64encode(hashlib.sha256(text).digest()).decode() for text in (style, script))
        self.assertEqual(
            fields["content-security-policy"],
            "default-src 'none'; style-src 'sha256-%s'; script-src 'sha256-%s'; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'" % digests)
        for url in (page, link, self.url("/"), page + "/hauspost-ca.crt"):
            fields = self.curl(url)[1]
            self.assertEqual({name: fields.get(name) for name in STRICT}, STRICT, url)
            self.assertIn("frame-ancestors 'none'", fields["content-security-policy"])
            self.assertFalse({"set-cookie", "strict-transport-security", "server"} & set(fields), fields)
        self.assertEqual(content.count(b"<script"), 1)
        self.assertIn(b"<button type=\"button\" hidden", content, "nothing shows that does nothing without a script")
        head = self.curl(page, "-I")
        self.assertEqual((head[0], head[2], head[1]["content-length"]), (200, b"", str(len(content))))

    def test_the_certificate(self):
        link, _ = self.add("phone")
        page = self.open(link)
        status, fields, content = self.curl(page + "/hauspost-ca.crt")
        self.assertEqual((status, fields["content-type"]), (200, "application/x-x509-ca-cert"))
        with open(self.node.certificate) as f:
            self.assertEqual(content, ssl.PEM_cert_to_DER_cert(f.read()))
        digest = hashlib.sha256(content).hexdigest().upper()
        pairs = ":".join(re.findall("..", digest))
        shown = self.curl(page)[2].decode()
        self.assertIn(pairs, re.search('class="print">(.*?)</code>', shown, re.S)[1].replace("\n", ":"))
        self.assertIn(pairs, re.sub(r":\s+", ":", self.device("link", "phone")))

    def test_a_later_link(self):
        _, old = self.add("phone")
        text = self.device("link", "phone")
        self.assertNotIn("password  ", text)
        link = re.search(r"^link +(\S+)$", text, re.M)[1]
        self.assertTrue(self.can_log_in(old), "a link that nobody opens changes nothing")
        content = self.curl(self.open(link))[2].decode()
        new = re.search('name="password" value="([^"]+)"', content)[1]
        self.assertEqual((self.can_log_in(old), self.can_log_in(new)), (False, True))
        self.device("link", "nobody", exit=1)
        self.node.stop()
        self.assertIn("does not run", self.device("link", "phone", exit=1))
        self.node.start()
        self.assertEqual(self.curl(link)[0], 404, "links do not outlive the node")

    def test_refusals(self):
        for path, options, wanted in (
                ("/", [], 404), ("/../etc/passwd", ["--path-as-is"], 404), ("/d/x", [], 404),
                ("/d/x", ["-X", "POST", "-d", "a=b"], 405), ("/", ["-X", "DELETE"], 405), ("/", ["-X", "BREW"], 501),
                ("/" + "x" * 2000, [], 414), ("/", ["-H", "X: " + "y" * 9000], 431), ("/", ["-d", "z" * 9000], 413),
                ("/", ["-H", "Transfer-Encoding: chunked", "-d", "x"], 411), ("/", ["-H", "Host: far.example"], 421),
                ("/", ["-H", "Host: a b"], 400), ("/", ["--http1.0", "--no-alpn"], 404)):
            self.assertEqual(self.curl(self.url(path), *options, "--interface", "127.0.0.3")[0], wanted, (path, options))
        # A client that speaks HTTP/2 alone is refused by TLS.
        context = self.node.tls_context()
        context.set_alpn_protocols(["h2"])
        with self.assertRaises(ssl.SSLError), socket.create_connection(("127.0.0.1", self.node.port("https"))) as plain:
            context.wrap_socket(plain, server_hostname="localhost")

    def test_who_guesses_is_not_looked_at(self):
        link, _ = self.add("phone")
        guess = lambda number: self.curl(self.url("/d/%022d" % number), "--interface", "127.0.0.2")
        self.assertEqual([guess(number)[0] for number in range(11)], [404] * 10 + [429])
        self.assertEqual(guess(11)[1]["retry-after"], "900")
        self.assertEqual(self.curl(link, "--interface", "127.0.0.2")[0], 429)
        self.open(link)
        self.assertEqual(self.node.log_text().count("event=wrong-links"), 1)

    def test_a_flood_keeps_nobody_from_mail(self):
        held = [socket.create_connection(("127.0.0.1", self.node.port("https"))) for _ in range(12)]
        with socket.create_connection(("127.0.0.1", self.node.port("https")), timeout=20) as more:
            self.assertEqual(more.recv(1), b"", "no more from one network")
        self.node.imap().logout()
        self.assertEqual(self.curl(self.url("/"), "--interface", "127.0.0.4")[0], 404)
        for one in held:
            one.close()

    def test_autoconfig(self):
        for path in ("/mail/config-v1.1.xml?emailaddress=me%40home.test", "/.well-known/autoconfig/mail/config-v1.1.xml"):
            status, fields, content = self.curl(self.url(path))
            self.assertEqual((status, fields["content-type"]), (200, "text/xml; charset=utf-8"))
            found = xml.etree.ElementTree.fromstring(content)
            self.assertEqual(found.findtext("./emailProvider/incomingServer[@type='imap']/port"), str(self.node.port("imaps")))
            self.assertEqual(found.findtext(".//outgoingServer/port"), str(self.node.port("submissions")))
            self.assertEqual(found.findtext(".//incomingServer/username"), "%EMAILADDRESS%")

    def test_outlook(self):
        ask = ('<Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request>'
               '<EMailAddress>me@home.test</EMailAddress><AcceptableResponseSchema>http://schemas.microsoft.com/exchange/'
               'autodiscover/outlook/responseschema/2006a</AcceptableResponseSchema></Request></Autodiscover>')
        for path, waits in (("/autodiscover/autodiscover.xml", ""), ("/Autodiscover/Autodiscover.XML", "100-continue")):
            said = self.curl(self.url(path), "-H", "Content-Type: text/xml", "-H", "Expect: " + waits, "-d", ask)
            content = said[2].partition(b"\r\n\r\n")[2] if waits else said[2]
            found = xml.etree.ElementTree.fromstring(content)
            ports = [(e.findtext("{*}Type"), e.findtext("{*}Port"), e.findtext("{*}LoginName")) for e in found.findall(".//{*}Protocol")]
            self.assertIn(("IMAP", str(self.node.port("imaps")), "me@home.test"), ports)
            self.assertIn(("SMTP", str(self.node.port("submissions")), "me@home.test"), ports)
        status, fields, _ = self.curl(self.url("/autodiscover/autodiscover.xml"))
        self.assertEqual((status, fields["allow"]), (405, "POST"))
        self.assertIn(b"<ErrorCode>600", self.curl(self.url("/autodiscover/autodiscover.xml"), "-d", "x")[2])

    def test_apple(self):
        link, password = self.add("phone")
        page = self.open(link)
        status, fields, content = self.curl(page + "/hauspost.mobileconfig")
        self.assertEqual((status, fields["content-type"]), (200, "application/x-apple-aspen-config"))
        signed = self.path("signed", content)
        text = self.run_program("openssl", "cms", "-verify", "-inform", "DER", "-in", signed, "-CAfile", self.node.certificate,
                                "-purpose", "any", "-out", self.path("profile", ""))
        self.assertIn(b"uccessful", text)
        with open(self.path("profile"), "rb") as f:
            mail = next(part for part in plistlib.load(f)["PayloadContent"] if part["PayloadType"] == "com.apple.mail.managed")
        self.assertEqual((mail["IncomingPassword"], mail["IncomingMailServerPortNumber"]), (password, self.node.port("imaps")))
        c = imaplib.IMAP4_SSL(mail["IncomingMailServerHostName"], mail["IncomingMailServerPortNumber"],
                              ssl_context=self.node.tls_context())
        c.login(mail["IncomingMailServerUsername"], mail["IncomingPassword"])
        c.logout()

    def test_code_on_the_terminal(self):
        text = self.device("add", "phone", "--qr")
        self.addCleanup(self.device, "remove", "phone")
        link = re.search(r"^link +(\S+)$", text, re.M)[1]
        lines = [line for line in text.split("\n") if line.startswith("\x1b[38;5;16;48;5;231m")]
        rows = []
        for line in lines:
            modules = re.sub(r"\x1b\[[\d;]*m", "", line)
            rows += ["".join("1" if c in "█▀" else "0" for c in modules), "".join("1" if c in "█▄" else "0" for c in modules)]
        picture = self.path("code.pbm", "P1\n%d %d\n" % (8 * len(rows[0]), 8 * len(rows)) + "\n".join(
            " ".join(c for c in row for _ in range(8)) for row in rows for _ in range(8)))
        self.assertEqual(self.run_program("zbarimg", "-q", "--raw", picture).decode().split("\n")[-2], link)
        self.assertNotIn("\x1b", self.device("link", "phone"), "no code where nobody looks")

    def test_on_a_narrow_phone(self):
        browser = Browser(self.node.certificate)
        self.addCleanup(browser.end)
        for language, other, dark, name, heading in (("en", "de", False, "kitchen-tablet", "Set up kitchen-tablet"),
                                                     ("de", "en", True, "phone-of-anna", "phone-of-anna einrichten")):
            link, told = self.add(name)
            browser.look(320, language, dark)
            browser.open(link)
            self.assertEqual(browser.value("document.querySelector('h1').textContent"), heading)
            self.assertEqual(browser.value("document.documentElement.lang"), language)
            self.assertEqual(browser.value("document.documentElement.scrollWidth"), 320, "nothing stands out")
            self.assertEqual(browser.value("getComputedStyle(document.querySelector('section')).borderTopStyle"), "solid")
            self.assertEqual(browser.complaints(), [])
            browser.screenshot(os.path.join(SCREENSHOTS, "setup-%s.png" % language))
            password = browser.value("document.querySelector('input[name=password]').value")
            self.assertEqual(password, told)
            self.assertTrue(self.can_log_in(password))
            self.assertEqual(browser.copied("input[name=password] + button"), password)
            self.assertEqual(browser.copied("dd code + button"), "localhost")
            self.assertEqual(browser.complaints(), [])
            browser.open(browser.value("document.querySelector('header a').href"))
            self.assertEqual(browser.value("document.documentElement.lang"), other)
            self.assertEqual(browser.value("document.querySelector('input[name=password]').value"), told)
