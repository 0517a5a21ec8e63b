"""Isolation holds and ends when it must: killed daemons, tampering, deadlines, releases. isolatord alone in a namespace."""

import fcntl
import os
import signal
import subprocess
import time

import pytest

from harness import UPLINKD_UID, wait_for
from ipcclient import BOTH, ISOLATION_ORDER, ISOLATION_RESULT, Result, exception, order
from isolator import Isolator
from netns import Namespace, Net, rules

PORT = 8443
UPLINK = [(Net.SERVER4, PORT), (Net.SERVER6, PORT)]
TOOLS = ("iptables-legacy", "ip6tables-legacy")

# Rules such as firewalld, docker and a person with an editor leave behind.
ADMIN_RULES = {
    "iptables-legacy-restore": """*filter
:INPUT DROP [11:22]
:FORWARD DROP [3:4]
:OUTPUT ACCEPT [0:0]
:DOCKER-USER - [0:0]
:IN_public - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -j IN_public
-A FORWARD -j DOCKER-USER
-A DOCKER-USER -j RETURN
-A IN_public -p tcp -m tcp --dport 22 -m comment --comment "ssh, says the \\"admin\\"" -j ACCEPT
-A IN_public -p icmp -j ACCEPT
-A IN_public -m limit --limit 3/min -j LOG --log-prefix "denied: "
-A IN_public -p tcp -j REJECT --reject-with tcp-reset
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
COMMIT
*security
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A OUTPUT -d 203.0.113.7/32 -j DROP
COMMIT
""",
    "ip6tables-legacy-restore": """*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:ufw6-user-input - [0:0]
-A INPUT -j ufw6-user-input
-A ufw6-user-input -s fd00::/8 -p tcp -m tcp --dport 22 -j ACCEPT
COMMIT
""",
}


@pytest.fixture(scope="module")
def shared():
    n = Net()
    try:
        yield n
    finally:
        n.remove()


@pytest.fixture
def net(shared):
    yield shared
    for tool in TOOLS:
        for table in ("filter", "security", "nat"):
            shared.host.run(tool, "-t", table, "-F")
            shared.host.run(tool, "-t", table, "-X")
    for chain in ("INPUT", "FORWARD"):
        shared.host.run("iptables-legacy", "-P", chain, "ACCEPT")


@pytest.fixture
def iso(net, request):
    i = Isolator(net.host)
    try:
        yield i.start()
    finally:
        i.close(getattr(request.node, "failed_in_call", True))


def isolate(iso, **what):
    with iso.client() as agentd:
        result = agentd.isolate(**{"uplink": UPLINK, **what})
    assert result.accepted and result.state == "ISOLATED", result
    return result


def query(iso):
    with iso.client() as agentd:
        return agentd.query()


def is_cut(net):
    """Only what isolation allows: v4 and v6, out and in."""
    with net.third.listen(Net.THIRD4, 80), net.third.listen(Net.THIRD6, 80), net.host.listen(Net.HOST_T4, 22), \
            net.host.listen(Net.HOST_T6, 22), net.server.listen(Net.SERVER4, PORT), net.server.listen(Net.SERVER6, PORT):
        cut = [not net.host.reaches(Net.THIRD4, 80), not net.host.reaches(Net.THIRD6, 80),
               not net.third.reaches(Net.HOST_T4, 22, seconds=0.2), not net.third.reaches(Net.HOST_T6, 22, seconds=0.2)]
        uplink = net.host.reaches(Net.SERVER4, PORT, uid=UPLINKD_UID) and net.host.reaches(Net.SERVER6, PORT, uid=UPLINKD_UID)
    assert len(set(cut)) == 1, f"cut in part: {cut}"
    assert uplink, "the uplink must always pass"
    return cut[0]


def test_dead_daemon_never_lifts_isolation_and_its_successor_keeps_it(net, iso):
    isolate(iso)
    before = rules(net.host)
    iso.kill()
    assert is_cut(net)
    assert rules(net.host) == before
    iso.start()
    assert is_cut(net)
    assert rules(net.host) == before, "a restart changes nothing that is right already"
    assert query(iso).state == "ISOLATED" and query(iso).heals == 0
    assert iso.stop() == 0
    assert is_cut(net), "an orderly stop does not lift isolation either"


def test_release_restores_everything(net, iso):
    for tool, text in ADMIN_RULES.items():
        net.host.run(tool, input=text)
    before = rules(net.host)
    assert "IN_public" in before and "DOCKER-USER" in before
    isolate(iso, exceptions=[exception(BOTH, 0, Net.THIRD4)])
    assert "PICKET-OUT" in rules(net.host)
    assert rules(net.host, ours=False) == before, "foreign rules stay as they are"
    with iso.client() as agentd:
        assert agentd.release().state == "RELEASED"
    assert rules(net.host) == before
    assert not iso.order_file.exists()
    assert sorted(os.listdir(iso.order_file.parent)) == []


