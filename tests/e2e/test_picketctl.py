"""picketctl as a person and as a program use it: every verb, text and JSON, every exit code, terminal and pipe."""

import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

import pbmini
from brain import SERVER_COMMAND, TAIL_EVENTS, TAIL_OPEN, Brain, FakeIsolatord
from harness import BIN, GID, wait_for
from ipcclient import HEADER, field, message

READER = {"user": 65534, "group": GID, "extra_groups": []}
STRANGER = {"user": 65534, "group": 65534, "extra_groups": []}


@pytest.fixture(scope="module")
def brain(request):
    """One agentd for the tests that leave it as it was."""
    b = Brain()
    try:
        yield b
    finally:
        b.close(request.session.testsfailed > 0)


@pytest.fixture
def own(request):
    b = Brain()
    try:
        yield b
    finally:
        b.close(getattr(request.node, "failed_in_call", True))


def one_line(done, code, *words):
    lines = done.stderr.strip().splitlines()
    assert done.returncode == code, done
    assert len(lines) == 1 and lines[0].startswith("picketctl: "), lines
    for word in words:
        assert word in lines[0], lines[0]
    assert done.stdout == ""


# ---- the command line ----
def test_help_lists_every_verb_and_is_no_error(brain):
    done = brain.ctl("--help")
    assert done.returncode == 0 and done.stderr == ""
    for verb in ("status", "stats", "task", "settings", "isolate", "exclusion", "events", "monitor"):
        assert f"\n  {verb} " in done.stdout, verb


def test_version_is_that_of_the_daemons(brain):
    version = subprocess.run([BIN / "agentd", "--version"], stdout=subprocess.PIPE, text=True).stdout.split()[1]
    assert brain.must("--version") == f"picketctl {version}\n"


@pytest.mark.parametrize("args", [
    ["no-such-verb"], ["status", "extra"], ["status", "--frobnicate"], ["task"], ["task", "frob"], ["task", "start"],
    ["task", "list", "20"], ["task", "start", "99"], ["settings"], ["settings", "get"], ["settings", "get", "Behavior_Detection"],
    ["settings", "set", "KATAEDR"], ["settings", "set", "KATAEDR", "Port"], ["settings", "set", "KATAEDR", "--file", "/nonexistent"],
    ["settings", "get", "KATAEDR", "NoSuchKey"], ["settings", "get", "KATAEDR", "--file", "x"],
    ["isolate"], ["isolate", "maybe"], ["isolate", "on", "--duration", "soon"], ["isolate", "on", "--duration"],
    ["isolate", "on", "--allow", "out:tcp:nowhere:1"], ["isolate", "off", "--duration", "2h"], ["isolate", "status", "x"],
    ["exclusion"], ["exclusion", "add"], ["exclusion", "add", "relative/path"], ["exclusion", "add", "/**"],
    ["exclusion", "remove", "x"], ["exclusion", "remove", "4711"], ["events"], ["events", "--follow", "--type", "weather"],
    ["monitor", "--json"], ["--config", "/nonexistent/picket.conf", "status"], ["status", "--config"],
])
def test_bad_arguments_are_refused_in_one_line(brain, args):
    one_line(brain.ctl(*args), 1)


@pytest.mark.parametrize("setting, words", [
    ("SynchronizationPeriod=61", ("SynchronizationPeriod=61", "1 to 60 minutes")),
    ("Port=0", ("Port=0", "1 to 65535")),
    ("EnableTelemetry=perhaps", ("Yes or No",)),
    ("UseProxy=Yes", ("ProxyServer",)),
    ("NoSuchKey=1", ("NoSuchKey",)),
])
def test_bad_value_is_refused_with_what_is_allowed_and_changes_nothing(brain, setting, words):
    before = brain.must("settings", "get", "KATAEDR")
    one_line(brain.ctl("settings", "set", "KATAEDR", "RequestTimeout=77", setting), 2, *words)
    assert brain.must("settings", "get", "KATAEDR") == before


def test_without_agentd_it_says_what_to_do(own):
    own.kill(signal.SIGTERM)
    for args in (["status"], ["task", "list"], ["settings", "get", "24"], ["isolate", "off"], ["exclusion", "list"], ["events", "--follow"],
                 ["stats", "--json"]):
        one_line(own.ctl(*args), 64, "agentd is not running", "start")
    one_line(own.ctl("--socket", "/nonexistent/x.sock", "status"), 64, "/nonexistent/x.sock")


