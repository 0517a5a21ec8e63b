"""collectord against the real kernel, with peers that the test plays itself."""

import os
import pathlib
import random
import select
import signal
import socket
import struct
import subprocess
import threading
import time
import uuid

import pytest

import audit
import pbmini as pb
from collectpeers import (CONNECTION, FILECHANGE, LOSS, MODULE, PORTLISTEN, PROCESS, PROCESS_TERMINATE, TAIL_EVENTS, Event, Peers)
from harness import BIN, COLLECTORD_UID, GID, wait_for
from ipcclient import HEADER

KILLS = 10
EXECS_PER_S = 200


@pytest.fixture
def before():
    """The kernel's audit state must be what it was."""
    state = audit.state()
    yield state
    assert audit.state() == state


@pytest.fixture
def peers(before):
    p = Peers()
    try:
        p.start()
        yield p
    finally:
        p.close()


@pytest.fixture
def token():
    return "live-" + uuid.uuid4().hex


def the_one(events):
    assert len(events) == 1, [(e.serial, e.executable, e.detail) for e in events]
    return events[0]


# ---- what happens arrives, once, with the right fields ----

def test_arguments_arrive_exactly_and_the_exit_is_paired(peers, token, tmp_path):
    args = ["/bin/sh", "-c", "exit 7", token, "two words", 'double "quotes"', "Grüße 世界", "line\nbreak", "", "tab\there", "\udcff\udc80 raw"]
    child = subprocess.Popen(args, cwd=tmp_path)
    assert child.wait() == 7
    start = the_one(peers.wait_event(PROCESS, lambda e: token in e.args))
    assert start.args == args
    assert start.part(5) == len(args) and not start.part(4)
    assert (start.pid, start.ppid, start.uid) == (child.pid, os.getpid(), 0)
    assert start.executable == os.path.realpath("/bin/sh")
    assert start.path == str(tmp_path)
    assert start.unique_id != 0
    end = the_one(peers.wait_event(PROCESS_TERMINATE, lambda e: e.pid == child.pid))
    assert end.part(1) == 7
    assert end.part(3) == start.unique_id == end.unique_id
    assert end.sequence > start.sequence


def test_an_argument_of_the_largest_size_arrives_whole(peers, token):
    large = token + "x" * (131071 - len(token))
    subprocess.run(["/bin/true", large, "end"], check=True)
    start = the_one(peers.wait_event(PROCESS, lambda e: e.args[1:2] == [large]))
    assert start.args == ["/bin/true", large, "end"] and not start.part(4)


def test_a_failed_exec_is_an_event_with_its_error(peers, token, tmp_path):
    with pytest.raises(FileNotFoundError):
        subprocess.run([tmp_path / token])
    event = peers.wait_event(PROCESS, lambda e: token in os.fsdecode(e.part(3, b"")))[0]
    assert (event.outcome, event.error) == (2, 2)


def test_a_file_that_is_written_renamed_and_deleted(peers, token, tmp_path):
    first, second = tmp_path / token, tmp_path / (token + " renamed")
    first.write_text("x")
    first.write_text("y")
    first.chmod(0o640)
    first.rename(second)
    second.unlink()
    peers.wait_event(FILECHANGE, lambda e: e.path == str(second))
    events = peers.find(FILECHANGE, lambda e: token in e.path)
    assert [(e.action, e.path) for e in events] == [("create", str(first)), ("modify", str(first)), ("permission", str(first)),
                                                    ("rename", str(first)), ("delete", str(second))]
    assert os.fsdecode(events[3].part(3)) == str(second)
    assert events[2].part(7) & 0o7777 == 0o640
    assert len({e.part(4) for e in events}) == 1, "one inode all the way"


def test_relative_paths_are_joined_to_the_working_directory(peers, token, tmp_path):
    subprocess.run(["/bin/sh", "-c", f": > ./{token}; rm {token}"], cwd=tmp_path, check=True)
    peers.wait_event(FILECHANGE, lambda e: e.path == str(tmp_path / token) and e.action == "delete")
    assert [e.action for e in peers.find(FILECHANGE, lambda e: e.path == str(tmp_path / token))] == ["create", "delete"]


def test_a_path_relative_to_an_unknown_directory_is_not_guessed(peers, token, tmp_path):
    """The kernel's own PARENT record names the working directory here, which is the wrong one."""
    directory = os.open(tmp_path, os.O_RDONLY)
    os.close(os.open(token, os.O_WRONLY | os.O_CREAT, dir_fd=directory))
    os.close(directory)
    event = the_one(peers.wait_event(FILECHANGE, lambda e: e.path.endswith(token)))
    assert event.path == token and event.part(10)


