"""DANE against a signed DNS: Knot DNS serves a root of its own and a domain below it, Postfix is the domain's mail server."""
import hashlib
import os
import re
import shutil
import smtplib
import subprocess
import tempfile
import time
import unittest

from node import PASSWORD, Node, NodeTest, message
from peers import Dnsmasq, Postfix, free_port

KNOT = """\
server:
    rundir: {folder}
    listen: 127.0.0.1@{port}
    tcp-workers: 1
    udp-workers: 1
    background-workers: 1
log:
  - target: {folder}/log
    any: info
database:
    storage: {folder}
policy:
  - id: own
    manual: on
    single-type-signing: on
    algorithm: ecdsap256sha256
    rrsig-lifetime: 14d
    nsec3: {nsec3}
template:
  - id: default
    storage: {folder}
    file: "zone-%s"
    zonefile-load: whole
    journal-content: none
zone:
  - domain: .
    dnssec-signing: on
    dnssec-policy: own
  - domain: far.example
    dnssec-signing: {signing}
    dnssec-policy: own
  - domain: sub.far.example
"""

ROOT = """\
$TTL 300
. SOA ns. hostmaster. 1 3600 600 86400 300
. NS ns.
ns. A 127.0.0.1
far.example. NS ns.
"""

FAR = """\
$TTL 300
@ SOA ns. hostmaster. 1 3600 600 86400 300
@ NS ns.
@ MX 10 {host}
mx A 127.0.0.1
alias CNAME mx
*.wild A 127.0.0.1
sub NS ns.
"""

# Below far.example, and never signed.
SUB = """\
$TTL 300
@ SOA ns. hostmaster. 1 3600 600 86400 300
@ NS ns.
mx A 127.0.0.1
"""


def submit(node, m):
    with smtplib.SMTP_SSL("localhost", node.port("submissions"), context=node.tls_context()) as s:
        s.login("me", PASSWORD)
        s.sendmail("me@home.test", ["bob@far.example"], m)