def test_hung_agentd_is_not_waited_for_without_end(own):
    own.popen.send_signal(signal.SIGSTOP)
    start = time.monotonic()
    one_line(own.ctl("status"), 64, "does not answer")
    assert time.monotonic() - start < 15


def test_socket_option_goes_before_the_configuration(brain):
    assert brain.ctl("--socket", brain.socket, "--config", "/nonexistent", "status").returncode == 0
    assert subprocess.run([BIN / "picketctl", "status", f"--socket={brain.socket}"], stdout=subprocess.DEVNULL).returncode == 0


# ---- who may ----
@pytest.mark.parametrize("args", [["status"], ["stats"], ["task", "list"], ["settings", "get", "24"], ["isolate", "status"], ["exclusion", "list"]])
def test_member_of_the_group_may_read(brain, args):
    assert brain.ctl(*args, **READER).returncode == 0


@pytest.mark.parametrize("args", [["task", "start", "20"], ["task", "stop", "20"], ["settings", "set", "24", "Port=1"], ["isolate", "on"],
                                  ["isolate", "off"], ["exclusion", "add", "/x/y"], ["exclusion", "remove", "1"]])
def test_member_of_the_group_may_change_nothing(brain, args):
    one_line(brain.ctl(*args, **READER), 68, "only root")


def test_stranger_is_not_let_in(brain):
    one_line(brain.ctl("status", **STRANGER), 68, "group picket")


def test_proxy_password_is_shown_to_root_only(own):
    own.must("settings", "set", "KATAEDR", "ProxyServer=http://user:s3cret@proxy:3128")
    assert "s3cret" in own.must("settings", "get", "KATAEDR", "ProxyServer")
    assert own.must("settings", "get", "KATAEDR", "ProxyServer", **READER).splitlines()[-1] == "ProxyServer=http://user:***@proxy:3128"
    assert "s3cret" not in own.log()


# ---- status ----
def test_status_answers_the_questions_and_says_why_not(brain):
    text = brain.must("status")
    for word in ("Protected    no: collectord is not connected", "Reporting    no: uplinkd is not connected", "Isolated     unknown",
                 "Losing       no", "agentd", "Behavior_Detection", "KATAEDR", "Stopped"):
        assert word in text, text
    assert len(text.splitlines()) <= 24, "one screen"
    assert "\033" not in text


def test_status_as_json_has_stable_keys(brain):
    status = json.loads(brain.must("status", "--json"))
    assert set(status) == {"host", "agent_id", "time_ms", "protected", "protected_why", "reporting", "reporting_why", "isolated", "losing",
                           "losing_what", "events_seen", "events_sent", "events_waiting", "events_lost", "daemons", "tasks", "isolation"}
    assert status["agent_id"] == brain.agent_id() and status["host"] == os.uname().nodename
    assert [d["name"] for d in status["daemons"]] == ["agentd", "collectord", "uplinkd", "isolatord"]
    assert set(status["daemons"][1]) == {"name", "connected", "pid", "build", "report_age_ms", "facts"}
    assert status["daemons"][0]["pid"] == brain.popen.pid and status["daemons"][0]["connected"] is True
    assert set(status["tasks"][0]) == {"id", "name", "state", "since_ms", "reason"}
    assert set(status["isolation"]) == {"state", "origin", "since_ms", "until_ms", "exceptions", "endpoints", "heals", "backend", "detail"}
    assert status["protected"] is False and status["isolated"] is False


def test_status_of_a_host_where_all_is_well_and_of_one_that_loses(own):
    isolatord = FakeIsolatord(own)
    with own.collectord() as collectord, own.uplinkd() as uplinkd:
        own.must("task", "start", "KATAEDR", "--with-dependencies")
        collectord.report({"rules": "loaded"}, {"events": 12})
        uplinkd.report({"state": "connected"}, {"acked": 11, "spooled_events": 1})

        def status():
            return json.loads(own.must("status", "--json"))
        wait_for(lambda: status()["events_sent"] == 11, what="the reports")
        assert status()["protected"] and status()["reporting"] and not status()["losing"] and status()["events_seen"] == 12
        collectord.report({"rules": "permission denied"}, {"events": 12, "lost_kernel": 5})
        uplinkd.report({"state": "connection refused"}, {"dropped_size": 2})
        wait_for(lambda: status()["events_lost"] == 7, what="the losses")
        text = own.must("status")
        for word in ("collectord: rules is permission denied", "uplinkd: state is connection refused", "5 lost_kernel (collectord)",
                     "2 dropped_size (uplinkd)"):
            assert word in text, text
    isolatord.close()