@pytest.mark.parametrize("family, address", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_connection_is_seen_from_both_ends(peers, family, address):
    with socket.socket(family) as server, socket.socket(family) as client:
        server.bind((address, 0))
        server.listen()
        port = server.getsockname()[1]
        client.connect((address, port))
        theirs, client_address = server.accept()
        theirs.close()
    out = the_one(peers.wait_event(CONNECTION, lambda e: e.part(1) == 1 and e.endpoint(3) == (address, port)))
    into = the_one(peers.wait_event(CONNECTION, lambda e: e.part(1) == 2 and e.endpoint(3) == (address, client_address[1])))
    assert out.pid == into.pid == os.getpid()
    assert out.part(2) == into.part(2) == family
    listens = peers.find(PORTLISTEN, lambda e: e.pid == os.getpid() and e.endpoint(2)[0] == address)
    assert [bool(e.part(3)) for e in listens] == [True, False], "a bind, then a listen that knows its address"


def test_a_connection_that_is_refused_says_so(peers):
    with socket.socket() as closed, socket.socket() as client:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            client.connect(("127.0.0.1", port))
    event = the_one(peers.wait_event(CONNECTION, lambda e: e.endpoint(3) == ("127.0.0.1", port)))
    assert (event.outcome, event.error) == (2, 111)


def test_a_connection_under_way_has_no_outcome_yet(peers):
    with socket.socket() as server, socket.socket() as client:
        server.bind(("127.0.0.1", 0))
        server.listen()
        client.setblocking(False)
        client.connect_ex(server.getsockname())
        event = the_one(peers.wait_event(CONNECTION, lambda e: e.endpoint(3) == server.getsockname()))
    assert (event.outcome, event.error) == (3, 0)


def test_unix_sockets_are_left_out(peers, token, tmp_path):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(tmp_path / "s"))
        s.listen()
    subprocess.run(["/bin/true", token], check=True)
    peers.wait_event(PROCESS, lambda e: token in e.args)
    assert not peers.find(PORTLISTEN, lambda e: e.pid == os.getpid())


def test_a_module_that_cannot_be_loaded_is_reported(peers):
    libc = __import__("ctypes").CDLL(None, use_errno=True)
    assert libc.syscall(176, b"no_such_module_of_ours", 0) == -1  # delete_module
    event = peers.wait_event(MODULE, lambda e: e.pid == os.getpid())[0]
    assert event.part(3) and event.outcome == 2 and event.error != 0


def test_what_our_own_daemon_does_is_not_in_the_stream(peers, token):
    subprocess.run(["/bin/true", token], check=True)
    peers.wait_event(PROCESS, lambda e: token in e.args)
    assert not [e for e in peers.events if e.pid == peers.process.pid and e.uid == COLLECTORD_UID]


def test_excluded_processes_are_counted_and_not_sent(peers, token):
    peers.exclusions = ["/usr/bin/tr*"]
    peers.send_config()
    wait_for(lambda: "exclusion_1" in peers.facts, what="the rule")
    subprocess.run(["/bin/true", token], check=True)
    subprocess.run(["/bin/echo", token], check=True, stdout=subprocess.DEVNULL)
    peers.wait_event(PROCESS, lambda e: token in e.args)
    assert [e.executable for e in peers.find(PROCESS, lambda e: token in e.args)] == ["/usr/bin/echo"]
    wait_for(lambda: int(peers.facts["exclusion_1"]) >= 1, what="the count")
    peers.exclusions = []
    peers.send_config()
    subprocess.run(["/bin/true", token + "again"], check=True)
    peers.wait_event(PROCESS, lambda e: token + "again" in e.args)


def test_the_books_balance(peers, token):
    for i in range(50):
        subprocess.run(["/bin/true", token + str(i)], check=True)
    peers.wait_event(PROCESS, lambda e: token + "49" in e.args)
    c = wait_for(lambda: peers.counters if peers.counters["queued"] == 0 and peers.counters["sent"] == len(peers.events) else None,
                 what="a report that has everything")
    assert c["audit_events"] == c["events"] + c["ignored"] + c["excluded"] + c["incomplete"]
    assert c["events"] + c["losses"] == c["sent"] + c["queue_dropped"] + c["not_sent"]
    assert c["sent"] == c["acked"] + c["queued"]
    assert c["malformed"] == c["lost_kernel"] == c["lost_serial"] == c["enobufs"] == c["incomplete"] == 0
    mine = sum(1 for e in peers.find(PROCESS, lambda e: any(a.startswith(token) for a in e.args)))
    assert mine == 50


