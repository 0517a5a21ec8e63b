"""What an isolated host can and cannot do on the network. isolatord alone, in a namespace with three neighbours, real traffic."""

import errno
import socket

import pytest

from harness import UPLINKD_UID, wait_for
from ipcclient import BOTH, ICMP, INBOUND, OUTBOUND, TCP, UDP, exception
from isolator import Isolator
from netns import Net, rules

PORT = 8443
UPLINK = [(Net.SERVER4, PORT), (Net.SERVER6, PORT)]
FAMILIES = [pytest.param(Net.SERVER4, Net.THIRD4, Net.HOST4, Net.HOST_T4, id="v4"),
            pytest.param(Net.SERVER6, Net.THIRD6, Net.HOST6, Net.HOST_T6, id="v6")]


@pytest.fixture
def net():
    n = Net()
    try:
        yield n
    finally:
        n.remove()


@pytest.fixture
def iso(net, request):
    i = Isolator(net.host, getattr(request, "param", ""))
    try:
        yield i.start()
    finally:
        i.close(getattr(request.node, "failed_in_call", True))


def isolate(iso, **what):
    with iso.client() as agentd:
        result = agentd.isolate(**{"uplink": UPLINK, **what})
    assert result.accepted and result.state == "ISOLATED", result
    return result


def session(listener, ns, address, port, uid=0):
    """Both ends of a TCP connection over which something was said."""
    near = ns.connect(address, port, uid=uid)
    far, _ = listener.accept()
    far.settimeout(5)
    assert talks(near, far)
    return near, far


def talks(near, far):
    """Does a word go each way?"""
    try:
        near.sendall(b"ping")
        assert far.recv(4) == b"ping"
        far.sendall(b"pong")
        assert near.recv(4) == b"pong"
        return True
    except OSError:
        return False


def hears(ns, listener_ns, address, port):
    """Does one UDP datagram of ns arrive?"""
    with listener_ns.listen(address, port, socket.SOCK_DGRAM) as far, ns.open_socket(far.family, socket.SOCK_DGRAM) as near:
        far.settimeout(0.4)
        try:
            near.sendto(b"x", (address, port))
            return far.recv(1) == b"x"
        except OSError:
            return False


@pytest.mark.parametrize("server,third,host,host_t", FAMILIES)
def test_live_sessions_end_and_new_ones_fail_both_ways(net, iso, server, third, host, host_t):
    with net.third.listen(third, 80) as there, net.host.listen(host_t, 22) as here:
        out, out_far = session(there, net.host, third, 80)
        into, into_far = session(here, net.third, host_t, 22)
        assert hears(net.host, net.third, third, 53) and hears(net.third, net.host, host_t, 514)
        isolate(iso)
        for mine in (out, into_far):  # the host's ends are closed at once
            with pytest.raises(OSError) as e:
                mine.recv(1)
            assert e.value.errno in (errno.ECONNABORTED, errno.ECONNRESET)
        for theirs in (out_far, into):  # nobody tells the other side: nothing arrives there any more
            theirs.settimeout(0.3)
            with pytest.raises(OSError):
                assert theirs.recv(1)
        with pytest.raises(ConnectionRefusedError):  # local programs are told at once
            net.host.connect(third, 80)
        assert not net.third.reaches(host_t, 22)
        assert not hears(net.host, net.third, third, 53)
        assert not hears(net.third, net.host, host_t, 514)


@pytest.mark.parametrize("server,third,host,host_t", FAMILIES)
def test_only_the_uplink_user_reaches_the_server_and_only_its_port(net, iso, server, third, host, host_t):
    with net.server.listen(server, PORT) as uplink, net.server.listen(server, 22), net.third.listen(third, PORT):
        live = session(uplink, net.host, server, PORT, uid=UPLINKD_UID)
        roots = session(uplink, net.host, server, PORT)
        isolate(iso)
        assert talks(*live), "the live uplink must not notice"
        assert not talks(*roots)
        assert talks(*session(uplink, net.host, server, PORT, uid=UPLINKD_UID))
        assert not net.host.reaches(server, PORT), "root must not reach the server"
        assert not net.host.reaches(server, PORT, uid=12345)
        assert not net.host.reaches(server, 22, uid=UPLINKD_UID)
        assert not net.host.reaches(third, PORT, uid=UPLINKD_UID)


