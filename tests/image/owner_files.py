#!/usr/bin/env python3
"""The files that an owner lays onto the boot partition: owner_files.py PATH_TO_HAUSPOST

The scripts of the image (image/system) run in BusyBox's shell with an empty folder as their root. The program is the real one; what would
touch a network (ip, udhcpc, wpa_supplicant) is played, and writes down how it was called. Takes some seconds, and no rights.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "tests", "clients"))

from run import run

BOM = b"\xef\xbb\xbf"
SCRIPTS = ("owner", "network", "node")
# The consoles are one file; seconds are short. BusyBox's shell takes its own programs before those in PATH, and functions before both.
AROUND = """
export PATH=/bin
say() { printf '%s\\n' "$*" >>/console; }
show() { say "$@"; }
usleep() { /bin/busybox sleep 0.01; }
sleep() { case $1 in *.*) /bin/busybox sleep "$1" ;; *) /bin/busybox sleep "0.$1" ;; esac; }
sync() { :; }
load_modules() { :; }
played() { echo "$*" >>/calls; }
ip() { played ip "$@"; }
udhcpc() { played udhcpc "$@"; echo 192.0.2.7 >/run/address; }
wpa_supplicant() { played wpa_supplicant "$@"; [ ! -e /wpa-fails ]; }
wpa_passphrase() {
    printf %s "$1" >/hashed-name
    cat >/hashed
    printf 'network={\\n\\tssid="%s"\\n\\t#psk="%s"\\n\\tpsk=%s\\n}\\n' "$1" "$(cat /hashed)" 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
}
dropbear() { played dropbear "$@"; }
logread() { sed 's/^/Nov 30 04:46:39 hauspost user.notice node: /' /run/node.log; }
. /system/owner; . /system/network; . /system/node
PROVEN_SECONDS=1.9
"""


class Board(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        for folder in ("bin", "boot", "data", "dev", "etc", "run", "root", "proc", "system", "sys/class/net", "sys/devices"):
            os.makedirs(self.path(folder))
        shutil.copy(shutil.which("busybox"), self.path("bin"))
        for script in SCRIPTS:
            shutil.copy(os.path.join(TOP, "image/system", script), self.path("system"))
        self.lay("dev/null", b"")
        # There is one user here, who may open the low ports.
        self.lay("etc/passwd", b"hauspost:x:100:100::/data:/bin/false\n")
        self.lay("etc/group", b"hauspost:x:100:\n")
        self.lay("proc/mounts", b"/dev/mmcblk0p2 /data ext4 rw 0 0\n")
        self.inside("/bin/busybox --install -s /bin")
        self.add_interface("lo")
        self.add_interface("wlan0", "wireless")

    def path(self, *names):
        return os.path.join(self.root, *names)

    def lay(self, name, content):
        with open(self.path(name), "wb") as out:
            out.write(content)

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def add_interface(self, name, *folders):
        os.makedirs(self.path("sys/devices", name, *folders))
        os.symlink("../../devices/" + name, self.path("sys/class/net", name))

    def mode(self, name):
        return os.stat(self.path(name)).st_mode & 0o777

    def inside(self, script, *options):
        shell = ["unshare", "--map-user=100", "--map-group=100", "--keep-caps", *options, "--root", self.root, "/bin/busybox", "sh", "-c", script]
        return subprocess.run(shell, env={}, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=True)

    def start(self, script, *options):
        """Runs it as at the start of the board; returns what the consoles showed. Nothing may have complained."""
        for name in ("console", "calls", "run/address"):
            if os.path.exists(self.path(name)):
                os.unlink(self.path(name))
        self.assertEqual(self.inside(AROUND + script, *options).stderr.decode(), "")
        return self.read("console").decode() if os.path.exists(self.path("console")) else ""


class WifiTest(Board):
    def join(self, text):
        """What the consoles show when wifi.txt says this, the configuration that was made or None, and whether it was used."""
        if os.path.exists(self.path("run/wifi.conf")):
            os.unlink(self.path("run/wifi.conf"))
        self.lay("boot/wifi.txt", text)
        said = self.start("bring_up_network; wait")
        made = self.read("run/wifi.conf") if os.path.exists(self.path("run/wifi.conf")) else None
        calls = self.read("calls").decode()
        self.assertEqual("wpa_supplicant -B -s -i wlan0 -c /run/wifi.conf\n" in calls, made is not None, calls)
        self.assertIn("ip link set wlan0 up\nudhcpc -b -S -i wlan0 ", re.sub("wpa_supplicant.*\n", "", calls))
        return said, made

    def joins(self, text, name, passphrase, country=b"DE"):
        said, made = self.join(text)
        self.assertEqual(said, "address 192.0.2.7\n", text)
        key = b' key_mgmt=WPA-PSK SAE\n ieee80211w=1\n psk="' + passphrase + b'"\n'
        if passphrase == b"":
            key = b" key_mgmt=NONE\n"
        elif re.search(b'".*#', passphrase):
            hashed = b"00112233445566778899aabbccddeeff" * 2
            key = b" key_mgmt=WPA-PSK SAE\n ieee80211w=1\n sae_password=" + passphrase.hex().encode() + b"\n psk=" + hashed + b"\n"
            self.assertEqual((self.read("hashed-name"), self.read("hashed")), (name, passphrase + b"\n"))
        elif len(passphrase) == 64:
            key = b" key_mgmt=WPA-PSK\n ieee80211w=1\n psk=" + passphrase + b"\n"
        self.assertEqual(made, b"country=" + country + b"\nnetwork={\n ssid=" + name.hex().encode() + b"\n" + key + b"}\n")
        self.assertEqual(self.mode("run/wifi.conf"), 0o600)

    def refuses(self, text, why):
        said, made = self.join(text)
        self.assertIsNone(made, text)
        self.assertRegex(said, r"\Ano Wi-Fi: [^\n]*%s[^\n]*\naddress " % re.escape(why), text)

    def test_names_and_passphrases_arrive_byte_for_byte(self):
        for value in (
            b"plain and spaced",
            b" spaces at both ends ",
            b'"quoted" and "again"',
            b'# before the first "quote"',
            b'"quoted" # comment',
            b'psk="#"} psk=',
            b"it's 'so'",
            b"back\\slash\\n\\",
            b"$HOME `id` $(id) %s",
            b"#1 not a comment # at all",
            b"} network={ ssid=1",
            b"-n -e -------",
            b"a=b=c&d/e*[f]",
            "Café Größe 無線".encode(),
            b"* ? [a-z]*",
        ):
            self.joins(b"name=" + value + b"\npassphrase=" + value + b"\ncountry=DE\n", value, value)

    def test_lines_as_other_systems_write_them(self):
        lines = [b"name=Home", b"passphrase=12345678", b"country=de"]
        self.joins(b"\r\n".join(lines), b"Home", b"12345678")
        self.joins(BOM + b"\r\n".join(lines) + b"\r\n", b"Home", b"12345678")
        self.joins(BOM + b"\n".join(lines), b"Home", b"12345678")
        self.joins(b"country= gb \npassphrase=12345678\n\n# mine\nname=Home\nname=Other\n", b"Home", b"12345678", b"GB")

    def test_bounds_of_name_and_passphrase(self):
        text = b"name=%s\npassphrase=%s\ncountry=AT\n"
        for passphrase in (b"8" * 8, b"6" * 63, b"0123456789abcdefABCDEF0123456789" * 2, b"f" * 63):
            self.joins(text % (b"n" * 32, passphrase), b"n" * 32, passphrase, b"AT")
        for passphrase in (b"7" * 7, b"6" * 65, b"g" + b"0" * 63, b"x" * 200, "äöü".encode(), "ä".encode() * 32, b"tab\there!", b"bell\x07bell", b"delete\x7f!"):
            self.refuses(text % (b"Home", passphrase), "the passphrase in wifi.txt must have 8 to 63 characters")
        self.refuses(text % (b"n" * 33, b"12345678"), "longer than 32 bytes")
        self.refuses(text % ("ü".encode() * 17, b"12345678"), "longer than 32 bytes")

    def test_an_open_network_is_said_to_be_one(self):
        self.joins(b"name=Open\npassphrase=\ncountry=DE\n", b"Open", b"")
        self.joins(b"name=Open\r\ncountry=DE\r\npassphrase=", b"Open", b"")
        self.refuses(b"name=Open\ncountry=DE\n", "needs the lines")
        self.refuses(b"name=Home\npassword=12345678\ncountry=DE\n", "needs the lines")

    def test_what_is_missing_is_told(self):
        for text in (
            b"",
            b"\n",
            b"passphrase=12345678\ncountry=DE\n",
            b"name=\npassphrase=12345678\ncountry=DE\n",
            b"name=Home\npassphrase=12345678\n",
            b"name=Home\npassphrase=12345678\ncountry=\n",
            b"name=Home\npassphrase=12345678\ncountry=DEU\n",
            b"name=Home\npassphrase=12345678\ncountry=49\n",
            "name=Home\npassphrase=12345678\ncountry=ö\n".encode(),
            b"name = Home\npassphrase = 12345678\ncountry = DE\n",
            "name=Home\npassphrase=12345678\ncountry=DE\n".encode("utf-16"),
        ):
            self.refuses(text, "needs the lines name=..., passphrase=...")

    def test_a_program_that_does_not_start_is_told(self):
        self.lay("wpa-fails", b"")
        said, _ = self.join(b"name=Home\npassphrase=12345678\ncountry=DE\n")
        self.assertEqual(said, "no Wi-Fi: wpa_supplicant does not start\naddress 192.0.2.7\n")

    def test_without_the_file_there_is_no_wifi(self):
        self.add_interface("eth0")
        self.assertEqual(self.start("bring_up_network; wait"), "address 192.0.2.7\n")
        calls = self.read("calls").decode()
        self.assertIn("udhcpc -b -S -i eth0 ", calls)
        self.assertNotIn("wlan0", calls)

    def test_keys_for_ssh(self):
        self.start("start_ssh")
        self.assertFalse(os.path.exists(self.path("calls")))
        self.lay("boot/authorized_keys", BOM + b"ssh-ed25519 AAAA me@laptop\r\nssh-ed25519 BBBB me@phone")
        self.start("start_ssh")
        self.assertEqual(self.read("root/.ssh/authorized_keys"), b"ssh-ed25519 AAAA me@laptop\nssh-ed25519 BBBB me@phone\n")
        self.assertEqual(self.mode("root/.ssh/authorized_keys"), 0o600)
        self.assertEqual(self.read("calls"), b"dropbear -R -s\n")


class ConfigurationTest(Board):
    """hauspost.toml, with the real program, which makes the node and looks at configurations."""

    TAKEN = "hauspost.toml was taken from the boot partition\n"
    KEYS = b'user = "hauspost"\nmdns_name = "hauspost.local"\nwatchdog = "/dev/watchdog"\n'
    DKIM = b'keys = ["dkim-rsa1.pem", "dkim-ed1.pem"]\n'
    RIGHT = b'hostname = "mail.home.example"\naddresses = ["me@home.example"]\n'

    def setUp(self):
        super().setUp()
        program = os.environ["HAUSPOST"]
        shutil.copy(program, self.path("bin/hauspost"))
        libraries = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", libraries):
            os.makedirs(os.path.dirname(self.root + library), exist_ok=True)
            shutil.copy(library, self.root + library)

    def prepare(self, text=None):
        """A start with this file on the boot partition; returns what the consoles showed."""
        if text is not None:
            self.lay("boot/hauspost.toml", text)
        return self.start("prepare_node")

    def serve(self, until):
        """The node runs until that is so; returns what the consoles showed."""
        return self.start(
            "rm -f /run/stopping; keep_node_running & for _ in $(seq 2000); do if %s; then done=1; break; fi; usleep; done; "
            "stop_node; [ $done ] || { logread; cat /console; } >&2" % until,
            "--net",
        )

    def in_force(self):
        return self.read("data/hauspost/hauspost.toml")

    def login(self):
        return re.fullmatch(rb"login (\S+)\npassword \S+\n", self.read("run/login")).group(1).decode()

    def takes(self, text, lines):
        """Taken, and after the board's keys these are the lines in force, for good when the node has run with them."""
        self.assertEqual(self.prepare(text), self.TAKEN, text)
        self.start("echo $$ >/run/node.pid; PROVEN_SECONDS=0; prove_configuration $$")
        self.assertEqual(self.in_force().decode(), (self.KEYS + lines).decode())
        self.assertEqual(self.mode("data/hauspost/hauspost.toml"), 0o600)
        before = self.in_force()
        self.assertEqual(self.prepare(), "", "taken twice")
        self.assertEqual(self.in_force(), before)

    def refuses(self, text, why):
        """Not taken, told at every start, and what was in force is."""
        before = self.in_force()
        for _ in range(2):
            self.assertRegex(self.prepare(text), r"\Ahauspost\.toml on the boot partition is wrong and was not taken: %s[^\n]*\n\Z" % why)
            self.assertEqual(self.in_force(), before)
            self.assertEqual(sorted(os.listdir(self.path("data/hauspost"))), self.files)

    def test_without_a_file_the_node_has_the_name_of_the_board(self):
        self.assertEqual(self.prepare(), "")
        self.assertEqual(self.login(), "me@hauspost.local")
        self.assertIn(b'\nhostname = "hauspost.local"\n', self.in_force())
        for key in self.KEYS.splitlines():
            self.assertEqual(self.in_force().count(b"\n" + key + b"\n") + self.in_force().startswith(key + b"\n"), 1, key)
        self.assertFalse(os.path.exists(self.path("run/first-start")), "the password lies about")

    def test_files_over_the_years(self):
        own, dkim = self.RIGHT, b"[dkim]\n" + self.DKIM
        self.takes(BOM + own.replace(b"\n", b"\r\n"), own + dkim)
        self.assertEqual(self.login(), "me@home.example")
        self.files = sorted(os.listdir(self.path("data/hauspost")))
        # Changed again, without an end of the last line; tables.
        more = own + b'[relay]\nhost = "smtp.provider.example"'
        self.takes(more, more + b"\n" + dkim)
        # Wrong in its line 3: nothing changes, and the number is that of the owner's line.
        self.refuses(own + b'hostname = "other.example"\n', "hauspost.toml:3: duplicate key")
        self.refuses(BOM + own.replace(b"\n", b"\r\n") + b'no_such_key = 1\r\n', "hauspost.toml:3: ")
        self.refuses(own + b'[relay\n', "hauspost.toml:3: ")
        self.refuses(b"", "hauspost.toml")
        self.refuses(own.decode().encode("utf-16"), "hauspost.toml")
        self.refuses(own + b'[relay]\nhost = "\xfc.example"\n', "hauspost.toml")
        # Back to what was right before.
        self.assertEqual(self.prepare(more), "", "it is what is in force")
        # Keys for signing: those of the node where the owner names none, even in a table of theirs.
        table = own + b"[ dkim ] # mine\n#keys = []\n[limits]\nsessions = 50\n"
        self.takes(table, table.replace(b"# mine\n", b"# mine\n" + self.DKIM))
        self.takes(own, own + dkim)
        # The board's keys are for the owner to set, too; in a table they are something else.
        self.assertEqual(self.prepare(b'\tmdns_name = "post.local"\r\n' + own + b'watchdog=""\r\n'), self.TAKEN)
        self.assertEqual(self.in_force(), b'user = "hauspost"\n\tmdns_name = "post.local"\n' + own + b'watchdog=""\n' + dkim)
        unsigned = own + b"[dkim]\nkeys = [\n  # none\n]\n"
        self.takes(unsigned, unsigned)

    def test_the_sample_with_its_lines_filled_in(self):
        sample = subprocess.run([os.environ["HAUSPOST"], "config"], capture_output=True, check=True).stdout
        self.takes(sample.replace(b"\n", b"\r\n"), sample.replace(b"\n[dkim]\n", b"\n[dkim]\n" + self.DKIM))

    def test_the_first_login_is_the_owners_first_address(self):
        for text in (
            b"hostname = 'h.example'\naddresses = ['first@h.example', 'second@h.example']\n",
            b"addresses = [\r\n  # mine\r\n  \"first@h.example\",\r\n]\r\nhostname = \"h.example\"\r\n",
            b'log_level = "info"\n# addresses = ["no@h.example"]\n\taddresses\t=\t["first@h.example"]\nhostname="h.example"\n[limits]\nsessions = 10\n',
        ):
            shutil.rmtree(self.path("data"))
            os.mkdir(self.path("data"))
            self.assertEqual(self.prepare(text), self.TAKEN)
            self.assertEqual(self.login(), "first@h.example")

    def test_a_configuration_that_the_node_cannot_use_is_taken_back(self):
        self.prepare(self.RIGHT)
        self.assertEqual(self.serve("[ -f /data/taken.toml ]"), "")
        self.assertFalse(os.path.exists(self.path("data/hauspost/hauspost.toml.before")))
        before = self.in_force()
        # The check does not look for files: that this one is missing the node finds when it starts.
        relay = self.RIGHT + b"[relay]\nhost = 'smtp.provider.example'\nlogin = 'me'\npassword_file = 'relay password'\n"
        self.assertEqual(self.prepare(relay), self.TAKEN)
        self.assertNotEqual(self.in_force(), before)
        said = self.serve("grep -qs 'started again' /console && [ -S /data/hauspost/control ]")
        why = "cannot read /data/hauspost/relay password: "
        self.assertRegex(said, r"\Ahauspost.toml from the boot partition does not work, what was before is in force again: %s" % why)
        self.assertRegex(said, r"\nthe node has ended \(78\) and is started again\n\Z")
        self.assertEqual(self.in_force(), before)
        # The plug is pulled before the node has run: it is still known what was before.
        self.assertEqual(self.prepare(relay), self.TAKEN)
        self.assertEqual(self.prepare(), self.TAKEN)
        self.assertEqual(self.read("data/hauspost/hauspost.toml.before"), before)
        # With the file beside it, it is taken for good.
        self.lay("boot/relay password", BOM + b"secret\r\n")
        self.assertEqual(self.prepare(), self.TAKEN)
        self.assertEqual(self.read("data/hauspost/relay password"), b"secret\n")
        self.assertEqual(self.mode("data/hauspost/relay password"), 0o600)
        self.assertEqual(self.serve("[ ! -f /data/hauspost/hauspost.toml.before ]"), "")
        self.assertIn(b"relay password", self.in_force())
        # Changed again, and only then written.
        written = os.stat(self.path("data/hauspost/relay password")).st_ino
        self.assertEqual(self.prepare(), "")
        self.assertEqual(os.stat(self.path("data/hauspost/relay password")).st_ino, written)
        self.lay("boot/relay password", b"changed")
        self.assertEqual(self.prepare(), "")
        self.assertEqual(self.read("data/hauspost/relay password"), b"changed\n")

    def test_named_files_overwrite_nothing_of_the_node(self):
        self.prepare(self.RIGHT)
        names = ("dkim-rsa1.pem", "dkim-ed1.pem", "../../system/node", "../taken.toml", ".", "..")
        before = {name: self.read("data/hauspost/" + name) for name in names[:2]}
        for name in before:
            self.lay("boot/" + name, b"not this\n")
        tables = "".join('[smarthost."s%d"]\nhost = "s.example"\nrecipient_domains = ["d%d.example"]\nca_file = "%s"\n' % (i, i, name) for i, name in enumerate(names))
        self.prepare(self.RIGHT + tables.encode())
        self.assertEqual({name: self.read("data/hauspost/" + name) for name in before}, before)
        self.assertFalse(os.path.exists(self.path("data/named-files")))

    def test_a_first_file_without_name_or_address(self):
        said = self.prepare(b'addresses = []\nlog_level = "info"\n[limits]\nhostname = "not.this"\n')
        self.assertIn("is wrong and was not taken: ", said)
        self.assertEqual(self.login(), "me@hauspost.local")

    def test_a_node_that_cannot_be_made_is_made_later(self):
        said = self.prepare(b'hostname = "no name"\naddresses = ["me@home.example"]\n')
        self.assertRegex(said, r"\Athe node cannot be made: [^\n]+\n\Z")
        self.assertFalse(os.path.exists(self.path("data/hauspost/hauspost.toml")))
        self.takes(self.RIGHT, self.RIGHT + b"[dkim]\n" + self.DKIM)

    def test_a_configuration_that_lacks_keys_of_the_board_gets_them(self):
        self.prepare()
        self.lay("data/hauspost/hauspost.toml", self.RIGHT)
        self.assertEqual(self.prepare(), "")
        self.assertEqual(self.in_force(), self.KEYS + self.RIGHT)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    os.environ["HAUSPOST"] = os.path.abspath(sys.argv.pop())
    run(unittest.TestLoader().loadTestsFromModule(sys.modules["__main__"]))
