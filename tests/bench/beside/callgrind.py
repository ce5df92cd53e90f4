"""A program under callgrind, asked from outside."""
import contextlib
import subprocess
import sys
import time

DUMPS_WITHIN_SECONDS = 20


def control(process, *words):
    subprocess.run(["callgrind_control", *words, str(process.pid)], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)


def dump(process, path):
    """What it has counted since the last time: the text of the file `path`, once it is complete."""
    control(process, "--dump")
    limit = time.monotonic() + DUMPS_WITHIN_SECONDS
    while time.monotonic() < limit:
        with contextlib.suppress(FileNotFoundError), open(path) as file:
            text = file.read()
            if "\ntotals: " in text:
                return text
        time.sleep(0.05)
    sys.exit("callgrind has written no totals to " + path)