@pytest.mark.parametrize("server,third,host,host_t", FAMILIES)
def test_server_cannot_open_a_connection_from_its_port(net, iso, server, third, host, host_t):
    """Not even to a socket of the uplink's user, whose answers would get out."""
    with net.host.listen(host, 22, uid=UPLINKD_UID):
        assert net.server.reaches(host, 22, source=(server, PORT))
        isolate(iso)
        assert not net.server.reaches(host, 22, source=(server, PORT))


def test_idle_uplink_hears_what_the_server_says_first(net, iso):
    """Stateless rules: no connection tracking that would have had to see the connection begin."""
    with net.server.listen(Net.SERVER4, PORT) as uplink:
        near, far = session(uplink, net.host, Net.SERVER4, PORT, uid=UPLINKD_UID)
        isolate(iso)
        far.sendall(b"push")
        assert near.recv(4) == b"push"


def test_loopback_and_own_addresses_live(net, iso):
    addresses = ["127.0.0.1", "::1", Net.HOST4, Net.HOST6]
    listeners = [net.host.listen(a, 7000) for a in addresses]
    live = [session(l, net.host, a, 7000) for l, a in zip(listeners, addresses)]
    isolate(iso)
    assert all(talks(*pair) for pair in live), "the cut must spare connections to the host itself"
    assert all(net.host.reaches(a, 7000) for a in addresses)


def test_idle_foreign_connections_end_within_a_second_and_uplinks_stay(net, iso):
    with net.third.listen(Net.THIRD4, 80) as there, net.server.listen(Net.SERVER6, PORT) as uplink:
        idle = [session(there, net.host, Net.THIRD4, 80) for _ in range(100)]
        mapped = net.host.open_socket(socket.AF_INET6)  # an IPv6 socket that talks IPv4
        mapped.connect(("::ffff:" + Net.THIRD4, 80))
        kept = [session(uplink, net.host, Net.SERVER6, PORT, uid=UPLINKD_UID) for _ in range(5)]
        isolate(iso)
        for s in [mapped, *(near for near, _ in idle)]:
            s.settimeout(1)
            with pytest.raises(ConnectionAbortedError):
                s.recv(1)
        assert all(talks(*pair) for pair in kept)


@pytest.mark.parametrize("server,third,host,host_t", FAMILIES)
def test_exceptions_open_their_direction_port_and_address_only(net, iso, server, third, host, host_t):
    isolate(iso, exceptions=[
        exception(OUTBOUND, TCP, third, remote=(80, 81)),
        exception(INBOUND, TCP, third, local=(22, 22)),
        exception(OUTBOUND, UDP, third, remote=(53, 53)),
    ])
    with net.third.listen(third, 81), net.third.listen(third, 82), net.host.listen(host_t, 22), net.host.listen(host_t, 23), \
            net.server.listen(server, 81):
        assert net.host.reaches(third, 81)
        assert not net.host.reaches(third, 82)
        assert not net.host.reaches(server, 81)
        assert net.third.reaches(host_t, 22)
        assert not net.third.reaches(host_t, 23)
        assert not net.server.reaches(host_t, 22)
        # The way of the answers opens no connection.
        assert not net.third.reaches(host_t, 23, source=(third, 80))
        assert not net.host.reaches(third, 82, source=(host_t, 22))
    assert hears(net.host, net.third, third, 53)
    assert not hears(net.host, net.third, third, 54)
    assert not hears(net.third, net.host, host_t, 53)


@pytest.mark.parametrize("server,third,host,host_t", FAMILIES)
def test_outbound_exception_without_a_protocol_lets_nobody_in(net, iso, server, third, host, host_t):
    isolate(iso, exceptions=[exception(OUTBOUND, 0, third)])
    with net.third.listen(third, 80) as there, net.host.listen(host_t, 22):
        assert talks(*session(there, net.host, third, 80))
        assert not net.third.reaches(host_t, 22)


def test_exception_of_a_network_both_ways(net, iso):
    isolate(iso, exceptions=[exception(BOTH, 0, "10.77.2.0/24"), exception(BOTH, ICMP)])
    with net.third.listen(Net.THIRD4, 80), net.third.listen(Net.THIRD6, 80), net.host.listen(Net.HOST_T4, 22):
        assert net.host.reaches(Net.THIRD4, 80) and net.third.reaches(Net.HOST_T4, 22)
        assert not net.host.reaches(Net.THIRD6, 80)
    assert net.host.run("ping", "-c1", "-W1", Net.SERVER4, check=False).returncode == 0


