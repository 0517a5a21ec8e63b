"""Milliseconds from sending an order until isolatord has answered that its rules are verified: received, checked, kept on disk (fsync), put into
filter and security of both families, read back and compared, sockets closed, answered. Beside it iptables-legacy-restore and ip6tables-legacy-restore,
one after the other, loading the very same rules (which also runs two programs, and neither keeps nor verifies). Half of the exceptions is IPv4, half
IPv6. Medians. usage: isolate.py [RUNS [EXCEPTIONS...]]
"""

import os
import pathlib
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

from harness import wait_for  # noqa: E402
from ipcclient import OUTBOUND, TCP, exception  # noqa: E402
from isolator import Isolator  # noqa: E402
from netns import Namespace  # noqa: E402

TOOLS = ("iptables-legacy", "ip6tables-legacy")


def exceptions(n):
    v4 = [exception(OUTBOUND, TCP, f"10.{i >> 16 & 255}.{i >> 8 & 255}.{i & 255}", remote=(443, 443)) for i in range(n // 2)]
    v6 = [exception(OUTBOUND, TCP, f"2001:db8::{i:x}", remote=(443, 443)) for i in range(n - n // 2)]
    return v4 + v6


def timed(function):
    start = time.perf_counter()
    value = function()
    return (time.perf_counter() - start) * 1000, value


def restore_ms(saved):
    """Both families, started from a process that is already in the namespace, as an agent that runs the tools would."""
    def run():
        for tool, text in saved.items():
            subprocess.run([f"{tool}-restore"], input=text, check=True)
    return timed(run)[0]


def cpu_ms(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")


def measure(iso, ns, n, runs):
    wanted = exceptions(n)
    applied, released, restored, inside = [], [], [], []
    with iso.client() as agentd:
        for _ in range(runs):
            ms, result = timed(lambda: agentd.isolate(uplink=[("192.0.2.1", 443), ("2001:db8::1", 443)], exceptions=wanted))
            assert result.state == "ISOLATED" and result.exceptions == n, result
            applied.append(ms)
            agentd.query()
            saved = {tool: ns.run(f"{tool}-save").stdout.encode() for tool in TOOLS}
            before = cpu_ms(iso.pid)
            end = time.monotonic() + 2
            wait_for(lambda: time.monotonic() > end, what="two seconds of watching")
            inside.append((cpu_ms(iso.pid) - before) / 2000 * 100)
            ms, result = timed(agentd.release)
            assert result.state == "RELEASED"
            released.append(ms)
            restored.append(ns.call(restore_ms, saved))
            for tool in TOOLS:
                for table in ("filter", "security"):
                    ns.run(tool, "-t", table, "-F")
                    ns.run(tool, "-t", table, "-X")
    median = statistics.median
    print(f"{n:>10} {median(applied):>12.1f} {min(applied):>8.1f} {median(released):>12.1f} {median(restored):>16.1f} "
          f"{median(applied) / median(restored):>8.2f} {median(inside):>14.1f}")


def main():
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    sizes = [int(a) for a in sys.argv[2:]] or [10, 1000, 10000]
    ns = Namespace("bench")
    iso = Isolator(ns)
    try:
        iso.start()
        print(f"{'exceptions':>10} {'verified ms':>12} {'best':>8} {'released ms':>12} {'2 restores ms':>16} {'ratio':>8} {'watching CPU %':>14}")
        for n in sizes:
            measure(iso, ns, n, runs)
    finally:
        iso.close()
        ns.remove()


main()