def test_nothing_is_touched_before_the_first_order(net, request):
    ns = Namespace("fresh")
    i = Isolator(ns)
    try:
        i.start()
        assert i.once("--release").returncode == 0
        names = [ns.run("cat", f"/proc/net/{n}").stdout for n in ("ip_tables_names", "ip6_tables_names")]
        assert names == ["", ""], "looking must not make the kernel create tables"
    finally:
        i.close()
        ns.remove()


@pytest.mark.parametrize("tamper", [
    pytest.param(["-t", "filter", "-F"], id="flush-filter"),
    pytest.param(["-t", "security", "-F"], id="flush-security"),
    pytest.param(["-I", "OUTPUT", "1", "-j", "ACCEPT"], id="accept-on-top"),
    pytest.param(["-D", "OUTPUT", "1"], id="jump-removed"),
    pytest.param(["-D", "PICKET-OUT", "1"], id="rule-removed"),
    pytest.param(["-R", "PICKET-IN", "1", "-j", "ACCEPT"], id="rule-replaced"),
    pytest.param(["-A", "PICKET-FWD", "-j", "ACCEPT"], id="rule-added"),
])
def test_tampered_rules_are_back_within_half_a_second(net, iso, tamper):
    isolate(iso)
    good = rules(net.host)
    for tool in TOOLS:
        net.host.run(tool, *tamper)
    assert is_cut_now(net), "the copy in the other table must cut meanwhile"
    wait_for(lambda: is_whole(net, good), 0.5 + LOOKING_S, "the rules to be back")
    assert query(iso).heals >= 1 and "rules.missing" in iso.log()
    assert is_cut(net)


LOOKING_S = 0.3  # what the test's own commands may take on a busy machine


def is_whole(net, good):
    """Every rule of ours as it was and in front of the others; the administrator's new one may stay."""
    now = rules(net.host)
    accept = "-A OUTPUT -j ACCEPT\n"
    return now.replace(accept, "") == good and now.count(accept) == now.count(" -j PICKET-OUT\n" + accept)


def is_cut_now(net):
    """Without waiting: what OUTPUT says."""
    with net.third.listen(Net.THIRD4, 80), net.third.listen(Net.THIRD6, 80):
        return not net.host.reaches(Net.THIRD4, 80, seconds=0.05) and not net.host.reaches(Net.THIRD6, 80, seconds=0.05)


def test_everything_flushed_at_once_is_healed(net, iso):
    isolate(iso)
    good = rules(net.host)
    for tool in TOOLS:
        for table in ("filter", "security"):
            net.host.run(tool, "-t", table, "-F")
            net.host.run(tool, "-t", table, "-X")
    wait_for(lambda: rules(net.host) == good, 0.5 + LOOKING_S, "the rules to be back")
    assert is_cut(net)
    assert query(iso).heals >= 1


def test_connection_made_while_rules_were_missing_is_closed(net, iso):
    isolate(iso)
    iso.popen.send_signal(signal.SIGSTOP)  # so that the gap is long enough to use
    for table in ("filter", "security"):
        net.host.run("iptables-legacy", "-t", table, "-F")
    with net.third.listen(Net.THIRD4, 80) as there:
        near = net.host.connect(Net.THIRD4, 80)
        far, _ = there.accept()
        iso.popen.send_signal(signal.SIGCONT)
        near.settimeout(2)
        with pytest.raises(ConnectionAbortedError):
            near.recv(1)
        far.close()


def test_rules_lost_while_dead_are_put_back_at_start(net, iso):
    """As after a reboot: the order is on disk, the kernel knows nothing."""
    isolate(iso)
    good = rules(net.host)
    iso.kill()
    for tool in TOOLS:
        for table in ("filter", "security"):
            net.host.run(tool, "-t", table, "-F")
            net.host.run(tool, "-t", table, "-X")
    assert not is_cut(net)
    iso.start()
    assert is_cut(net) and rules(net.host) == good
    assert query(iso).state == "ISOLATED"


def test_rules_left_without_an_order_are_removed_at_start(net, iso):
    """As after a kill between forgetting the order and taking the rules out."""
    isolate(iso)
    iso.kill()
    iso.order_file.unlink()
    iso.start()
    assert "PICKET" not in rules(net.host)
    assert query(iso).state == "RELEASED"


@pytest.mark.parametrize("half", ["iptables-legacy", "ip6tables-legacy"])
def test_killed_between_the_families_is_completed_at_start(net, iso, half):
    isolate(iso)
    good = rules(net.host)
    iso.kill()
    for table in ("filter", "security"):
        net.host.run(half, "-t", table, "-F")
        net.host.run(half, "-t", table, "-X")
    iso.start()
    assert rules(net.host) == good and is_cut(net)


def test_apply_and_exit_at_boot_needs_no_interface_and_no_daemon(net, iso):
    isolate(iso)
    iso.stop()
    fresh = Namespace("boot")
    try:
        iso.ns = fresh
        done = iso.once("--apply-and-exit")
        assert done.returncode == 0, done.stderr
        assert rules(fresh).count("-j PICKET-OUT") == 4
    finally:
        iso.ns = net.host
        fresh.remove()


