"""agentd over its real links: who may say what, commands executed once, the descriptor that outlives collectord, isolation without uplinkd."""

import json
import os
import time

import pytest

from brain import (COLLECT_CONFIG, DONE, EXPIRED, FAILED, REFUSED, SERVER_COMMAND, SOURCE_HANDOVER, SOURCE_KEEP, UPLINK_CONFIG,
                   UPLINK_ENDPOINTS, Brain, FakeIsolatord, command, isolate, release, set_settings, task)
from harness import wait_for
from ipcclient import ISOLATION_RESULT, OUTBOUND, TCP, Closed, decode, endpoint, exception, field, message

ISOLATED, RELEASED, FAILED_STATE = 2, 1, 3


@pytest.fixture
def brain(request):
    b = Brain(getattr(request, "param", ""))
    try:
        yield b
    finally:
        b.close(getattr(request.node, "failed_in_call", True))


def closes(peer):
    """Does agentd end this link?"""
    try:
        while True:
            peer.receive()
    except Closed:
        return True


# ---- who may say what ----
@pytest.mark.parametrize("who, kind, payload", [
    ("collectord", SERVER_COMMAND, field(1, b"x")),
    ("collectord", UPLINK_ENDPOINTS, b""),
    ("collectord", 34, field(1, 1)),           # a picketctl's request
    ("uplinkd", SOURCE_KEEP, field(1, b"kernel")),
    ("uplinkd", 36, field(1, 1)),
    ("uplinkd", ISOLATION_RESULT, b""),        # isolatord's, and not on this link
    ("uplinkd", 64, b""),                      # an order to isolate: agentd takes none
    ("collectord", 999, b""),
    ("collectord", 3, b"\xff"),
    ("uplinkd", UPLINK_ENDPOINTS, message(1, endpoint("10.0.0.1", 70000))),
])
def test_record_that_breaks_the_rules_ends_the_link(brain, who, kind, payload):
    with getattr(brain, who)() as peer:
        peer.send(kind, 1, payload)
        assert closes(peer)
    assert brain.ctl("status").returncode == 0
    assert "ipc.violation" in brain.log() or "endpoints" in brain.log() or kind == UPLINK_ENDPOINTS


def test_person_is_not_a_daemon(brain):
    with brain.peer(0, 0) as root:
        root.send(SERVER_COMMAND, 0, field(1, b"x"))
        assert closes(root)
    with brain.peer(65534) as reader:
        reader.send(SOURCE_KEEP, 0, field(1, b"kernel"))
        assert closes(reader)


def test_second_collectord_takes_over_from_the_first(brain):
    with brain.collectord() as first:
        first.next(COLLECT_CONFIG)
        with brain.collectord() as second:
            second.next(COLLECT_CONFIG)
            assert closes(first)
            brain.must("task", "start", "20")
            assert second.until(COLLECT_CONFIG, lambda f: f.get(1) == [1])


# ---- tasks over restarts ----
def test_task_is_starting_until_collectord_is_told_and_started_again_after_kill_nine(brain):
    brain.must("task", "start", "KATAEDR", "--with-dependencies")
    assert brain.task("Behavior_Detection")["state"] == "Starting"
    assert brain.task("Behavior_Detection")["reason"] == "collectord is not connected"
    with brain.collectord() as collectord, brain.uplinkd() as uplinkd:
        collectord.until(COLLECT_CONFIG, lambda f: f.get(1) == [1] and f.get(3) == [1])
        uplinkd.until(UPLINK_CONFIG, lambda f: f.get(1) == [1])
        wait_for(lambda: brain.task("KATAEDR")["state"] == "Started", what="KATAEDR")
        assert brain.task("KATAEDR")["reason"] == ""
    wait_for(lambda: brain.task("Behavior_Detection")["reason"] == "collectord is not connected", what="the reason")
    assert brain.task("Behavior_Detection")["state"] == "Started"
    brain.restart()
    with brain.collectord() as collectord:
        assert collectord.until(COLLECT_CONFIG, lambda f: f.get(1) == [1])