def test_host_rules_still_decide_about_exceptions(net, iso):
    """Exceptions return to the administrator's rules; they do not overrule them."""
    net.host.run("iptables-legacy", "-A", "OUTPUT", "-d", Net.THIRD4, "-j", "DROP")
    isolate(iso, exceptions=[exception(BOTH, 0, Net.THIRD4), exception(BOTH, 0, Net.THIRD6)])
    with net.third.listen(Net.THIRD4, 80), net.third.listen(Net.THIRD6, 80):
        assert not net.host.reaches(Net.THIRD4, 80)
        assert net.host.reaches(Net.THIRD6, 80)


@pytest.mark.parametrize("target", [Net.SERVER4, Net.THIRD4, Net.SERVER6, Net.THIRD6])
def test_icmp_and_unknown_protocols_are_cut(net, iso, target):
    def raw(protocol):
        with net.host.open_socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_RAW, protocol=protocol) as s:
            s.sendto(b"\0" * 8, (target, 0))
    assert net.host.run("ping", "-c1", "-W1", target, check=False).returncode == 0
    raw(47)
    isolate(iso)
    assert net.host.run("ping", "-c1", "-W1", target, check=False).returncode != 0
    for protocol in (47, 50, 132):  # GRE, ESP, SCTP
        with pytest.raises(OSError):
            raw(protocol)


def test_ipv6_uplink_finds_its_neighbour_again(net, iso):
    with net.server.listen(Net.SERVER6, PORT) as uplink:
        isolate(iso)
        for ns in (net.host, net.server):
            ns.run("ip", "-6", "neigh", "flush", "all")
        assert talks(*session(uplink, net.host, Net.SERVER6, PORT, uid=UPLINKD_UID))


@pytest.mark.parametrize("transit", [False, True], ids=["block", "allow"])
def test_transit_traffic(net, iso, transit):
    with net.third.listen(Net.THIRD4, 80), net.third.listen(Net.THIRD6, 80), net.server.listen(Net.SERVER4, PORT):
        assert net.behind.reaches(Net.THIRD4, 80) and net.behind.reaches(Net.THIRD6, 80)
        isolate(iso, transit=transit, exceptions=[exception(BOTH, 0, Net.THIRD4)])
        assert net.behind.reaches(Net.THIRD4, 80) == transit
        assert net.behind.reaches(Net.THIRD6, 80) == transit
        assert net.behind.reaches(Net.SERVER4, PORT) == transit, "the uplink is the host's, not of machines behind it"


MANAGEMENT = f"[Management]\nAddresses = {Net.THIRD4}, {Net.THIRD6}\nPorts = 13000\nAgentPort = 15000\n"


@pytest.mark.parametrize("iso", [pytest.param(MANAGEMENT, id="configured")], indirect=True)
def test_management_server_is_reached_when_configured(net, iso):
    isolate(iso)
    for third, host in ((Net.THIRD4, Net.HOST_T4), (Net.THIRD6, Net.HOST_T6)):
        with net.third.listen(third, 13000), net.third.listen(third, 13001):
            assert net.host.reaches(third, 13000)
            assert not net.host.reaches(third, 13001)
        assert hears(net.third, net.host, host, 15000)
        assert not hears(net.third, net.host, host, 15001)


def test_ten_thousand_exceptions_hold(net, iso):
    many = [exception(OUTBOUND, TCP, f"10.{i >> 8 & 255}.{i & 255}.1", remote=(443, 443)) for i in range(9999)]
    result = isolate(iso, exceptions=[*many, exception(OUTBOUND, TCP, Net.THIRD4, remote=(80, 80))])
    assert result.exceptions == 10000
    with net.third.listen(Net.THIRD4, 80), net.third.listen(Net.THIRD4, 81):
        assert net.host.reaches(Net.THIRD4, 80)
        assert not net.host.reaches(Net.THIRD4, 81)
    with iso.client() as agentd:
        assert agentd.release().state == "RELEASED"
    assert wait_for(lambda: "PICKET" not in rules(net.host), 1)
