#!/usr/bin/env python3
"""Real mail programs against a started node: run.py PATH_TO_HAUSPOST [NAME...]

Each test_NAME.py starts its own node on free loopback ports and drives one program in every TLS mode it has.
A program that is not installed is a failure, never a skipped test.
"""
import os
import sys
import unittest

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    os.environ["HAUSPOST"] = os.path.abspath(sys.argv[1])
    loader = unittest.TestLoader()
    if sys.argv[2:]:
        suite = unittest.TestSuite(loader.loadTestsFromName("test_" + name) for name in sys.argv[2:])
    else:
        suite = loader.discover(here)
    run(suite)


def run(suite):
    """Runs all of it, says how much passed, and ends the program. What was skipped has failed."""
    result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
    bad = len(result.failures) + len(result.errors) + len(result.skipped)
    print("%d passed, %d failed" % (result.testsRun - bad, bad))
    sys.exit(1 if bad or not result.testsRun else 0)


if __name__ == "__main__":
    main()
