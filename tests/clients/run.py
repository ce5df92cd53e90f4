#!/usr/bin/env python3
"""Real mail programs against a started node: run.py PATH_TO_HAUSPOST [NAME...]

Each test_NAME.py starts its own node on free loopback ports and drives one program in every TLS mode it has. Most of the time is
spent waiting, for delays after wrong passwords for example, so several files run at once, each in a process of its own. A program
that is not installed is a failure, never a skipped test.
"""
import concurrent.futures
import glob
import os
import re
import subprocess
import sys
import unittest

here = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, here)

# Where the nodes of a process find their ports: free_base in node.py. Several at once keep out of each other's way, as what is free
# now may be another's a moment later.
PORTS = ("20000-22000", "23000-25000", "26000-28000")


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    program, names = os.path.abspath(sys.argv[1]), sys.argv[2:]
    os.environ["HAUSPOST"] = program
    if len(names) == 1:
        run(unittest.TestLoader().loadTestsFromName("test_" + names[0]))
    run_apart(program, names or sorted(re.sub(r".*test_|\.py$", "", path) for path in glob.glob(os.path.join(here, "test_*.py"))))


def run_apart(program, names):
    """Each file by itself, several at a time; what they say, one after the other, and the sum."""
    unused = list(PORTS)

    def run_one(name):
        ports = unused.pop()
        told = subprocess.run([sys.executable, __file__, program, name], env={**os.environ, "HAUSPOST_PORTS": ports},
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        unused.append(ports)
        return told

    passed = failed = 0
    with concurrent.futures.ThreadPoolExecutor(len(PORTS)) as workers:
        for name, told in zip(names, workers.map(run_one, names)):
            print(told.stdout, flush=True)
            counts = re.search(r"^(\d+) passed, (\d+) failed$", told.stdout, re.MULTILINE)
            good, bad = map(int, counts.groups()) if counts else (0, 0)
            passed, failed = passed + good, failed + max(bad, told.returncode != 0)
            if told.returncode:
                print("failed: test_%s\n" % name)
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(1 if failed or not passed else 0)


def run(suite):
    """Runs all of it, says how much passed, and ends the program. What was skipped has failed."""
    result = unittest.TextTestRunner(verbosity=2, stream=sys.stdout).run(suite)
    bad = len(result.failures) + len(result.errors) + len(result.skipped)
    print("%d passed, %d failed" % (result.testsRun - bad, bad))
    sys.exit(1 if bad or not result.testsRun else 0)


if __name__ == "__main__":
    main()
