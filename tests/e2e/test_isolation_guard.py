"""Who may order isolation, what is refused, and what isolatord itself may do. isolatord alone, in a namespace without neighbours."""

import os
import re
import signal

import pytest

from harness import AGENTD_UID, COLLECTORD_UID, GID, UPLINKD_UID, wait_for
from ipcclient import (BOTH, INBOUND, ISOLATION_ORDER, ISOLATION_QUERY, OUTBOUND, TCP, UDP, Closed, exception, field, message, order,
                       sealed_memfd)
from isolator import Isolator
from netns import Namespace, rules

UPLINK = [("192.0.2.1", 443)]


@pytest.fixture(scope="module")
def ns():
    n = Namespace("guard")
    yield n
    n.remove()


@pytest.fixture
def iso(ns, request):
    i = Isolator(ns)
    try:
        yield i.start()
        i.once("--release")
    finally:
        i.close(getattr(request.node, "failed_in_call", True))


def untouched(ns, iso):
    return rules(ns) == "" and not iso.order_file.exists()


@pytest.mark.parametrize("uid", [UPLINKD_UID, COLLECTORD_UID, 65534, AGENTD_UID + 1000])
def test_users_without_business_are_refused(ns, iso, uid):
    with pytest.raises((Closed, PermissionError)):
        iso.client(uid=uid, gid=GID)
    wait_for(lambda: f"uid={uid}" in iso.log(), 2, "the refusal in the log")
    assert "ipc.refused" in iso.log() and untouched(ns, iso)


def test_users_outside_the_group_cannot_even_connect(iso):
    with pytest.raises(PermissionError):
        iso.client(uid=65534, gid=65534)


def test_root_may_release_and_ask_but_not_isolate(ns, iso):
    with iso.client(uid=0, gid=0) as root:
        result = root.isolate(uplink=UPLINK)
        assert not result.accepted and result.state == "RELEASED" and "picketctl" in result.text
        assert untouched(ns, iso)
        assert root.query().state == "RELEASED"
        assert root.release().accepted


HOSTILE = {
    "no origin": order(True, uplink=UPLINK, origin=0),
    "too long": order(True, uplink=UPLINK, duration_s=9999 * 3600 + 1),
    "command id": order(True, uplink=UPLINK, command_id=b"x" * 65),
    "uplink address": order(True) + message(4, field(1, b"123") + field(2, 443)),
    "uplink port 0": order(True, uplink=[("192.0.2.1", 0)]),
    "uplink port": order(True, uplink=[("192.0.2.1", 65536)]),
    "uplink unspecified": order(True, uplink=[("0.0.0.0", 443)]),
    "uplink multicast": order(True, uplink=[("ff02::1", 443)]),
    "uplink mapped": order(True, uplink=[("::ffff:192.0.2.1", 443)]),
    "too many uplinks": order(True, uplink=[("192.0.2.1", 443)] * 65),
    "too many exceptions": order(True, exceptions=[exception(BOTH, TCP)] * 10001),
    "no direction": order(True, exceptions=[exception(0, TCP, "192.0.2.1")]),
    "protocol": order(True, exceptions=[exception(BOTH, 256, "192.0.2.1")]),
    "ports both": order(True, exceptions=[exception(BOTH, TCP, "192.0.2.1", remote=(1, 2))]),
    "remote ports inbound": order(True, exceptions=[exception(INBOUND, TCP, "192.0.2.1", remote=(1, 2))]),
    "local ports outbound": order(True, exceptions=[exception(OUTBOUND, TCP, "192.0.2.1", local=(1, 2))]),
    "ports without protocol": order(True, exceptions=[exception(OUTBOUND, 0, "192.0.2.1", remote=(1, 2))]),
    "ports reversed": order(True, exceptions=[exception(OUTBOUND, UDP, "192.0.2.1", remote=(2, 1))]),
    "ports too high": order(True, exceptions=[exception(OUTBOUND, UDP, "192.0.2.1", remote=(2, 65536))]),
    "prefix": order(True) + message(5, field(1, BOTH) + field(3, b"\xc0\0\2\1") + field(4, 33)),
    "prefix alone": order(True) + message(5, field(1, BOTH) + field(2, TCP) + field(4, 8)),
    "address length": order(True) + message(5, field(1, BOTH) + field(3, b"\xc0\0\2\1\0") + field(4, 8)),
    "all traffic": order(True, exceptions=[exception(BOTH, 0)]),
    "all traffic v4": order(True, exceptions=[exception(BOTH, 0, "0.0.0.0/0")]),
    "unknown field": order(True, uplink=UPLINK) + field(99, 1),
    "enum": order(True, uplink=UPLINK, origin=7),
    "cut": order(True, uplink=UPLINK)[:-1],
    "not protobuf": b"\xff" * 64,
}