def test_kataedr_waits_for_its_client_certificate(brain):
    brain.must("settings", "set", "KATAEDR", "UseClientPinnedCertificate=Yes")
    with brain.collectord(), brain.uplinkd() as uplinkd:
        uplinkd.report({"client_certificate": "client.pem: missing"})
        wait_for(lambda: "client_certificate" in brain.must("status", "--json"), what="the report")
        done = brain.ctl("task", "start", "KATAEDR", "--with-dependencies")
        assert done.returncode == 70 and "client certificate" in done.stderr and "client.pem: missing" in done.stderr
        assert brain.task("Behavior_Detection")["state"] == "Stopped", "all or nothing"
        uplinkd.report({"client_certificate": "present"})
        wait_for(lambda: brain.ctl("task", "start", "KATAEDR", "--with-dependencies").returncode == 0, what="KATAEDR")
        config = uplinkd.until(UPLINK_CONFIG, lambda f: f.get(1) == [1])
        assert config[4] == [1]


# ---- what the daemons are told ----
def test_uplinkd_is_told_every_setting_and_the_state_of_the_host(brain):
    brain.must("settings", "set", "KATAEDR", "Address=edr.example", "Port=8443", "SynchronizationPeriod=2s", "UseProxy=Yes",
               "ProxyServer=http://u:p@proxy:3128", "Servers.item_0000.Address=2001:db8::7", "MaximumNumberOfEventsInPackage=7")
    with brain.uplinkd() as uplinkd:
        config, _ = uplinkd.next(UPLINK_CONFIG)
        assert [decode(s) for s in config[3]] == [{1: [b"edr.example"], 2: [8443]}, {1: [b"2001:db8::7"], 2: [443]}]
        assert config[2] == [brain.agent_id().encode()]
        assert config[5] == [2] and config[6] == [10] and config[7] == [10] and config[8] == [30] and config[9] == [7]
        assert config[10] == [b"http://u:p@proxy:3128"]
        state = decode(config[11][0])
        assert state[1] == [os.uname().nodename.encode()]
        assert state[6] == [os.uname().release.encode()]
        assert state[8] == [1]
        assert {decode(t)[1][0] for t in state[9]} == {20, 24}
        brain.must("settings", "set", "KATAEDR", "UseProxy=No")
        assert 10 not in uplinkd.until(UPLINK_CONFIG, lambda f: decode(f[11][0])[8] == [2])


def test_collectord_is_told_exclusions_only_while_mdr_is_off(brain):
    with brain.collectord() as collectord:
        assert 2 not in collectord.next(COLLECT_CONFIG)[0]
        brain.must("exclusion", "add", "/opt/**")
        rules = collectord.next(COLLECT_CONFIG)[0][2]
        assert [decode(r)[2] for r in rules] == [[b"/opt/**"]]
        brain.must("settings", "set", "KATAEDR", "UseMDR=Yes")
        assert 2 not in collectord.next(COLLECT_CONFIG)[0]
        assert "UseMDR=Yes" in brain.must("exclusion", "list")
        brain.must("settings", "set", "KATAEDR", "UseMDR=No")
        assert len(collectord.next(COLLECT_CONFIG)[0][2]) == 1
    brain.restart()
    with brain.collectord() as collectord:
        assert len(collectord.next(COLLECT_CONFIG)[0][2]) == 1


# ---- the descriptor that outlives collectord ----
def test_descriptor_of_a_dead_collectord_goes_to_the_next_and_to_the_one_after(brain):
    read_end, write_end = os.pipe()
    with brain.collectord() as first:
        assert first.next(SOURCE_HANDOVER)[1] == []
        first.send(SOURCE_KEEP, 0, field(1, b"kernel"), [read_end])
        os.close(read_end)
        os.write(write_end, b"unread")
        wait_for(lambda: "source.kept" in brain.log(), what="the descriptor to arrive")
    for _ in range(2):
        with brain.collectord() as heir:
            kind, fds = heir.next(SOURCE_HANDOVER)
            assert kind[1] == [b"kernel"] and len(fds) == 1
            os.close(fds[0])
    with brain.collectord() as last:
        _, fds = last.next(SOURCE_HANDOVER)
        assert os.read(fds[0], 100) == b"unread", "agentd must not read it"
        os.close(fds[0])
        last.send(SOURCE_KEEP, 0, b"")
        wait_for(lambda: "source.released" in brain.log(), what="agentd to let go")
    os.set_blocking(write_end, True)
    with pytest.raises(BrokenPipeError):
        os.write(write_end, b"x")
    os.close(write_end)