def test_facts_of_a_daemon_cannot_drive_the_terminal(own):
    with own.uplinkd() as uplinkd:
        uplinkd.report({"state": "\033]0;evil\007\nforged: line"})
        wait_for(lambda: "evil" in own.must("stats"), what="the report")
        for text in (own.must("stats"), own.must("status")):
            assert "\033" not in text and "\007" not in text and "\nforged" not in text
        assert json.loads(own.must("stats", "--json"))["daemons"][2]["facts"]["state"] == "\033]0;evil\007\nforged: line"


def test_stats_show_what_each_daemon_counts(brain):
    with brain.collectord() as collectord:
        collectord.report({"source": "kernel"}, {"records": 3, "big": 2**63 - 1})
        wait_for(lambda: "records" in brain.must("stats"), what="the report")
        stats = json.loads(brain.must("stats", "--json"))
    daemon = stats["daemons"][1]
    assert daemon["name"] == "collectord" and daemon["facts"] == {"source": "kernel"}
    assert daemon["counters"] == {"records": 3, "big": 2**63 - 1}
    assert stats["daemons"][0]["counters"]["requests"] > 0


# ---- tasks ----
def test_task_needs_its_dependency_and_says_what_to_do(own):
    one_line(own.ctl("task", "start", "24"), 70,
             "KATAEDR needs Behavior_Detection, which is stopped: start it first, or use --with-dependencies")
    with own.collectord(), own.uplinkd():
        out = json.loads(own.must("task", "start", "KATAEDR", "--with-dependencies", "--json"))
        assert {t["name"]: t["state"] for t in out["tasks"]} == {"Behavior_Detection": "Started", "KATAEDR": "Started"}
        own.must("task", "stop", "behavior_detection")
        assert own.task("KATAEDR")["state"] == "Started"
        assert own.task("KATAEDR")["reason"] == "telemetry suspended: Behavior_Detection is stopped"
        assert "telemetry suspended" in own.must("task", "list")
        own.must("task", "start", "20")
        assert own.task("KATAEDR")["reason"] == ""
        own.must("task", "stop", "24")
        assert own.task("KATAEDR")["state"] == "Stopped"


# ---- settings ----
def test_settings_that_were_got_can_be_set_again(own, tmp_path):
    own.must("settings", "set", "KATAEDR", "Address=edr.example", "SynchronizationPeriod=2s", "General.UseMDR=Yes",
             "Servers.item_0000.Address=10.0.0.2", "Servers.item_0000.Port=8443", "ProxyServer=http://u:a=b;#@p:1")
    text = own.must("settings", "get", "KATAEDR")
    for line in ("Address=edr.example", "SynchronizationPeriod=2s", "[General]", "UseMDR=Yes", "[Servers.item_0000]", "# local"):
        assert line in text.splitlines(), text
    file = tmp_path / "kataedr.ini"
    file.write_text(text)
    own.must("settings", "set", "KATAEDR", "Address=other", "UseMDR=No", "Servers.item_0000.Address=", "SynchronizationPeriod=5",
             "ProxyServer=")
    assert own.must("settings", "get", "KATAEDR") != text
    own.must("settings", "set", "KATAEDR", "--file", file)
    assert [x for x in own.must("settings", "get", "KATAEDR").splitlines() if "=" in x] == [x for x in text.splitlines() if "=" in x]
    own.ctl("settings", "set", "KATAEDR", "--file", "-", input="Port=9443\n", stdin=None)
    assert "Port=9443" in own.must("settings", "get", "24", "Port")
    before = own.must("settings", "get", "KATAEDR")
    own.restart()
    assert own.must("settings", "get", "KATAEDR") == before


def test_settings_file_that_is_none_is_refused_with_its_line(own, tmp_path):
    file = tmp_path / "bad.ini"
    file.write_text("Port=8443\nthis is no setting\n")
    one_line(own.ctl("settings", "set", "KATAEDR", "--file", file), 1, "line 2")
    file.write_bytes(b"\0" * 100)
    one_line(own.ctl("settings", "set", "KATAEDR", "--file", file), 1)
    assert "Port=443" in own.must("settings", "get", "KATAEDR")


