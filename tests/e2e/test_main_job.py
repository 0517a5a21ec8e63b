"""The main job: what happens on this host is at the server, once, whole and soon."""

import json
import os
import shutil
import socket
import subprocess
import sys
import uuid

import pytest

import audit
from harness import BIN, Suite, wait_for

SOON_S = 4  # two seconds past the sync interval of one second, plus this machine's noise


@pytest.fixture(scope="module")
def suite(request):
    """One suite for the tests here: they tell their events apart by a unique name."""
    with audit.ForeignRule():
        before = audit.state()
        s = Suite()
        try:
            s.start()
            yield s
        finally:
            s.close(request.session.testsfailed > 0)
        assert audit.state() == before, "audit is not as it was before the suite"


@pytest.fixture
def token():
    return "picket-" + uuid.uuid4().hex


def find(suite, event_type, match, seconds=SOON_S):
    """The events of a type for which match(event) holds, as soon as there is one."""
    return wait_for(lambda: [e for e in suite.events(event_type) if match(e)], seconds, f"a {event_type} event at the server")


def one(suite, event_type, match, seconds=SOON_S):
    events = find(suite, event_type, match, seconds)
    assert len(events) == 1, events
    return events[0]


def has_token(token):
    return lambda e: any(token in a for a in e["process"].get("args", []))


def test_exec_with_odd_arguments_arrives_whole_and_its_exit_is_paired(suite, token, tmp_path):
    args = ["/bin/sh", "-c", "exit 7", token, "two words", 'double "quotes"', "single 'quotes'", "Grüße 世界", "line\nbreak", "", "tab\there"]
    child = subprocess.Popen(args, cwd=tmp_path)
    assert child.wait() == 7
    event = one(suite, "process", has_token(token))
    process = event["process"]
    assert process["args"] == args
    assert process["args_count"] == len(args)
    assert process["executable"] == os.path.realpath("/bin/sh")
    assert process["working_directory"] == str(tmp_path)
    assert process["pid"] == child.pid
    assert process["parent"]["pid"] == os.getpid()
    assert event["user"]["id"] == "0"
    assert event["event"]["outcome"] == "success"
    end = one(suite, "process_terminate", lambda e: e["process"]["pid"] == child.pid)
    assert end["process"]["exit_code"] == 7
    assert end["event"]["sequence"] > event["event"]["sequence"]


def test_exec_by_another_user_carries_that_user(suite, token):
    subprocess.run(["/bin/true", token], user=65534, group=65534, check=True)
    event = one(suite, "process", has_token(token))
    assert event["user"]["id"] == "65534"


def test_failed_exec_is_an_event_with_its_error(suite, token, tmp_path):
    missing = tmp_path / token
    with pytest.raises(FileNotFoundError):
        subprocess.run([missing])
    event = one(suite, "process", lambda e: token in str(e))
    assert event["event"]["outcome"] == "failure"
    assert event["error"]["code"] in ("ENOENT", "2")


def test_argument_with_bytes_that_are_not_utf8_keeps_every_byte(suite, token):
    raw = b"\xff\xfebytes \x80" + token.encode()
    subprocess.run([b"/bin/true", raw], check=True)
    event = one(suite, "process", has_token(token))
    back = b"".join(bytes([ord(c) & 0xff]) if 0xef80 <= ord(c) <= 0xefff else c.encode() for c in event["process"]["args"][1])
    assert back == raw


def test_file_write_rename_delete_arrive_once_each(suite, token, tmp_path):
    first, second = tmp_path / f"{token} a", tmp_path / f"{token}-b"
    script = ("import os, sys\n"
              "fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)\n"
              "os.write(fd, b'x'); os.close(fd)\n"
              "os.chmod(sys.argv[1], 0o600)\n"
              "os.rename(sys.argv[1], sys.argv[2])\n"
              "os.unlink(sys.argv[2])\n")
    child = subprocess.Popen([sys.executable, "-c", script, first, second])
    assert child.wait() == 0
    one(suite, "filechange", lambda e: e["event"]["action"] == "delete" and e["file"]["path"] == str(second))
    mine = [e for e in suite.events("filechange") if token in e["file"]["path"]]
    actions = [(e["event"]["action"], e["file"]["path"], e["file"].get("target_path")) for e in mine]
    assert sorted(actions, key=str) == sorted([
        ("create", str(first), None), ("permission", str(first), None), ("rename", str(first), str(second)), ("delete", str(second), None),
    ], key=str), actions
    assert {e["process"]["pid"] for e in mine} == {child.pid}
    assert {e["event"]["outcome"] for e in mine} == {"success"}


def test_overwriting_an_existing_file_is_a_modification(suite, token, tmp_path):
    path = tmp_path / token
    path.write_text("old")
    find(suite, "filechange", lambda e: e["file"]["path"] == str(path) and e["event"]["action"] == "create")
    subprocess.run(["/bin/sh", "-c", f"echo new > '{path}'"], check=True)
    event = one(suite, "filechange", lambda e: e["file"]["path"] == str(path) and e["event"]["action"] == "modify")
    assert event["file"]["inode"] == str(path.stat().st_ino)