# ---- what it does to the kernel, and that it takes it back ----

def test_stop_leaves_audit_as_it_was(before):
    with audit.ForeignRule() as foreign:
        state = audit.state()
        p = Peers()
        try:
            p.start()
            during, rules = audit.state()
            assert during["enabled"] == 1 and during["pid"] == p.process.pid and during["backlog_limit"] == 8192
            assert foreign.rule[:1000] in b"".join(rules), "the administrator's rule is there"
            assert p.stop() == 0
            assert audit.state() == state
        finally:
            p.close()


def test_order_to_stop_and_start_again(before, peers, token):
    peers.collect = False
    peers.send_config()
    wait_for(lambda: peers.facts.get("rules") == "none", what="rules to go")
    assert audit.state() == before
    subprocess.run(["/bin/true", token + "unseen"], check=True)
    peers.collect = True
    peers.send_config()
    wait_for(lambda: peers.facts.get("rules") == "loaded", what="rules to come back")
    subprocess.run(["/bin/true", token], check=True)
    peers.wait_event(PROCESS, lambda e: token in e.args)
    assert not peers.find(PROCESS, lambda e: token + "unseen" in e.args)
    assert not peers.find(LOSS), "what happened while it was told to be off is no loss"


def test_stale_rules_of_a_killed_collectord_are_taken_back_when_it_is_told_to_be_off(before):
    p = Peers()
    try:
        p.start()
        p.kill()
        assert audit.rules()
        p.collect = False
        p.start(wait=False)
        wait_for(lambda: audit.state() == before, 10, "the kernel's state before us")
    finally:
        p.close()


def test_another_audit_daemon_is_named_and_left_alone(before):
    p = Peers()
    q = Peers()
    try:
        p.start()
        rules = audit.rules()
        q.start(wait=False)
        wait_for(lambda: "source.refused" in q.log(), 10, "the refusal")
        line = next(x for x in q.log().splitlines() if "source.refused" in x)
        assert f"pid={p.process.pid}" in line and "name=collectord" in line and "remedy=" in line
        wait_for(lambda: f"pid {p.process.pid} (collectord)" in q.facts.get("source", ""), what="the fact")
        assert q.stop() == 0
        assert audit.status()["pid"] == p.process.pid and audit.rules() == rules
        wait_for(lambda: p.counters.get("takeovers", 0) >= 1, what="the first to notice")
    finally:
        q.close()
        p.close()


def test_privileges_are_the_two_audit_capabilities_and_no_more(peers):
    status = pathlib.Path(f"/proc/{peers.process.pid}/status").read_text()
    fields = dict(line.split(":\t") for line in status.splitlines() if ":\t" in line)
    assert fields["Uid"].split() == [str(COLLECTORD_UID)] * 4 and fields["Gid"].split() == [str(GID)] * 4
    want = (1 << 30) | (1 << 37)  # CAP_AUDIT_CONTROL, CAP_AUDIT_READ
    assert {int(fields[k], 16) for k in ("CapPrm", "CapEff", "CapBnd")} == {want}
    assert {int(fields[k], 16) for k in ("CapInh", "CapAmb")} == {0}
    assert fields["Seccomp"] == "2" and fields["NoNewPrivs"] == "1"


@pytest.mark.parametrize("probe", ["execve", "ptrace", "mount", "inet-socket", "open-etc-shadow", "unknown-syscall"])
def test_the_sandbox_refuses(before, probe):
    p = Peers()
    try:
        done = subprocess.run([BIN / "collectord", "--config", p.dir / "picket.conf", "--sandbox-probe", probe], stderr=subprocess.PIPE,
                              text=True, timeout=20)
        assert done.returncode == 0 or done.returncode == -signal.SIGSYS, done.stderr
        assert "WENT THROUGH" not in done.stderr
    finally:
        p.close()


# ---- watchers ----