def test_deadline_releases_and_says_so(net, iso):
    with iso.client() as agentd:
        result = agentd.isolate(uplink=UPLINK, duration_s=1)
        assert result.state == "ISOLATED" and 0 < result.until_ms - result.since_ms <= 1000
        notice = agentd.notice()
        assert notice.state == "RELEASED"
    assert not is_cut(net)
    assert "PICKET" not in rules(net.host) and not iso.order_file.exists()
    assert "isolation.expired" in iso.log()


def test_deadline_goes_on_while_dead(net, iso):
    isolate(iso, duration_s=1)
    iso.kill()
    end = time.monotonic() + 1.1
    wait_for(lambda: time.monotonic() > end, what="the deadline")
    assert is_cut(net), "without a daemon nothing lifts it"
    iso.start()
    assert query(iso).state == "RELEASED" and "PICKET" not in rules(net.host)


def test_restart_does_not_prolong_the_deadline(net, iso):
    until = isolate(iso, duration_s=3600).until_ms
    iso.kill()
    iso.start()
    assert query(iso).until_ms == until


def test_new_order_replaces_the_old_without_a_gap(net, iso):
    """A flood of SYNs to the third host while orders change: not one gets through."""
    isolate(iso)
    with net.third.listen(Net.THIRD4, 80) as there:
        there.settimeout(0.05)
        with iso.client() as agentd:
            for i in range(20):
                assert agentd.isolate(uplink=UPLINK, exceptions=[exception(BOTH, 0, f"198.51.100.{i + 1}")]).exceptions == 1
                assert not net.host.reaches(Net.THIRD4, 80, seconds=0.05)
        with pytest.raises(OSError):
            there.accept()
    assert query(iso).state == "ISOLATED"


def test_root_releases_with_agentd_dead(net, iso):
    isolate(iso)
    with iso.client(uid=0, gid=0) as root:
        assert root.release().state == "RELEASED"
    assert not is_cut(net)


@pytest.mark.parametrize("alive", [True, False], ids=["running", "dead"])
def test_release_option_works(net, iso, alive):
    isolate(iso)
    if not alive:
        iso.kill()
    done = iso.once("--release")
    assert done.returncode == 0, done.stderr
    assert "PICKET" not in rules(net.host) and not iso.order_file.exists()
    assert not is_cut(net)
    if not alive:
        iso.start()
    assert query(iso).state == "RELEASED" and not is_cut(net), "it must not come back"


@pytest.mark.parametrize("damage", ["flipped", "cut", "foreign"])
def test_damaged_order_file_leaves_the_kernel_as_it_is(net, iso, damage):
    isolate(iso)
    good = rules(net.host)
    iso.kill()
    data = bytearray(iso.order_file.read_bytes())
    if damage == "flipped":
        data[-1] ^= 1
    elif damage == "cut":
        del data[-1]
    else:
        data = bytearray(b"hello")
    iso.order_file.write_bytes(data)
    iso.start()
    result = query(iso)
    assert result.state == "FAILED" and "release" in result.detail
    assert rules(net.host) == good and is_cut(net)
    with iso.client() as agentd:
        assert agentd.release().state == "RELEASED"
    assert "PICKET" not in rules(net.host) and not iso.order_file.exists()


def test_held_lock_delays_isolation_by_two_seconds_at_most(net, iso):
    with open("/run/xtables.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        start = time.monotonic()
        isolate(iso)
        took = time.monotonic() - start
    assert 1.5 < took < 3.0
    assert is_cut(net)
    assert "backend.lock_held" in iso.log()


def test_query_is_answered_while_the_lock_is_awaited(net, iso):
    with open("/run/xtables.lock", "a") as lock, iso.client() as agentd, iso.client() as other:
        fcntl.flock(lock, fcntl.LOCK_EX)
        agentd.send(ISOLATION_ORDER, 77, order(True, uplink=UPLINK))
        wait_for(lambda: other.query().state == "FAILED", 1, "the order to be under way")
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert Result(agentd.wait(ISOLATION_RESULT, 77)).state == "ISOLATED"


def test_concurrent_changes_of_an_administrator_survive(net, iso):
    """Both write the same tables without a lock between them; the kernel refuses the loser, who does it again."""
    with iso.client() as agentd:
        for i in range(15):
            tool = net.host.exec("iptables-legacy", "-A", "INPUT", "-s", f"192.0.2.{i + 1}", "-j", "DROP")
            admin = subprocess.Popen(tool)
            assert agentd.isolate(uplink=UPLINK, exceptions=[exception(BOTH, 0, f"198.51.100.{i + 1}")]).state == "ISOLATED"
            assert admin.wait(5) == 0
        agentd.release()
    assert rules(net.host).count("192.0.2.") == 15


def test_abort_of_a_peer_does_not_lose_the_order(net, iso):
    agentd = iso.client()
    agentd.send(ISOLATION_ORDER, 1, order(True, uplink=UPLINK))
    agentd.socket.close()
    wait_for(lambda: query(iso).state == "ISOLATED", 2, "the order to be carried out")
    assert is_cut(net)
