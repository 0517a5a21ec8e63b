"""`make run` as a person runs it: in a terminal, stopped by Ctrl-C, killed, and run again."""

import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import time

import pytest

import audit
from harness import BIN, ROOT, wait_for

DIR = pathlib.Path("/run/picket-demo-test")
PROGRAMS = ("agentd", "collectord", "uplinkd", "isolatord", "picket-server", "picketctl")


class Terminal:
    """`make run` on a pseudo terminal of its own session."""

    def __init__(self):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(ROOT)
            os.environ.update(PICKET_RUN_DIR=str(DIR), TERM="xterm", MAKEFLAGS="")
            os.execvp("make", ["make", "--no-print-directory", "run"])
        self.text = ""

    def read(self, seconds=0.05):
        while select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                return
            if not data:
                return
            self.text += data.decode(errors="replace")

    def shows(self, word):
        self.read()
        return word in self.text

    def wait(self, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return status
        raise AssertionError(f"make run did not end within {seconds} s: {self.text[-2000:]}")


def ours_running():
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                exe = os.readlink(entry / "exe")
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.path.basename(exe) in PROGRAMS and str(DIR).encode() in command:
                found.append((int(entry.name), exe))
    return found


def firewall():
    return [subprocess.run([f"{tool}-legacy-save"], stdout=subprocess.PIPE, text=True).stdout for tool in ("iptables", "ip6tables")]


@pytest.fixture
def clean():
    before = audit.state()
    yield
    subprocess.run(["pkill", "-KILL", "-f", "packaging/demo/run"])
    for pid, _ in ours_running():
        os.kill(pid, signal.SIGKILL)
    subprocess.run(["rm", "-rf", DIR])
    wait_for(lambda: audit.status()["pid"] == 0, what="the audit socket to be free")
    assert audit.state() == before


def run_until_events(terminal):
    wait_for(lambda: terminal.shows("isolat") and terminal.shows("collectord"), 30, "the status header")

    def event_shown():
        subprocess.run(["/bin/true", "demo-marker"], check=True)
        return terminal.shows("demo-marker")
    wait_for(event_shown, 20, "a live event in the terminal")


def nothing_left(before):
    assert ours_running() == []
    assert audit.state() == before
    assert not any("PICKET" in text for text in firewall())


def test_make_run_shows_events_and_ctrl_c_leaves_nothing_twice_in_a_row(clean):
    before = audit.state()
    for _ in range(2):
        terminal = Terminal()
        run_until_events(terminal)
        assert len(ours_running()) == len(PROGRAMS)
        os.write(terminal.fd, b"\x03")
        terminal.wait()
        nothing_left(before)


def test_make_run_comes_back_after_kill_nine_of_everything_that_supervises(clean):
    before = audit.state()
    terminal = Terminal()
    run_until_events(terminal)
    subprocess.run(["pkill", "-KILL", "-f", "packaging/demo/run"], check=True)
    os.kill(terminal.pid, signal.SIGKILL)
    terminal.wait()
    assert len(ours_running()) >= len(PROGRAMS) - 1, "the daemons were killed too: the test proves nothing"  # the terminal takes picketctl
    again = Terminal()
    run_until_events(again)
    assert len(ours_running()) == len(PROGRAMS)
    os.write(again.fd, b"\x03")
    again.wait()
    nothing_left(before)


def test_make_run_stops_in_order_when_make_is_killed(clean):
    before = audit.state()
    terminal = Terminal()
    run_until_events(terminal)
    os.kill(terminal.pid, signal.SIGKILL)
    wait_for(lambda: ours_running() == [], 20, "everything to stop")
    wait_for(lambda: audit.state() == before, 5, "audit to be put back")


def test_make_run_lifts_an_isolation_that_it_made(clean):
    """In a network namespace of its own: the host's packet filter is never touched by a test."""
    name = f"picket-demo-{os.getpid()}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        run = subprocess.Popen(["ip", "netns", "exec", name, "packaging/demo/run"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=dict(os.environ, PICKET_RUN_DIR=str(DIR)), stdin=subprocess.DEVNULL, start_new_session=True)
        ctl = [BIN / "picketctl", "--config", DIR / "picket.conf"]
        wait_for(lambda: subprocess.run([*ctl, "status"], stdout=subprocess.PIPE, stderr=subprocess.PIPE).returncode == 0, 30, "agentd")

        def isolated():
            done = subprocess.run([*ctl, "isolate", "on"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            return done.returncode == 0
        wait_for(isolated, 20, "isolation")
        save = ["ip", "netns", "exec", name, "iptables-legacy-save"]
        assert "PICKET" in subprocess.run(save, stdout=subprocess.PIPE, text=True).stdout
        os.kill(run.pid, signal.SIGINT)
        run.wait(20)
        assert "PICKET" not in subprocess.run(save, stdout=subprocess.PIPE, text=True).stdout
        assert re.search(r"stopped", run.stdout.read().decode())
    finally:
        subprocess.run(["ip", "netns", "del", name])
