"""Evolution's IMAP: NOTIFY and QRESYNC as a program in wide use takes them; what happens is told and understood without a question."""
import glob
import os
import subprocess

from node import PASSWORD, NodeTest, message

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Evolution(NodeTest):
    def begin(self, trace):
        """Starts it and waits until it knows INBOX."""
        providers = glob.glob(os.path.join(TOP, "target/evolution/usr/lib/*/camel-providers/libcamelimapx.so"))
        self.assertTrue(providers, "tests/run installs it")
        driver = os.path.join(os.path.dirname(os.path.abspath(__file__)), "evolution.py")
        self.trace = os.path.join(self.folder, trace)
        with open(self.trace, "wb") as out:
            # Debian's Python has Debian's bindings.
            self.program = subprocess.Popen(
                ["/usr/bin/python3", "-W", "ignore", driver, providers[0], str(self.node.port("imap")), PASSWORD, self.folder],
                stdin=subprocess.PIPE, stdout=out, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.program.stderr.close)
        self.addCleanup(self.program.stdin.close)
        self.addCleanup(self.program.kill)
        self.answered("the start")

    def answered(self, order):
        said = ""
        for line in self.program.stderr:
            if line.strip() == "ok":
                return
            said += line
            if line.startswith("no "):
                break
        self.fail("%s: %s\n%s" % (order, said, self.heard()[-3000:]))

    def order(self, order):
        self.program.stdin.write(order + "\n")
        self.program.stdin.flush()
        self.answered(order)

    def heard(self):
        with open(self.trace, errors="replace") as f:
            return f.read()

    def end(self):
        self.order("quit")
        self.assertEqual(self.program.wait(20), 0)
        return self.heard()

    def test_notify_tells_all(self):
        self.node.empty()
        self.node.deliver(message("one"))
        self.begin("first")
        self.assertRegex(self.heard(), r"NOTIFY SET \(selected \(MessageNew \(UID [^)]*\) MessageExpunge FlagChange\)\) \(personal ")
        self.assertRegex(self.heard(), r"A\d+ OK NOTIFY completed")
        self.order("count 1")
        # a message comes, one gets a flag, one goes, on another connection
        self.node.deliver(message("two"))
        self.order("count 2")
        c = self.node.imap()
        c.select("INBOX")
        c.store("1", "+FLAGS", "(\\Flagged)")
        self.order("flags 1 FLAGGED")
        c.create("Fresh")
        c.append("Archive", None, None, message("three"))
        c.store("2", "+FLAGS", "(\\Deleted)")
        c.expunge()
        self.order("count 1")
        # and what it changes itself comes here
        self.order("flag 1 ANSWERED")
        c.noop()
        _, lines = c.fetch("1", "FLAGS")
        self.assertIn(b"\\Answered", lines[0])
        heard = self.end()
        told = heard[heard.index("OK NOTIFY completed"):]
        for what in (r"\* 2 FETCH \(UID \d+ RFC822.SIZE \d+ RFC822.HEADER ", r"\* LIST \(\\HasNoChildren\) \"/\" Fresh",
                     r"\* STATUS Archive \(MESSAGES 1 ", r"\* VANISHED \d"):
            self.assertRegex(told, what)
        # it comes back and knows what has happened meanwhile
        c.store("1", "-FLAGS", "(\\Flagged)")
        c.logout()
        self.node.deliver(message("four"))
        self.begin("second")
        self.order("count 2")
        self.order("flags 0 FLAGGED")
        self.order("flags 1 ANSWERED")
        self.end()