@pytest.mark.parametrize("packed", HOSTILE.values(), ids=[k.replace(" ", "-") for k in HOSTILE])
def test_hostile_orders_are_refused_with_nothing_changed(ns, iso, packed):
    fd = sealed_memfd(packed)
    try:
        with iso.client() as agentd:
            for record, fds in ((packed, ()), (b"", [fd])):
                if len(record) > 150000:
                    continue
                result = agentd.request(ISOLATION_ORDER, record, fds)
                assert not result.accepted and result.text and result.state == "RELEASED", result
    finally:
        os.close(fd)
    assert untouched(ns, iso)


def test_refused_order_leaves_the_order_in_force(ns, iso):
    with iso.client() as agentd:
        agentd.isolate(uplink=UPLINK)
        before = rules(ns)
        result = agentd.request(ISOLATION_ORDER, HOSTILE["prefix"])
        assert not result.accepted and result.state == "ISOLATED"
    assert rules(ns) == before


def test_release_is_never_refused_for_its_decoration(ns, iso):
    with iso.client() as agentd:
        agentd.isolate(uplink=UPLINK)
        result = agentd.request(ISOLATION_ORDER, order(False, uplink=[("0.0.0.0", 0)], duration_s=1 << 60, origin=0))
        assert result.accepted and result.state == "RELEASED", result
    assert untouched(ns, iso)


def test_descriptor_that_can_still_change_is_refused(ns, iso):
    fd = sealed_memfd(order(True, uplink=UPLINK), seals=0)
    with iso.client() as agentd:
        result = agentd.request(ISOLATION_ORDER, b"", [fd])
        assert not result.accepted and "sealed" in result.text
        result = agentd.request(ISOLATION_ORDER, order(True, uplink=UPLINK), [fd])
        assert not result.accepted
        os.close(fd)
        assert agentd.query().state == "RELEASED"
    assert untouched(ns, iso)


@pytest.mark.parametrize("record", [(200, b""), (ISOLATION_QUERY, b"\x08\x01"), (ISOLATION_QUERY, b"x" * 100)],
                         ids=["unknown-type", "unknown-field", "oversize"])
def test_broken_rules_end_the_link_not_the_daemon(iso, record):
    with iso.client() as agentd:
        agentd.send(record[0], 1, record[1])
        with pytest.raises(Closed):
            while True:
                agentd.receive()
    with iso.client() as agentd:
        assert agentd.query().state == "RELEASED"


def test_agentd_is_told_what_changes_by_itself(iso):
    with iso.client() as agentd, iso.client(uid=0, gid=0) as root:
        agentd.isolate(uplink=UPLINK, command_id=b"c-1")
        assert root.release().state == "RELEASED"
        assert agentd.notice().state == "RELEASED"

        def last_report():
            agentd.query()
            return agentd.reports[-1] if agentd.reports else ({}, {})
        wait_for(lambda: last_report()[0].get("orders") == 2, 3, "a report about both orders")
        assert last_report()[1]["backend"] == "iptables" and last_report()[1]["state"] == "RELEASED"


def status_of(pid):
    text = open(f"/proc/{pid}/status").read()
    return dict(re.findall(r"^(\w+):\s+(.*)$", text, re.M))


def test_process_keeps_two_capabilities_and_its_filter(iso):
    status = status_of(iso.pid)
    wanted = (1 << 12) | (1 << 13)  # CAP_NET_ADMIN, CAP_NET_RAW
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[name], 16) == wanted, name
    assert int(status["CapInh"], 16) == int(status["CapAmb"], 16) == 0
    assert status["Uid"].split() == ["0"] * 4 and status["Gid"].split() == [str(GID)] * 4
    assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
    assert os.stat(iso.order_file.parent).st_mode & 0o777 == 0o700


@pytest.mark.parametrize("probe", ["execve", "ptrace", "mount"])
def test_forbidden_call_kills_it(iso, probe):
    iso.kill()
    done = iso.once("--sandbox-probe", probe)
    assert -done.returncode == signal.SIGSYS or done.returncode == 128 + signal.SIGSYS, done


@pytest.mark.parametrize("probe", ["inet-socket", "open-etc-shadow"])
def test_refused_call_is_refused(iso, probe):
    iso.kill()
    assert iso.once("--sandbox-probe", probe).returncode == 0


@pytest.mark.parametrize("config,needle", [
    ("[Management]\nAddresses = ksc.example.com\n", "Addresses"),
    ("[Management]\nPorts = 0\n", "Ports"),
    ("[isolatord]\nBackend = pf\n", "Backend"),
    ("[isolatord]\nColour = red\n", "Colour"),
])
def test_bad_configuration_is_one_line_and_exit_3(ns, config, needle):
    i = Isolator(ns, config)
    try:
        for args in ([], ["-n"], ["--release"]):
            done = i.once(*args)
            assert done.returncode == 3 and needle in done.stderr and done.stderr.count("\n") == 1, done
    finally:
        i.close()


def test_second_isolatord_is_refused(iso):
    done = iso.once()
    assert done.returncode == 1 and "another isolatord runs" in done.stderr
    with iso.client() as agentd:
        assert agentd.query().state == "RELEASED"
