"""The whole suite on a host of its own network: the server isolates it, everything is killed, the block holds, the release restores."""

import signal
import subprocess

import pytest

from harness import BIN, DAEMONS, UPLINKD_UID, Suite, wait_for
from netns import Net, rules

ADMIN_RULES = [
    ("iptables-legacy", "-A", "INPUT", "-p", "tcp", "--dport", "23", "-j", "DROP"),
    ("iptables-legacy", "-t", "nat", "-A", "POSTROUTING", "-s", "192.0.2.0/24", "-j", "MASQUERADE"),
    ("ip6tables-legacy", "-A", "FORWARD", "-d", "2001:db8::/32", "-j", "REJECT"),
]
PORT = 7000


@pytest.fixture(scope="module", params=["4", "6"], ids=["server-over-ipv4", "server-over-ipv6"])
def world(request):
    """A suite whose server lives in another namespace, an administrator's rules on the host, a third host that talks to it."""
    net = Net()
    suite = None
    try:
        for rule in ADMIN_RULES:
            net.host.run(*rule)
        address = net.SERVER4 if request.param == "4" else net.SERVER6
        suite = Suite(netns=net.host.name, server_netns=net.server.name, address=address, extra_names=[net.SERVER4, net.SERVER6])
        suite.start()
        suite.net = net
        yield suite
    finally:
        if suite:
            suite.close(request.session.testsfailed > 0)
        net.remove()


def telemetry_flows(suite, token):
    """An event made now arrives at the server."""
    subprocess.run(["/bin/true", token], check=True)
    wait_for(lambda: suite.sql("select count(*) from events where instr(event, cast(? as blob)) > 0", token)[0][0] >= 1, 10, f"{token} at the server")


def ends(net):
    return ((net.THIRD4, net.HOST_T4), (net.THIRD6, net.HOST_T6))


def open_both_ways(net):
    return all(net.host.reaches(third, PORT) and net.third.reaches(host, PORT) for third, host in ends(net))


def closed_both_ways(net):
    return not any(net.host.reaches(third, PORT) or net.third.reaches(host, PORT) for third, host in ends(net))


def session_dies(sock, peer):
    """A live TCP session stalls or is reset: nothing that is sent arrives."""
    try:
        sock.send(b"after")
    except OSError:
        return True
    peer.settimeout(1)
    try:
        return peer.recv(16) == b""
    except OSError:
        return True


def wait_state(suite, state):
    wait_for(lambda: suite.ctl_json("isolate", "status")["state"] == state, 15, f"isolation to be {state}")


def test_isolation_survives_kill_nine_of_all_daemons(world):
    suite, net = world, world.net
    listeners = [ns.listen(a, PORT) for third, host in ends(net) for ns, a in ((net.third, third), (net.host, host))]
    before = rules(net.host)
    assert "23" in before
    assert open_both_ways(net), "the third host must be reachable before"
    sessions = []
    for listener, (third, _) in zip(listeners[::2], ends(net)):
        client = net.host.connect(third, PORT)
        peer, address = listener.accept()
        while address[1] != client.getsockname()[1]:  # those of open_both_ways() come first
            peer, address = listener.accept()
        sessions.append((client, peer))
    telemetry_flows(suite, "before-isolation")

    host_id = suite.hosts()[0]["agent_id"]
    suite.server("isolate", host_id)
    wait_state(suite, "isolated")
    assert all(session_dies(c, p) for c, p in sessions), "a live session to the third host goes on"
    assert closed_both_ways(net)
    telemetry_flows(suite, "while-isolated")
    assert not net.host.reaches(suite.address, suite.port, uid=0), "root reaches the server's port: only uplinkd may"
    assert net.host.reaches(suite.address, suite.port, uid=UPLINKD_UID, seconds=2)

    for name in DAEMONS:
        suite.processes[name].restart = False
    pids = [suite.processes[name].popen for name in DAEMONS]
    for p in pids:
        p.send_signal(signal.SIGKILL)
    for p in pids:
        p.wait(5)
    assert closed_both_ways(net), "the block ended with the daemons"

    for name in DAEMONS:
        suite.processes.pop(name).stop()
        suite.start_daemon(name)
    wait_for(lambda: suite.ctl("status").returncode == 0, what="agentd")
    wait_state(suite, "isolated")
    assert closed_both_ways(net)
    suite.wait_collecting()
    telemetry_flows(suite, "after-restart")

    suite.server("release", host_id)
    wait_state(suite, "released")
    wait_for(lambda: open_both_ways(net), 10, "the network to be back")
    assert rules(net.host) == before, "the administrator's rules are not as they were, or something of ours is left"
    assert "PICKET" not in rules(net.host)


def test_root_on_the_host_isolates_with_an_end_and_an_exception(world):
    suite, net = world, world.net
    before = rules(net.host)
    admin_port, other_port = PORT + 1, PORT + 2
    listeners = [net.host.listen(net.HOST_T4, p) for p in (admin_port, other_port)]
    suite.ctl("isolate", "on", "--duration", "4s", "--allow", f"in:tcp:{net.THIRD4}:{admin_port}", check=True)
    status = suite.ctl_json("isolate", "status")
    assert status["state"] == "isolated" and status["origin"] == "local", status
    assert net.third.reaches(net.HOST_T4, admin_port), "the exception does not hold"
    assert not net.third.reaches(net.HOST_T4, other_port)
    wait_state(suite, "released")
    assert net.third.reaches(net.HOST_T4, other_port)
    assert rules(net.host) == before
    for listener in listeners:
        listener.close()


def test_root_releases_with_every_other_daemon_dead(world):
    suite, net = world, world.net
    before = rules(net.host)
    suite.ctl("isolate", "on", check=True)
    for name in DAEMONS:
        suite.processes.pop(name).stop(signal.SIGKILL)
    assert not net.host.reaches(net.THIRD4, PORT)
    subprocess.run(net.host.exec(BIN / "isolatord", "--config", suite.config, "--release"), check=True)
    assert rules(net.host) == before
    for name in DAEMONS:
        suite.start_daemon(name)
    wait_for(lambda: suite.ctl("status").returncode == 0, what="agentd")
    wait_state(suite, "released")