def test_settings_as_json_say_where_each_value_comes_from(own):
    own.must("settings", "set", "KATAEDR", "Port=8443")
    reply = json.loads(own.must("settings", "get", "KATAEDR", "--json"))
    assert reply["revision"] == 1
    by_key = {s["key"]: s for s in reply["settings"]}
    assert by_key["Port"]["origin"] == "local" and by_key["Address"]["origin"] == "default"
    assert by_key["UseMDR"]["section"] == "General" and by_key["Port"]["help"]
    assert [s["key"] for s in json.loads(own.must("settings", "get", "24", "Port", "UseMDR", "--json"))["settings"]] == ["Port", "UseMDR"]


def test_two_who_set_at_once_both_succeed(own):
    running = [subprocess.Popen(own.command("settings", "set", "24", f"Port={8000 + i}", f"RequestTimeout={10 + i}"), stdout=subprocess.DEVNULL)
               for i in range(8)]
    assert [p.wait(20) for p in running] == [0] * 8
    values = {s["key"]: int(s["value"]) for s in json.loads(own.must("settings", "get", "24", "Port", "RequestTimeout", "--json"))["settings"]}
    assert values["Port"] - 8000 == values["RequestTimeout"] - 10, "a mixture of two changes"


# ---- exclusions and isolation ----
def test_exclusions_are_listed_added_and_removed(own):
    assert "(none)" in own.must("exclusion", "list")
    own.must("exclusion", "add", "/opt/backup/**")
    own.must("exclusion", "add", "/usr/bin/with space")
    rules = json.loads(own.must("exclusion", "list", "--json"))
    assert [(r["id"], r["process_path"], r["in_force"]) for r in rules["exclusions"]] == [(1, "/opt/backup/**", True), (2, "/usr/bin/with space", True)]
    assert rules["note"] == ""
    one_line(own.ctl("exclusion", "add", "/opt/backup/**"), 1, "rule 1")
    own.must("exclusion", "remove", "1")
    own.must("settings", "set", "KATAEDR", "UseMDR=Yes")
    rules = json.loads(own.must("exclusion", "list", "--json"))
    assert [r["in_force"] for r in rules["exclusions"]] == [False] and "UseMDR=Yes" in rules["note"]


def test_isolation_without_isolatord_is_refused_in_words(brain):
    for verb in ("on", "off"):
        one_line(brain.ctl("isolate", verb), 64, "isolatord is not connected", "systemctl start picket-isolatord", "--release")
    assert "isolatord is not connected" in brain.must("isolate", "status")


# ---- events ----
def tail_record(*events, skipped=0):
    payload = field(1, skipped) + b"".join(message(2, r) for r in events)
    return HEADER.pack(1, TAIL_EVENTS, 0, len(payload), 0) + payload


def event(sequence, executable="/usr/bin/true", args=("true",)):
    return pbmini.record(7, sequence, pbmini.event(executable=executable, args=args))


class Follower:
    """picketctl with an event stream of a collectord that the test plays."""

    def __init__(self, brain, collectord, *args, **kwargs):
        import socket
        self.popen = subprocess.Popen(brain.command(*args), stdin=subprocess.DEVNULL, stdout=kwargs.get("stdout", subprocess.PIPE),
                                      stderr=subprocess.PIPE, text=True)
        _, fds = collectord.next(TAIL_OPEN)
        self.tail = socket.socket(fileno=fds[0])

    def close(self):
        self.tail.close()
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.communicate()


def test_events_arrive_as_lines_for_people(own):
    with own.collectord() as collectord:
        f = Follower(own, collectord, "events", "--follow")
        f.tail.send(tail_record(event(1, args=("true", "two words", "\033[2J")), event(2, "/bin/other"), skipped=3))
        first, second = f.popen.stdout.readline(), f.popen.stdout.readline()
        assert "/usr/bin/true" in first and '"two words"' in first and "\033" not in first
        assert "/bin/other" in second
        f.tail.close()
        _, err = f.popen.communicate(timeout=10)
        assert f.popen.returncode == 64 and "3 events skipped" in err and "collectord ended the stream" in err


def test_events_arrive_as_ecs_for_programs_and_only_of_the_type_asked_for(own):
    with own.collectord() as collectord:
        f = Follower(own, collectord, "events", "--follow", "--json", "--type", "process")
        f.tail.send(tail_record(pbmini.record(7, 1, pbmini.number(1, 8), 8), event(2, args=("true", "b\xe9"))))
        got = json.loads(f.popen.stdout.readline())
        assert got["process"]["args"] == ["true", "b\xe9"] and got["host"]["name"] == os.uname().nodename
        assert got["agent"]["id"] == own.agent_id()
        f.close()