@pytest.mark.parametrize("brain", ["[agentd]\nSourceKeepTime = 1s\n"], indirect=True)
def test_descriptor_is_let_go_when_no_collectord_comes_for_it(brain):
    read_end, write_end = os.pipe()
    with brain.collectord() as first:
        first.send(SOURCE_KEEP, 0, field(1, b"kernel"), [read_end])
        os.close(read_end)
        wait_for(lambda: "source.kept" in brain.log(), what="the descriptor to arrive")
    wait_for(lambda: "no collectord came for it" in brain.log(), what="agentd to let go")
    with pytest.raises(BrokenPipeError):
        os.write(write_end, b"x")
    os.close(write_end)


# ---- commands of the server ----
def settings_revision(brain):
    return json.loads(brain.must("settings", "get", "KATAEDR", "--json"))["revision"]


def test_command_is_executed_once_and_answered_from_memory_also_after_kill_nine(brain):
    packed = command(brain.agent_id(), kind=set_settings(Port=8443))
    with brain.uplinkd() as uplinkd:
        first = uplinkd.command(packed)
        assert first[:2] == ("c-1", DONE)
        brain.must("settings", "set", "KATAEDR", "Port=9443")
        assert uplinkd.command(packed) == first
    brain.restart()
    with brain.uplinkd() as uplinkd:
        assert uplinkd.command(packed) == first
    assert "Port=9443" in brain.must("settings", "get", "KATAEDR")
    assert settings_revision(brain) == 2


def test_late_command_is_not_executed(brain):
    with brain.uplinkd() as uplinkd:
        result = uplinkd.command(command(brain.agent_id(), kind=set_settings(Port=8443), expires_ms=int(time.time() * 1000) - 1))
        assert result[1] == EXPIRED
        result = uplinkd.command(command(brain.agent_id(), "c-2", set_settings(Port=8443), expires_ms=int(time.time() * 1000) + 60000))
        assert result[1] == DONE


@pytest.mark.parametrize("packed, word", [
    (lambda agent: command("somebody-else", kind=set_settings(Port=1)), "another agent"),
    (lambda agent: command(agent), "no kind"),
    (lambda agent: command(agent, kind=message(31, b"")), "unknown field"),
    (lambda agent: command(agent, kind=message(18, b"\xff\xff")), "malformed"),
    (lambda agent: command(agent, kind=message(19, field(1, b"KATAEDR") + field(2, 99))), "enum"),
    (lambda agent: command(agent) + b"\x0f", "malformed"),
])
def test_command_that_is_malformed_unknown_or_for_another_is_refused_and_reported(brain, packed, word):
    with brain.uplinkd() as uplinkd:
        name, status, text, _ = uplinkd.command(packed(brain.agent_id()))
        assert (name, status) == ("c-1", REFUSED)
        assert word in text
        # And it is not remembered: a good one of that id is executed.
        assert uplinkd.command(command(brain.agent_id(), kind=set_settings(Port=8443)))[1] == DONE


def test_command_without_an_id_harms_nothing(brain):
    with brain.uplinkd() as uplinkd:
        for packed in (b"", b"\xff" * 20, field(1, b"a b"), command(brain.agent_id(), "x" * 65)):
            uplinkd.send(SERVER_COMMAND, 0, field(1, packed))
        assert uplinkd.command(command(brain.agent_id(), kind=set_settings(Port=8443)))[1] == DONE
    assert settings_revision(brain) == 1


