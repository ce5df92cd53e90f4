"""imapflow (Node.js): a strict reader that uses QRESYNC, CONDSTORE, IDLE and COMPRESS where they are offered."""
import json
import os

from node import PASSWORD, NodeTest

HERE = os.path.dirname(os.path.abspath(__file__))
# Where tests/run puts it.
MODULES = os.path.join(os.path.dirname(os.path.dirname(HERE)), "target", "imapflow", "node_modules")


class Imapflow(NodeTest):
    def test_two_connections(self):
        out = self.run_program("node", os.path.join(HERE, "imapflow.js"), str(self.node.port("imaps")), self.node.certificate,
                               PASSWORD, environment={"NODE_PATH": MODULES})
        result = json.loads(out.decode().strip().splitlines()[-1])
        self.assertIn("QRESYNC", result["enabled"])
        self.assertTrue(result["compressed"])
        self.assertIn("\\Sent", result["uses"])
        self.assertEqual([subject for _, _, subject, _, _ in result["messages"]], ["a äöü", "b äöü", "c äöü"])
        first, second, third = [uid for uid, *_ in result["messages"]]
        # QRESYNC is on: what went is told by UID
        self.assertEqual(result["vanished"], [[True, second]])
        self.assertEqual(sorted(result["changed"]), [first, third + 1])
        self.assertEqual(result["moved"], [[first, 1]])
        self.assertEqual(result["found"], [third + 1])
        self.assertEqual(result["status"]["messages"], 1)
        found = self.node.messages()
        self.assertEqual(sorted(found), [third, third + 1])