def test_a_watcher_sees_events_and_a_slow_one_is_told_what_it_missed(peers, token):
    tail = peers.tail()
    subprocess.run(["/bin/true", token], check=True)

    def read():
        data = tail.recv(300000)
        assert HEADER.unpack_from(data)[1] == TAIL_EVENTS
        return pb.decode(data[HEADER.size:])
    deadline, seen = time.monotonic() + 5, False
    while not seen and time.monotonic() < deadline:
        seen = any(e.type == PROCESS and token in e.args for e in map(Event, read().get(2, [])))
    assert seen
    for i in range(1500):
        os.close(os.open(f"/dev/shm/{token}", os.O_WRONLY | os.O_CREAT))
        os.unlink(f"/dev/shm/{token}")
    wait_for(lambda: peers.counters.get("tail_skipped", 0) > 0, 10, "events that did not fit")
    skipped = 0
    while not skipped:
        skipped = read().get(1, [0])[0]
        if not select.select([tail], [], [], 1)[0]:
            subprocess.run(["/bin/true", token], check=True)
    assert skipped > 0
    tail.close()
    subprocess.run(["/bin/true", token + "after"], check=True)
    peers.wait_event(PROCESS, lambda e: token + "after" in e.args)


# ---- losses are stated ----

class Load:
    """Execs with a number in their arguments."""

    def __init__(self, prefix, per_s=EXECS_PER_S):
        self.prefix, self.per_s, self.count, self.stopping = prefix, per_s, 0, False
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        start = time.monotonic()
        while not self.stopping:
            os.waitpid(os.posix_spawn("/bin/true", ["/bin/true", f"{self.prefix}{self.count:07d}"], os.environ), 0)
            self.count += 1
            ahead = self.count / self.per_s - (time.monotonic() - start)
            if ahead > 0:
                time.sleep(ahead)

    def stop(self):
        self.stopping = True
        self.thread.join()
        return self.count


def account(peers, prefix, serials, made):
    """Each exec arrived once, or lies in a gap that was stated; no gap claims what arrived. Returns (arrived, missing)."""
    arrived = {}
    for event in peers.find(PROCESS):
        for arg in event.args:
            if arg.startswith(prefix):
                arrived[arg] = arrived.get(arg, 0) + 1
    assert len(serials) == made, "the test's own listener must have seen all"
    assert max(arrived.values()) == 1
    gaps = [e.loss for e in peers.find(LOSS)]
    ranges = [(a, b) for _, a, b, _, _ in gaps if b]
    missing = sorted(set(serials) - set(arrived))
    assert [t for t in missing if not any(a <= serials[t] <= b for a, b in ranges)] == [], gaps
    assert [t for t in arrived if any(a <= serials[t] <= b for a, b in ranges)] == [], gaps
    claimed = [e.serial for e in peers.events if any(a <= e.serial <= b for a, b in ranges)]
    assert claimed == [], f"stated as lost and arrived: {claimed}; {gaps}"
    for stage, a, b, n, exact in gaps:
        if b and exact:
            assert n == b - a + 1, (stage, a, b, n)
    for i, (a, b) in enumerate(sorted(ranges)[1:]):
        assert a > sorted(ranges)[i][1], "gaps overlap"
    return len(arrived), len(missing), gaps


def settle(peers, prefix, made):
    """The last exec is there and every run before this one was resolved."""
    peers.wait_event(PROCESS, lambda e: f"{prefix}{made - 1:07d}" in e.args, 10)
    runs = peers.log().count("peer.open peer=uplinkd")
    wait_for(lambda: peers.log().count("restart.resolved") >= runs - 1, 15, f"{runs - 1} runs to be resolved")
    subprocess.run(["/bin/true", "settled"], check=True)
    wait_for(lambda: peers.counters.get("queued", 1) == 0, 10, "the queue to empty")
    serial = max(e.serial for e in peers.events)
    wait_for(lambda: (subprocess.run(["/bin/true"]), "serial")[1], 1)
    time.sleep(6.5)  # twice the interval after which a serial counts as lost: nothing says that it has passed
    return serial


def kill_under_load(handing_over):
    p = Peers()
    p.handing_over = handing_over
    truth = load = None
    try:
        p.start()
        truth = audit.Truth(rb"killed-\d{7}")
        load = Load("killed-")
        for _ in range(KILLS):
            time.sleep(random.uniform(0.3, 1.2))
            p.kill()
            if not handing_over and p.kept is not None:
                with p.lock:
                    os.close(p.kept)
                    p.kept = None
            time.sleep(0.1)
            p.start()
        made = load.stop()
        load = None
        serials = truth.stop()
        truth = None
        settle(p, "killed-", made)
        return made, account(p, "killed-", serials, made)
    finally:
        if load:
            load.stop()
        if truth:
            truth.stop()
        p.close()