def test_events_need_collectord(brain):
    done = brain.ctl("events", "--follow")
    assert done.returncode == 64 and "collectord is not connected" in done.stderr


def test_garbage_in_the_stream_ends_it_with_an_error(own):
    with own.collectord() as collectord:
        f = Follower(own, collectord, "events", "--follow")
        f.tail.send(b"garbage")
        assert f.popen.wait(10) == 65
        f.close()


def test_event_stream_does_not_pass_through_agentd(own):
    with own.collectord() as collectord:
        f = Follower(own, collectord, "events", "--follow")
        f.tail.send(tail_record(event(1, "/usr/bin/before")))
        assert "/usr/bin/before" in f.popen.stdout.readline()
        own.kill()
        f.tail.send(tail_record(event(2)))
        assert "/usr/bin/true" in f.popen.stdout.readline()
        f.close()


# ---- monitor ----
class Terminal:
    def __init__(self, command, rows=24, columns=100, env=()):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", **dict(env))
            os.execv(command[0], command)
        self.resize(rows, columns)
        self.text = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def shows(self, word):
        while select.select([self.fd], [], [], 0.02)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                break
            if not data:
                break
            self.text += data.decode(errors="replace")
        return word in self.text

    def wait(self, word):
        wait_for(lambda: self.shows(word), what=f"{word!r} on the terminal")

    def end(self, sig):
        os.kill(self.pid, sig)
        self.shows("")
        _, status = os.waitpid(self.pid, 0)
        self.shows("")
        os.close(self.fd)
        return os.waitstatus_to_exitcode(status)


def test_monitor_keeps_a_header_over_the_live_events_and_puts_the_terminal_back(own):
    import socket
    with own.collectord() as collectord:
        t = Terminal(own.command("monitor"))
        _, fds = collectord.next(TAIL_OPEN)
        tail = socket.socket(fileno=fds[0])
        t.wait("isolation:")
        for word in ("agentd up", "collectord up", "uplinkd DOWN", "isolatord DOWN", "seen 0", "lost 0", "\033[5;24r"):
            t.wait(word)
        tail.send(tail_record(event(1, "/usr/bin/seen-live")))
        t.wait("/usr/bin/seen-live")
        collectord.report({}, {"events": 4711})
        t.wait("seen 4711")
        t.resize(40, 120)
        t.wait("\033[5;40r")
        t.resize(8, 120)  # too small for a header
        t.wait("\033[r\033[H")
        t.resize(30, 120)
        t.wait("\033[5;30r")
        tail.close()
        assert t.end(signal.SIGINT) == 0
        assert t.text.rindex("\033[r") > t.text.rindex("\033[5;30r"), "the scroll region is still set"


def test_monitor_outlives_agentd_and_comes_back_with_it(own):
    t = Terminal(own.command("monitor"), env={"NO_COLOR": "1"})
    t.wait("agentd up")
    own.kill()
    t.wait("agentd DOWN")
    own.start()
    t.text = ""
    t.wait("agentd up")
    assert t.end(signal.SIGTERM) == 0
    assert not re.search(r"\033\[3[0-9]m", t.text), "colours in spite of NO_COLOR"


def test_monitor_does_not_hang_with_agentd(own):
    t = Terminal(own.command("monitor"))
    t.wait("agentd up")
    own.popen.send_signal(signal.SIGSTOP)
    t.wait("agentd DOWN")
    start = time.monotonic()
    assert t.end(signal.SIGINT) == 0
    assert time.monotonic() - start < 2


def test_monitor_into_a_pipe_writes_plain_lines(own):
    with own.collectord() as collectord:
        f = Follower(own, collectord, "monitor")
        assert "collectord up" in f.popen.stdout.readline()
        f.tail.send(tail_record(event(1, "/usr/bin/seen-live")))
        line = f.popen.stdout.readline()
        assert "/usr/bin/seen-live" in line and "\033" not in line
        f.popen.send_signal(signal.SIGTERM)
        assert f.popen.wait(10) == 0
        f.close()


def test_text_has_colours_on_a_terminal_only_and_not_with_no_color(brain):
    t = Terminal(brain.command("status"))
    t.wait("KATAEDR")
    os.waitpid(t.pid, 0)
    assert "\033[31m" in t.text
    t = Terminal(brain.command("status"), env={"NO_COLOR": "1"})
    t.wait("KATAEDR")
    os.waitpid(t.pid, 0)
    assert "\033" not in t.text
