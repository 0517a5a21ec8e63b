"""Whatever is killed, whenever: each exec is at the server exactly once, or lies in a gap that the books state."""

import os
import signal
import subprocess
import threading
import time

import audit
from harness import DAEMONS, Suite, wait_for

KILLS_EACH = 10
EXECS_PER_S = 200
BETWEEN_KILLS_S = 0.6


class Load:
    """Execs with a number in their arguments, EXECS_PER_S of them a second."""

    def __init__(self, prefix):
        self.prefix, self.count, self.stopping = prefix, 0, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        start = time.monotonic()
        while not self.stopping:
            pid = os.posix_spawn("/bin/true", ["/bin/true", f"{self.prefix}{self.count:07d}"], os.environ)
            os.waitpid(pid, 0)
            self.count += 1
            ahead = self.count / EXECS_PER_S - (time.monotonic() - start)
            if ahead > 0:
                time.sleep(ahead)

    def stop(self):
        self.stopping = True
        self.thread.join()
        return self.count


def gaps(suite):
    """(first serial, last serial, events) of every loss event that states serials."""
    stated = []
    for event in suite.events("loss"):
        loss = event["picket"]["loss"]
        if loss.get("first_serial"):
            stated.append((int(loss["first_serial"]), int(loss["last_serial"]), int(loss["events"])))
    return stated


def test_kill_nine_of_anything_under_load_loses_nothing_unaccounted():
    suite = Suite()
    failed = True
    try:
        suite.start()
        truth = audit.Truth(rb"crashload-\d{7}")
        load = Load("crashload-")
        for _ in range(KILLS_EACH):
            for name in ("uplinkd", "collectord", "server"):
                time.sleep(BETWEEN_KILLS_S)
                suite.processes[name].kill(signal.SIGKILL)
        time.sleep(BETWEEN_KILLS_S)
        made = load.stop()
        serials = truth.stop()
        assert truth.overruns == 0 and len(serials) == made, f"the test's own listener saw {len(serials)} of {made} execs"
        wait_for(lambda: suite.fact("collectord", "rules") == "loaded", 20, "collectord after the last kill")
        # Everything goes in order: what was made before this marker is there when the marker is. Nothing polls through exec here: that would
        # make events for ever.
        subprocess.run(["/bin/true", "crash-marker"], check=True)
        wait_for(lambda: suite.sql("select count(*) from events where instr(event, cast('crash-marker' as blob)) > 0")[0][0], 30, "the marker")

        arrived = {}
        for event in suite.events("process"):
            for arg in event["process"].get("args", []):
                if arg.startswith("crashload-"):
                    arrived[arg] = arrived.get(arg, 0) + 1
        doubled = {k: n for k, n in arrived.items() if n > 1}
        assert not doubled, f"{len(doubled)} events are there more than once: {list(doubled)[:5]}"

        stated = gaps(suite)
        missing = sorted(set(serials) - set(arrived))
        unaccounted = [t for t in missing if not any(a <= serials[t] <= b for a, b, _ in stated)]
        claimed = [t for t in arrived if any(a <= serials[t] <= b for a, b, _ in stated)]
        print(f"{made} execs, {len(arrived)} arrived, {len(missing)} in {len(stated)} gaps of {sum(n for _, _, n in stated)} events")
        assert not unaccounted, f"{len(unaccounted)} of {made} are neither at the server nor in a gap: {unaccounted[:5]}; gaps {stated}"
        assert not claimed, f"{len(claimed)} events are at the server and also stated as lost: {claimed[:5]}; gaps {stated}"
        for first, last_serial, events in stated:
            assert events == last_serial - first + 1, (first, last_serial, events)
        assert len(arrived) > made * 0.5, "most events should survive"
        failed = False
    finally:
        suite.close(failed)


def test_server_that_is_away_costs_nothing():
    suite = Suite()
    failed = True
    try:
        suite.start()
        suite.processes.pop("server").stop()
        load = Load("awayload-")
        time.sleep(3)
        made = load.stop()
        wait_for(lambda: suite.counter("uplinkd", "spooled_events") >= made, 10, "events in the spool")
        suite.processes["uplinkd"].kill()
        suite.start_server(suite.port)

        def arrived():
            return suite.sql("select count(*) from events where type = 1 and instr(event, cast('awayload-' as blob)) > 0")[0][0]
        wait_for(lambda: arrived() >= made, 20, f"{made} events after the server came back")
        assert arrived() == made
        failed = False
    finally:
        suite.close(failed)


def test_stop_soon_after_everything_was_killed_leaves_nothing_in_the_kernel():
    before = audit.state()
    suite = Suite()
    failed = True
    try:
        suite.start()
        for _ in range(3):
            for name in DAEMONS:
                suite.processes.pop(name).stop(signal.SIGKILL)
            assert audit.rules() != before[1], "nothing was left: the test proves nothing"
            for name in DAEMONS:
                suite.start_daemon(name)
            wait_for(lambda: suite.ctl("status").returncode == 0, what="agentd")
        failed = False
    finally:
        suite.close(failed)
    assert audit.state() == before
