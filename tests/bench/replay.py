"""Replays a log made of the recorded ones, several times over with the time moved on, through collectord, laurel and libauparse.

usage: replay.py [--megabytes N] [--runs N]   Best and median of the runs: the machine may be shared.
"""

import argparse
import gzip
import json
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
WORK = ROOT / "build" / "bench"
LOGS = {"all logs": ("small", "odd", "enriched"), "build and shell only": ("small",)}
PEER_MEGABYTES = 20  # for the peers that are an order of magnitude slower
STEP_S = 10000  # between repetitions: event ids must not come twice
LAUREL = 'directory = "{0}"\n[auditlog]\nfile = "-"\n[transform]\nexecve-argv = [ "array" ]\n'


def make_log(name, megabytes, with_ends=False):
    """The logs of LOGS[name], repeated to the size. with_ends: an EOE record behind each event, as auditd's plugins get it (a log has none)."""
    path = WORK / f"{name.split()[0]}-{megabytes}{'-eoe' if with_ends else ''}.log"
    text = b"".join(gzip.open(ROOT / "tests/data" / f"audit-{log}.log.gz").read() for log in LOGS[name])
    if with_ends:
        text = re.sub(rb"(type=PROCTITLE msg=(audit\([^)]*\)):[^\n]*\n)", rb"\1type=EOE msg=\2: \n", text)
    pieces = re.split(rb"(?<=msg=audit\()(\d+)", text)
    with open(path, "wb") as out:
        for n in range(max(1, megabytes * 1000000 // len(text))):
            for i in range(1, len(pieces), 2):
                pieces[i] = b"%d" % (int(pieces[i]) + STEP_S)
            out.write(b"".join(pieces))
    return path


def count_records(path):
    with open(path, "rb") as f:
        return sum(1 for line in f if not line.startswith(b"type=EOE"))


def high_water_mib(pid):
    """Of the program that runs now: ru_maxrss would keep the peak of the Python that forked it."""
    try:
        return int(re.search(r"VmHWM:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text()).group(1)) / 1024
    except (OSError, AttributeError):
        return 0


def measure(command, runs, stdin=None):
    """(CPU seconds of each run, peak MiB)"""
    seconds, peak = [], 0
    for _ in range(runs):
        with open(stdin or os.devnull, "rb") as source:
            child = subprocess.Popen(command, stdin=source, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        pid = 0
        while pid == 0:
            time.sleep(0.005)
            peak = max(peak, high_water_mib(child.pid))
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise RuntimeError(f"{command[0]} ended with {child.returncode}")
        seconds.append(usage.ru_utime + usage.ru_stime)
    return seconds, peak


def line(label, records, size, seconds, peak):
    best, median = min(seconds), statistics.median(seconds)
    print(f"  {label:<34} {records / median:>11,.0f} {records / best:>11,.0f} {size / median / 1e6:>9.1f} {peak:>9.1f}", flush=True)
    return records / median


def collectord(path, records, runs):
    size = path.stat().st_size
    command = [ROOT / "build/bin/collectord", "--replay", path, "--output"]
    stats = json.loads(subprocess.run([*command, "none", "--stats"], stderr=subprocess.PIPE, check=True).stderr)
    assert stats["records"] == records and stats["malformed"] == 0, stats
    rates = {output: line(f"collectord --output {output}", records, size, *measure([*command, output], runs))
             for output in ("none", "proto", "ndjson")}
    print(f"  ({records:,} records, {stats['audit_events']:,} audit events, {stats['events']:,} events)")
    return rates["none"]


def peers(name, runs):
    rates = []
    if shutil.which("laurel"):
        path = make_log(name, PEER_MEGABYTES, with_ends=True)
        config = WORK / "laurel.toml"
        config.write_text(LAUREL.format(WORK))
        rates.append(line("laurel, no enrichment", count_records(path), path.stat().st_size,
                          *measure(["laurel", "-c", config], runs, stdin=path)))
        path.unlink()
    else:
        print("  laurel: not installed")
    walker = WORK / "auparse_walk"
    built = subprocess.run(["cc", "-O2", "-o", walker, ROOT / "tests/bench/auparse_walk.c", "-lauparse", "-laudit"],
                           stderr=subprocess.DEVNULL)
    if built.returncode == 0:
        path = make_log(name, PEER_MEGABYTES)
        rates.append(line("libauparse, every field interpreted", count_records(path), path.stat().st_size, *measure([walker, path], 1)))
        path.unlink()
    else:
        print("  libauparse: not installed")
    return rates


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    if not (ROOT / "build/bin/collectord").exists():
        print("no build/bin/collectord: make first", file=sys.stderr)
        return 1
    WORK.mkdir(parents=True, exist_ok=True)
    for name in LOGS:
        print(f"{name:<36} {'records/CPU-s':>12}\n  {'':<34} {'median':>11} {'best':>11} {'MB/CPU-s':>9} {'peak MiB':>9}")
        path = make_log(name, args.megabytes)
        ours = collectord(path, count_records(path), args.runs)
        path.unlink()
        theirs = peers(name, args.runs)
        if theirs:
            print(f"  times the fastest peer: {ours / max(theirs):.0f}\n")
    return 0


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.exit(main())