class Names:
    """A name server for the root and far.example. `delegated`: the root says that far.example is signed. `change`: what is done
    to the text of the signed zone before it is served; `days_old`: how long ago it was signed."""

    def __init__(self, records, delegated=True, nsec3=False, change=None, days_old=0, host="mx"):
        self.folder = tempfile.mkdtemp(prefix="hauspost-knot-")
        self.port = free_port()
        self.conf = self.folder + "/knot.conf"
        still = change or days_old
        self.configure("on" if delegated else "off", nsec3)
        self.write("zone-", ROOT)
        self.write("zone-far.example", "$ORIGIN far.example.\n" + FAR.format(host=host) + records)
        self.write("zone-sub.far.example", SUB)
        for zone in [".", "far.example"]:
            self.run("keymgr", "-c", self.conf, zone, "generate", "ksk=yes", "zsk=yes", "created=-100d", "publish=-100d",
                     "ready=-100d", "active=-100d")
        if delegated:
            self.write("zone-", ROOT + self.run("keymgr", "-c", self.conf, "far.example", "ds"))
        key = self.run("keymgr", "-c", self.conf, ".", "dnskey")
        self.trust_anchor = self.write("root.key", key.replace(" DNSKEY ", " 300 IN DNSKEY "))
        if still:
            at = str(int(time.time()) - days_old * 86_400)
            self.run("kzonesign", "-c", self.conf, "-o", self.folder + "/signed", "-t", at, "far.example")
            with open(self.folder + "/signed/zone-far.example") as f:
                text = f.read()
            changed = change(text) if change else text
            assert changed != text or days_old, text
            self.write("zone-far.example", changed)
            self.configure("off", nsec3)
        self.process = subprocess.Popen(["knotd", "-c", self.conf], stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        limit = time.monotonic() + 20
        while "RRSIG" not in self.ask(".", "SOA") or "MX" not in self.ask("far.example", "MX"):
            if time.monotonic() > limit or self.process.poll() is not None:
                raise RuntimeError("knotd did not start:\n" + self.log_text())
            time.sleep(0.1)

    def configure(self, signing, nsec3):
        self.write("knot.conf", KNOT.format(folder=self.folder, port=self.port, signing=signing, nsec3="on" if nsec3 else "off"))

    def write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as f:
            f.write(text)
        return path

    def run(self, *command):
        os.makedirs(self.folder + "/signed", exist_ok=True)
        r = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if r.returncode:
            raise RuntimeError("%s: %s" % (command, (r.stdout + r.stderr).decode()))
        return r.stdout.decode()

    def ask(self, name, kind):
        r = subprocess.run(["kdig", "@127.0.0.1", "-p", str(self.port), "+dnssec", "+timeout=1", "+retry=0", "+noall", "+answer",
                            name, kind], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return r.stdout.decode()

    def log_text(self):
        try:
            with open(self.folder + "/log") as f:
                return f.read()[-4000:]
        except OSError:
            return ""

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Dane(unittest.TestCase):
    assert_same = NodeTest.assert_same

    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="hauspost-cert-")
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        # For another name, by nobody: with DANE-EE neither matters.
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days",
                        "30", "-subj", "/CN=elsewhere.example", "-keyout", self.folder + "/key.pem", "-out",
                        self.folder + "/cert.pem"], check=True, stderr=subprocess.DEVNULL)
        self.peer = Postfix(9, self.folder + "/cert.pem", self.folder + "/key.pem")
        self.addCleanup(self.peer.stop)

    def tlsa(self, host="mx"):
        """The record of Postfix's key, by openssl."""
        public = subprocess.run(["openssl", "x509", "-in", self.folder + "/cert.pem", "-noout", "-pubkey"], check=True,
                                stdout=subprocess.PIPE).stdout
        der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=public, check=True,
                             stdout=subprocess.PIPE).stdout
        return "_%d._tcp.%s TLSA 3 1 1 %s\n" % (self.peer.port, host, hashlib.sha256(der).hexdigest())

    def wrong_tlsa(self):
        return "_%d._tcp.mx TLSA 3 1 1 %s\n" % (self.peer.port, "ab" * 32)

    def node(self, names, router=None):
        node = Node("--dns", "127.0.0.1:%d" % (router or names).port, "--mx-port", str(self.peer.port), "--trust-anchor",
                    names.trust_anchor, "--log-level", "info")
        self.addCleanup(node.stop)
        return node

    def names(self, *records, **how):
        names = Names("".join(records), **how)
        self.addCleanup(names.stop)
        return names

    def sends(self, names, router=None):
        node = self.node(names, router)
        m = message("dane", sender="me@home.test", to="bob@far.example")
        submit(node, m)
        got = self.peer.received(1)
        self.assertEqual(len(got), 1, node.log_text() + self.peer.log_text() + names.log_text())
        self.assert_same(m, got[0])
        self.assertIn(b"with ESMTPS", got[0])
        return node

    def waits(self, names, why, router=None):
        node = self.node(names, router)
        submit(node, message("dane", sender="me@home.test", to="bob@far.example"))
        limit = time.monotonic() + 30
        while "event=deferred" not in node.log_text() and time.monotonic() < limit:
            time.sleep(0.05)
        deferred = [line for line in node.log_text().splitlines() if "event=deferred" in line]
        self.assertTrue(deferred and why in deferred[0], node.log_text() + self.peer.log_text() + names.log_text())
        self.assertEqual(self.peer.received(1, seconds=0), [])
        self.assertIn("event=dnssec state=on", node.log_text())

    def test_matching(self):
        node = self.sends(self.names(self.tlsa()))
        self.assertIn("event=dnssec state=on", node.log_text())

    def test_matching_and_hashed_denials(self):
        self.sends(self.names(self.tlsa(), nsec3=True))

    def test_matching_behind_an_alias(self):
        self.sends(self.names(self.tlsa("dane.shared"), "_%d._tcp.mx CNAME _%d._tcp.dane.shared\n" % ((self.peer.port,) * 2)))

    def test_not_matching(self):
        self.waits(self.names(self.wrong_tlsa()), "its certificate is not one that its TLSA records vouch for")

    def test_not_matching_and_hashed_denials(self):
        self.waits(self.names(self.wrong_tlsa(), nsec3=True), "its TLSA records vouch for")

    def test_signed_without_tlsa(self):
        node = self.sends(self.names())
        self.assertIn("event=dnssec state=on", node.log_text())

    def test_signed_without_tlsa_and_hashed_denials(self):
        self.sends(self.names(nsec3=True))

    def test_unsigned(self):
        """Records that nobody has signed count for nothing, wrong ones too."""
        node = self.sends(self.names(self.wrong_tlsa(), delegated=False))
        self.assertIn("event=dnssec state=on", node.log_text())

    def test_tampered_with(self):
        """A wrong record gives way to the right one, but nobody has signed that."""
        right = self.tlsa().split()[-1].upper()
        change = lambda text: re.sub("(?i)" + "ab" * 32, right, text)
        self.waits(self.names(self.wrong_tlsa(), change=change), "not validly signed")

    def test_taken_away(self):
        """The TLSA record has been removed on the way: its absence is not proved."""
        change = lambda text: re.sub(r"(?im)^_.*TLSA.*\n", "", text)
        self.waits(self.names(self.wrong_tlsa(), change=change), "could not be found out how mx.far.example proves itself")

    def test_signatures_taken_away(self):
        change = lambda text: re.sub(r"(?im)^.*RRSIG.*\n", "", text)
        self.waits(self.names(self.tlsa(), change=change), "not validly signed")

    def test_expired_signatures(self):
        self.waits(self.names(self.tlsa(), days_old=60), "not validly signed")

    def both_denials(self, test, *arguments, **how):
        for nsec3 in False, True:
            with self.subTest(nsec3=nsec3):
                test(self.names(*arguments, nsec3=nsec3, **how))
                self.peer.forget()

    def test_a_host_that_is_an_alias(self):
        self.both_denials(self.sends, self.tlsa(), host="alias")

    def test_a_host_that_is_an_alias_and_not_matching(self):
        self.both_denials(lambda names: self.waits(names, "its TLSA records vouch for"), self.wrong_tlsa(), host="alias")

    def test_wildcards(self):
        self.both_denials(self.sends, self.tlsa().replace("_%d." % self.peer.port, "*."))
        self.both_denials(self.sends, host="y.wild")
        wrong = self.wrong_tlsa().replace("_%d." % self.peer.port, "*.")
        self.both_denials(lambda names: self.waits(names, "its TLSA records vouch for"), wrong)

    def test_a_host_in_an_unsigned_zone_below(self):
        self.both_denials(self.sends, host="mx.sub")

    def test_no_such_domain_and_no_address(self):
        """What is proved not to be there is not waited for."""
        for nsec3 in False, True:
            node = self.node(self.names(host="nowhere", nsec3=nsec3))
            submit(node, message("dane", sender="me@home.test", to="bob@far.example"))
            limit = time.monotonic() + 30
            while "event=refused" not in node.log_text() and time.monotonic() < limit:
                time.sleep(0.05)
            self.assertIn("event=refused", node.log_text())
            self.assertIn("nowhere.far.example has no address", node.log_text())

    def test_by_way_of_a_router(self):
        names = self.names(self.tlsa())
        router = Dnsmasq("--server=127.0.0.1#%d" % names.port)
        self.addCleanup(router.stop)
        self.assertIn("event=dnssec state=on", self.sends(names, router).log_text())

    def test_not_matching_by_way_of_a_router(self):
        names = self.names(self.wrong_tlsa(), nsec3=True)
        router = Dnsmasq("--server=127.0.0.1#%d" % names.port)
        self.addCleanup(router.stop)
        self.waits(names, "its TLSA records vouch for", router)

    def test_another_root(self):
        """Signatures by keys that are not the root's: the way does not carry DNSSEC, and mail goes as it went before."""
        names = self.names(self.wrong_tlsa())
        other = self.names(self.wrong_tlsa())
        names.trust_anchor = other.trust_anchor
        node = self.sends(names)
        self.assertIn("event=dnssec state=off", node.log_text())


if __name__ == "__main__":
    unittest.main()