def test_killed_ten_times_under_load_every_exec_arrives_or_is_stated(before):
    made, (arrived, missing, gaps) = kill_under_load(handing_over=True)
    print(f"{made} execs, {arrived} arrived, {missing} stated as lost in {gaps}")
    assert arrived > made * 0.7


def test_killed_ten_times_without_a_kept_descriptor_every_exec_arrives_or_is_stated(before):
    made, (arrived, missing, gaps) = kill_under_load(handing_over=False)
    print(f"{made} execs, {arrived} arrived, {missing} stated as lost in {gaps}")
    assert arrived > made * 0.5


def test_events_raised_while_it_is_dead_arrive(before, token):
    p = Peers()
    try:
        p.start()
        wait_for(lambda: p.kept is not None, what="the descriptor")
        wait_for(lambda: p.counters.get("queued") == 0, what="an empty queue")
        p.kill()
        for i in range(100):
            subprocess.run(["/bin/true", f"{token}-{i:03d}"], check=True)
        p.start()
        p.wait_event(PROCESS, lambda e: f"{token}-099" in e.args, 10)
        assert len(p.find(PROCESS, lambda e: any(a.startswith(token) for a in e.args))) == 100
        assert p.stop() == 0
    finally:
        p.close()


def test_uplinkd_that_is_away_costs_nothing_and_gets_everything_in_order(peers, token):
    subprocess.run(["/bin/true", token + "first"], check=True)
    peers.wait_event(PROCESS, lambda e: token + "first" in e.args)
    peers.close_listener("uplinkd")
    for i in range(200):
        subprocess.run(["/bin/true", f"{token}-{i:03d}"], check=True)
    peers.reopen_listener("uplinkd")
    peers.wait_event(PROCESS, lambda e: f"{token}-199" in e.args, 15)
    got = [e.args[1] for e in peers.find(PROCESS, lambda e: e.args[1:] and e.args[1].startswith(token + "-"))]
    assert got == [f"{token}-{i:03d}" for i in range(200)]


def test_what_was_sent_but_not_acknowledged_is_sent_again_and_not_doubled(peers, token):
    peers.acking = False
    for i in range(50):
        subprocess.run(["/bin/true", f"{token}-{i:03d}"], check=True)
    peers.wait_event(PROCESS, lambda e: f"{token}-049" in e.args)
    wait_for(lambda: peers.counters.get("queued", 0) > 0, what="events that wait")
    peers.close_listener("uplinkd")
    peers.acking = True
    peers.reopen_listener("uplinkd")
    wait_for(lambda: peers.counters.get("queued", 1) == 0, 10, "the acknowledgement")
    assert len(peers.find(PROCESS, lambda e: any(a.startswith(token) for a in e.args))) == 50


def test_a_full_queue_drops_and_says_how_many(before, token):
    p = Peers("QueueSize = 1MiB\n")
    try:
        p.start()
        p.close_listener("uplinkd")
        n = 0
        while p.counters.get("queue_dropped", 0) < 100:
            for _ in range(200):
                os.close(os.open(f"/dev/shm/{token}", os.O_WRONLY | os.O_CREAT))
                os.unlink(f"/dev/shm/{token}")
            n += 200
            assert n < 100000, "the queue never fills"
        p.reopen_listener("uplinkd")
        loss = p.wait_event(LOSS, lambda e: e.loss[0] == "queue", 15)
        c = wait_for(lambda: p.counters if p.counters.get("queued", 1) == 0 else None, 10, "the queue to empty")
        wait_for(lambda: sum(e.loss[3] for e in p.find(LOSS, lambda e: e.loss[0] == "queue")) == p.counters["queue_dropped"], 5,
                 "the sum of what was stated")
        assert loss and c
        assert p.stop() == 0
    finally:
        p.close()


def test_replay_mode_does_not_touch_audit(before):
    done = subprocess.run("zcat tests/data/audit-small.log.gz | build/bin/collectord --replay - --output ndjson --stats", shell=True,
                          cwd=pathlib.Path(__file__).resolve().parent.parent.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert done.returncode == 0
    stats = __import__("json").loads(done.stderr)
    assert (stats["records"], stats["audit_events"], stats["malformed"]) == (5000, 1581, 0)
    assert len(done.stdout.splitlines()) == stats["events"]