def test_command_that_cannot_be_done_is_failed_with_the_reason(brain):
    agent = brain.agent_id()
    with brain.uplinkd() as uplinkd:
        name, status, text, _ = uplinkd.command(command(agent, "a", set_settings(Port=70000)))
        assert status == FAILED and "65535" in text
        name, status, text, _ = uplinkd.command(command(agent, "b", task("KATAEDR", 2)))
        assert status == FAILED and "Behavior_Detection" in text
        name, status, text, _ = uplinkd.command(command(agent, "c", isolate()))
        assert status == FAILED and "isolatord is not connected" in text
        name, status, text, _ = uplinkd.command(command(agent, "d", task("Behavior_Detection", 2)))
        assert status == DONE
    assert settings_revision(brain) == 0


# ---- isolation ----
@pytest.fixture
def isolatord(brain):
    fake = FakeIsolatord(brain)
    wait_for(lambda: json.loads(brain.must("isolate", "status", "--json"))["state"] == "released", what="the first status")
    yield fake
    fake.close()


def ctl_in_background(brain, *args):
    import subprocess
    return subprocess.Popen(brain.command(*args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def endpoints(*pairs):
    return b"".join(message(1, endpoint(*p)) for p in pairs)


def report_endpoints(brain, *pairs):
    before = brain.log().count("uplink.endpoints")
    with brain.uplinkd() as uplinkd:
        uplinkd.send(UPLINK_ENDPOINTS, 0, endpoints(*pairs))
        wait_for(lambda: brain.log().count("uplink.endpoints") > before, what="the endpoints")


def uplink_of(order):
    return sorted((bytes(decode(e)[1][0]), decode(e)[2][0]) for e in order.get(4, []))


def isolate_by_hand(brain, isolatord, *args, until_ms=0):
    ctl = ctl_in_background(brain, "isolate", "on", *args)
    sequence, order = isolatord.take_order()
    isolatord.answer(sequence, ISOLATED, until_ms=until_ms)
    out, err = ctl.communicate(timeout=10)
    assert ctl.returncode == 0, err
    return order, out


def test_root_isolates_and_releases(brain, isolatord):
    order, out = isolate_by_hand(brain, isolatord, "--duration", "2h", "--allow", "out:tcp:10.9.0.0/16:443")
    assert order[1] == [1] and order[2] == [2] and order[3] == [7200]
    assert order[5] == [exception(OUTBOUND, TCP, "10.9.0.0/16", remote=(443, 443))]
    assert "isolated" in out
    ctl = ctl_in_background(brain, "isolate", "off")
    sequence, order = isolatord.take_order()
    assert 1 not in order
    isolatord.answer(sequence, RELEASED)
    assert "released" in ctl.communicate(timeout=10)[0]
    assert not (brain.dir / "state/agentd/isolation-order").exists()


def test_isolation_knows_the_uplink_with_uplinkd_dead_and_agentd_restarted(brain):
    report_endpoints(brain, ("10.0.0.1", 443), ("2001:db8::1", 443))
    brain.restart()
    fake = FakeIsolatord(brain)
    order, _ = isolate_by_hand(brain, fake)
    assert [port for _, port in uplink_of(order)] == [443, 443] and len(uplink_of(order)) == 2
    fake.close()


def test_new_uplink_addresses_are_added_while_isolated_and_the_time_left_is_kept(brain, isolatord):
    report_endpoints(brain, ("10.0.0.1", 443))
    first, _ = isolate_by_hand(brain, isolatord, "--duration", "2h", until_ms=int((time.time() + 600) * 1000))
    report_endpoints(brain, ("10.0.0.2", 443))
    sequence, order = isolatord.take_order()
    assert uplink_of(order) == [(b"\x0a\0\0\x01", 443), (b"\x0a\0\0\x02", 443)]
    assert 590 <= order[3][0] <= 601 and order[1] == [1] and order.get(5) == first.get(5)
    isolatord.answer(sequence, ISOLATED, until_ms=int((time.time() + 600) * 1000))
    # Known ones change nothing; the order survives our own death.
    report_endpoints(brain, ("10.0.0.1", 443), ("10.0.0.2", 443))
    wait_for(lambda: brain.log().count("isolation.state") >= 3, what="the second result")
    brain.restart()
    isolatord.close()
    again = FakeIsolatord(brain, ISOLATED)
    report_endpoints(brain, ("10.0.0.3", 443))
    _, order = again.take_order()
    assert len(uplink_of(order)) == 3 and 3 not in order
    again.close()


def test_addresses_are_not_sent_after_a_release(brain, isolatord):
    report_endpoints(brain, ("10.0.0.1", 443))
    isolate_by_hand(brain, isolatord)
    isolatord.answer(0, RELEASED)  # its deadline passed
    wait_for(lambda: json.loads(brain.must("isolate", "status", "--json"))["state"] == "released", what="the release")
    report_endpoints(brain, ("10.0.0.9", 443))
    ctl = ctl_in_background(brain, "isolate", "off")
    sequence, order = isolatord.take_order()
    assert 1 not in order, "the next order is the release asked for, not the old one extended"
    isolatord.answer(sequence, RELEASED)
    assert ctl.wait(10) == 0


def test_server_isolates_and_hears_when_it_is_in_force(brain, isolatord):
    packed = command(brain.agent_id(), "iso-1", isolate(3600, [exception(OUTBOUND, TCP, "10.1.1.1", remote=(22, 22))]))
    with brain.uplinkd() as uplinkd:
        uplinkd.send(SERVER_COMMAND, 0, field(1, packed))
        sequence, order = isolatord.take_order()
        assert order[2] == [1] and order[3] == [3600] and order[7] == [b"iso-1"] and len(order[5]) == 1
        uplinkd.send(SERVER_COMMAND, 0, field(1, packed))  # again, while it is on its way: one order, one result
        isolatord.answer(sequence, ISOLATED)
        result = decode(uplinkd.next(130)[0][1][0])
        assert result[1] == [b"iso-1"] and result[2] == [DONE]
        assert uplinkd.command(packed)[:2] == ("iso-1", DONE)
        uplinkd.send(SERVER_COMMAND, 0, field(1, command(brain.agent_id(), "iso-2", release())))
        sequence, order = isolatord.take_order()
        assert 1 not in order
        isolatord.answer(sequence, RELEASED)
        assert decode(uplinkd.next(130)[0][1][0])[2] == [DONE]


def test_isolation_that_is_refused_or_not_in_force_is_said(brain, isolatord):
    ctl = ctl_in_background(brain, "isolate", "on")
    sequence, _ = isolatord.take_order()
    isolatord.answer(sequence, RELEASED, accepted=False, text=b"too many exceptions")
    assert "too many exceptions" in ctl.communicate(timeout=10)[1] and ctl.returncode == 65
    with brain.uplinkd() as uplinkd:
        uplinkd.send(SERVER_COMMAND, 0, field(1, command(brain.agent_id(), "x", isolate())))
        sequence, _ = isolatord.take_order()
        isolatord.answer(sequence, FAILED_STATE)
        result = decode(uplinkd.next(130)[0][1][0])
        assert result[2] == [FAILED] and b"not verified" in result[3][0]
    text = brain.must("status")
    assert "ORDERED BUT NOT IN FORCE" in text


def test_isolatord_that_dies_before_it_answers_is_said(brain, isolatord):
    ctl = ctl_in_background(brain, "isolate", "on")
    isolatord.take_order()
    isolatord.close()
    _, err = ctl.communicate(timeout=10)
    assert ctl.returncode == 64 and "isolatord went away" in err


# ---- never waiting ----
def test_status_is_there_within_50_ms_with_every_daemon_hung(brain, isolatord):
    with brain.collectord(), brain.uplinkd(), brain.peer(0, 0) as asker:
        ctl = ctl_in_background(brain, "isolate", "on")
        isolatord.take_order()  # and never answer
        best = 1.0
        for _ in range(5):
            start = time.monotonic()
            asker.sequence += 1
            asker.send(32, asker.sequence, field(1, 1))
            asker.wait(33, asker.sequence)
            best = min(best, time.monotonic() - start)
        assert best < 0.05, best
        ctl.kill()
        ctl.communicate()
