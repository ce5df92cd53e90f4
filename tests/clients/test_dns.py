"""`hauspost dns`: what it prints is served by a real DNS server and compared; then one record after the other is changed."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from knot import Knot

REVERSE = {"113.0.203.in-addr.arpa": "5.113.0.203.in-addr.arpa. 3600 IN PTR mail.home.example.\n"}


class Dns(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix="hauspost-dns-")
        cls.data = os.path.join(cls.folder, "data")
        subprocess.run([os.environ["HAUSPOST"], "init", "--data", cls.data, "--hostname", "mail.home.example", "--address",
                        "me@home.example", "--password-stdin"], input=b"correct horse", check=True, capture_output=True)
        cls.zone = cls.run_dns("--address", "203.0.113.5", "--format", "zone").stdout

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder)

    @classmethod
    def run_dns(cls, *options):
        return subprocess.run([os.environ["HAUSPOST"], "dns", "--data", cls.data, *options], capture_output=True, text=True)

    def check(self, zone, *options):
        """(exit code, what was said) of a check against a server with this zone."""
        server = Knot({"home.example": zone, **REVERSE})
        try:
            r = self.run_dns("--check", "--address", "203.0.113.5", "--dns", "127.0.0.1:%d" % server.port, *options)
            return r.returncode, r.stdout + r.stderr
        finally:
            server.stop()

    def test_all_is_right(self):
        code, said = self.check(self.zone)
        self.assertEqual(code, 0, said)
        states = [line.split()[0] for line in said.splitlines() if not line.startswith(" ") and not line.startswith("not there")]
        self.assertEqual(set(states), {"right"}, said)
        self.assertGreater(len(states), 12, said)
        self.assertIn("not there  TXT   _mta-sts.home.example\n", said)

    def test_with_what_is_for_later(self):
        code, said = self.check(re.sub(r"^; (_mta-sts|_25)", r"\1", self.zone, flags=re.M))
        self.assertEqual(code, 0, said)
        self.assertIn("right      TXT   _mta-sts.home.example\n", said)

    def test_each_change_is_named(self):
        for old, new, name in [
                (" IN A 203.0.113.5", " IN A 203.0.113.6", "A of mail.home.example"),
                ("home.example. 3600 IN MX 10 mail.home.example.", "home.example. 3600 IN MX 10 ns.home.example.", "MX of home.example"),
                ('"v=spf1 mx -all"', '"v=spf1 a:ns.home.example -all"', "TXT of home.example"),
                ("k=ed25519; p=", "k=ed25519; p=AAAA", "TXT of ed1._domainkey.home.example"),
                ("p=MII", "p=MIJ", "TXT of rsa1._domainkey.home.example"),
                ("v=DMARC1; p=quarantine", "v=DMARC1", "TXT of _dmarc.home.example"),
                ("SRV 0 1 993 mail", "SRV 0 1 993 imap", "SRV of _imaps._tcp.home.example"),
        ]:
            with self.subTest(name):
                self.assertIn(old, self.zone)
                code, said = self.check(self.zone.replace(old, new, 1))
                self.assertEqual(code, 1, said)
                self.assertIn("DIFFERENT", said)
                last = said.splitlines()[-1]
                self.assertTrue(last.startswith("hauspost: not as it has to be in DNS: " + name), last)

    def test_what_is_missing_is_named(self):
        lines = [line for line in self.zone.splitlines() if not line.startswith(("_dmarc", "_submission", "_smtp"))]
        code, said = self.check("\n".join(lines) + "\n")
        self.assertEqual(code, 1, said)
        self.assertIn("MISSING    TXT   _dmarc.home.example\n", said)
        self.assertIn("missing    SRV   _submissions._tcp.home.example\n", said)
        self.assertTrue(said.endswith("not as it has to be in DNS: TXT of _dmarc.home.example\n"), said)

    def test_other_words(self):
        zone = self.zone.replace('"v=spf1 mx -all"', '"v=spf1 ip4:203.0.113.0/28 " "include:_spf.home.example ~all"')
        zone += '_spf.home.example. 3600 IN TXT "v=spf1 ip4:198.51.100.0/24 -all"\nhome.example. 3600 IN TXT "site-verification=1"\n'
        code, said = self.check(zone)
        self.assertEqual(code, 0, said)

    def test_json(self):
        printed = json.loads(self.run_dns("--json").stdout)
        self.assertIn(["MX 10 mail.home.example"], [record["records"] for record in printed])
        code, said = self.check(self.zone.replace("v=DMARC1; p=quarantine", "v=DMARC1"), "--json")
        said = said.splitlines()
        self.assertEqual(code, 1)
        found = {record["name"]: record for record in json.loads("\n".join(said[:-1]))}
        self.assertTrue(found["_dmarc.home.example"]["trouble"])
        self.assertEqual(found["_dmarc.home.example"]["there"], ["v=DMARC1"])
        self.assertEqual(found["_imaps._tcp.home.example"]["state"], "right")

    def test_nobody_answers(self):
        r = self.run_dns("--check", "--dns", "127.0.0.1:9")
        self.assertEqual(r.returncode, 1, r.stdout + r.stderr)
        self.assertIn("unknown    MX    home.example\n", r.stdout)


if __name__ == "__main__":
    unittest.main()