@pytest.mark.parametrize("family, address", [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_tcp_connection_arrives_once_from_both_ends(suite, family, address):
    script = ("import socket, sys\n"
              "s = socket.socket(int(sys.argv[1]), socket.SOCK_STREAM); s.connect((sys.argv[2], int(sys.argv[3]))); s.recv(1)\n")
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((address, 0))
        listener.listen(5)
        port = listener.getsockname()[1]
        child = subprocess.Popen([sys.executable, "-c", script, str(int(family)), address, str(port)])
        peer, peer_address = listener.accept()
        peer.close()
        assert child.wait() == 0

    def outbound(e):
        return e["network"]["direction"] == "egress" and e.get("destination", {}).get("port") == port

    event = one(suite, "connection", outbound)
    assert event["destination"] == {"ip": address, "port": port, **{k: v for k, v in event["destination"].items() if k == "address"}}
    assert event["process"]["pid"] == child.pid
    assert event["network"]["type"] == ("ipv4" if family == socket.AF_INET else "ipv6")
    event = one(suite, "connection", lambda e: e["network"]["direction"] == "ingress" and e.get("source", {}).get("port") == peer_address[1])
    assert event["source"]["ip"] == address
    assert event["process"]["pid"] == os.getpid()
    listens = find(suite, "portlisten", lambda e: e["process"]["pid"] == os.getpid() and e.get("event", {}).get("action") == "listen")
    assert address in str(listens)


def test_refused_connection_is_an_event_with_its_error(suite):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    with socket.socket() as s:
        with pytest.raises(ConnectionRefusedError):
            s.connect(("127.0.0.1", port))
    event = one(suite, "connection", lambda e: e.get("destination", {}).get("port") == port)
    assert event["event"]["outcome"] == "failure"


def test_excluded_process_is_neither_sent_nor_followed_until_mdr_is_on(suite, tmp_path):
    tool = tmp_path / "excluded-tool"
    shutil.copy("/bin/true", tool)

    def run(name):
        subprocess.run([tool, name], check=True)

    def marker(name):
        subprocess.run(["/bin/true", name], check=True)

    tokens = [uuid.uuid4().hex for _ in range(5)]
    suite.ctl("exclusion", "add", str(tmp_path / "*"), check=True)
    wait_for(lambda: suite.fact("collectord", "exclusions") == "1", what="the exclusion in collectord")
    run(tokens[0])
    marker(tokens[1])
    one(suite, "process", has_token(tokens[1]))
    assert not [e for e in suite.events("process") if has_token(tokens[0])(e)]
    wait_for(lambda: suite.counter("collectord", "excluded") >= 1, what="the excluded event in the books")

    suite.ctl("settings", "set", "KATAEDR", "UseMDR=Yes", check=True)
    wait_for(lambda: suite.fact("collectord", "exclusions") == "0", what="exclusions to stop applying")
    run(tokens[2])
    one(suite, "process", has_token(tokens[2]))
    listing = suite.ctl("exclusion", "list", check=True).stdout
    assert "UseMDR" in listing, listing

    suite.ctl("settings", "set", "KATAEDR", "UseMDR=No", check=True)
    wait_for(lambda: suite.fact("collectord", "exclusions") == "1", what="exclusions to apply again")
    rule = suite.ctl_json("exclusion", "list")["exclusions"][0]["id"]
    suite.ctl("exclusion", "remove", rule, check=True)


def test_administrators_own_audit_rules_stay_beside_ours(suite):
    rules = audit.rules()
    assert len([r for r in rules if b"admins-own" in r]) == 1
    assert len([r for r in rules if b"picket-" in r]) >= 8, "the suite's rules are not loaded"


def test_live_stream_shows_the_event_while_it_happens(suite, token, tmp_path):
    with open(tmp_path / "stream", "wb") as stream:
        follower = subprocess.Popen([BIN / "picketctl", "--config", suite.config, "events", "--follow", "--json"], stdout=stream)
    try:
        def seen():
            subprocess.run(["/bin/true", token], check=True)
            return [line for line in (tmp_path / "stream").read_text().splitlines(keepends=True) if token in line and line.endswith("\n")]
        event = json.loads(wait_for(seen, 10, "the event in the live stream")[0])
        assert event["process"]["args"] == ["/bin/true", token]
    finally:
        follower.terminate()
        follower.wait(5)


def test_status_says_in_words_that_all_is_well(suite):
    text = suite.ctl("status", check=True).stdout
    for word in ("collectord", "uplinkd", "isolatord", "Started", "KATAEDR"):
        assert word in text, text
    assert suite.counter("uplinkd", "dropped_size") == 0


def test_books_balance_at_rest(suite, token):
    subprocess.run(["/bin/true", token], check=True)
    one(suite, "process", has_token(token))
    streams = suite.sql("select epoch, min(sequence), max(sequence), count(*) from event_list group by epoch")
    assert streams
    for epoch, low, high, n in streams:
        assert high - low + 1 == n, f"epoch {epoch}: sequences {low}..{high} but {n} rows"
