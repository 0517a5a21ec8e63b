"""Memory and wake-ups of the suite when nothing happens."""

import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))
from harness import DAEMONS, Suite  # noqa: E402

SETTLE_S, WATCH_S = 3, 10


def field(pid, name):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith(name + ":"):
            return int(line.split()[1])
    return 0


def main():
    suite = Suite()
    try:
        suite.start(SynchronizationPeriod="1min")
        time.sleep(SETTLE_S)
        before = {n: field(suite.pid(n), "voluntary_ctxt_switches") for n in DAEMONS}
        time.sleep(WATCH_S)
        total = 0
        for name in DAEMONS:
            pid = suite.pid(name)
            rss = field(pid, "VmRSS")
            total += rss
            wakes = (field(pid, "voluntary_ctxt_switches") - before[name]) / WATCH_S
            print(f"{name:12} {rss:7d} kB RSS (anonymous {field(pid, 'RssAnon')} kB), {wakes:.1f} wake-ups/s")
        print(f"{'total':12} {total:7d} kB RSS")
    finally:
        suite.close()


main()
