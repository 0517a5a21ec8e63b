"""Each daemon runs as its own user with the capabilities of ARCHITECTURE.md and no more, its filters on; strangers are refused."""

import re
import signal
import subprocess

import pytest

from harness import AGENTD_UID, BIN, COLLECTORD_UID, DAEMONS, GID, UIDS, UPLINKD_UID, Suite, wait_for

CAPS = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13, "CAP_AUDIT_CONTROL": 30, "CAP_AUDIT_READ": 37}
WANTED = {
    "agentd": set(),
    "uplinkd": set(),
    "collectord": {"CAP_AUDIT_READ", "CAP_AUDIT_CONTROL"},
    "isolatord": {"CAP_NET_ADMIN", "CAP_NET_RAW"},
}


@pytest.fixture(scope="module")
def suite(request):
    s = Suite()
    try:
        s.start()
        yield s
    finally:
        s.close(request.session.testsfailed > 0)


def proc_status(pid):
    with open(f"/proc/{pid}/status") as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


@pytest.mark.parametrize("name", DAEMONS)
def test_daemon_has_its_user_its_capabilities_and_nothing_more(suite, name):
    status = proc_status(suite.pid(name))
    want = sum(1 << CAPS[c] for c in WANTED[name])
    assert set(status["Uid"].split()) == {str(UIDS[name])}
    assert set(status["Gid"].split()) == {str(GID)}
    assert set(status["Groups"].split()) <= {str(GID)}
    for field in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[field], 16) == want, f"{name} {field}={status[field]}"
    for field in ("CapInh", "CapAmb"):
        assert int(status[field], 16) == 0
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"


@pytest.mark.parametrize("name", DAEMONS)
@pytest.mark.parametrize("probe", ["execve", "ptrace", "mount"])
def test_forbidden_call_kills_the_daemon(suite, name, probe, tmp_path):
    done = run_probe(suite, name, probe)
    assert done.returncode == -signal.SIGSYS, (done.returncode, done.stderr)


@pytest.mark.parametrize("name", DAEMONS)
def test_call_newer_than_the_sandbox_gets_enosys_and_a_foreign_file_is_refused(suite, name):
    for probe in ("unknown-syscall", "open-etc-shadow"):
        done = run_probe(suite, name, probe)
        assert done.returncode == 0 and "was refused" in done.stderr, (probe, done.returncode, done.stderr)


@pytest.mark.parametrize("name", ["agentd", "collectord"])
def test_daemon_without_network_business_cannot_open_an_inet_socket(suite, name):
    done = run_probe(suite, name, "inet-socket")
    assert done.returncode == -signal.SIGSYS, (done.returncode, done.stderr)


def run_probe(suite, name, probe):
    """The daemon's own start up to its sandbox, in a run directory of its own."""
    config = suite.dir / f"probe-{name}.conf"
    base = suite.dir / "probe"
    for sub in ("run", "state", "log"):
        (base / sub).mkdir(parents=True, exist_ok=True)
    text = re.sub(r"^(RuntimeDirectory|StateDirectory|LogDirectory) = .*$",
                  lambda m: f"{m.group(1)} = {base}/{({'R': 'run', 'S': 'state', 'L': 'log'})[m.group(1)[0]]}",
                  suite.config.read_text(), flags=re.M)
    config.write_text(text)
    return subprocess.run([BIN / name, "--config", config, "--sandbox-probe", probe], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=20)


# A client as any user: connects, says Hello, and reports whether it got a Hello back.
CLIENT = r"""
import os, socket, struct, sys
path, uid, gid = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
os.setgroups([]); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(5)
try:
    s.connect(path)
    hello = b"\x08\x01"
    s.send(struct.pack("=HHIII", 1, 1, 0, len(hello), 0) + hello)
    data = s.recv(65536)
except OSError as e:
    print("refused", e.errno); sys.exit()
print("accepted" if len(data) >= 16 else "refused 0")
"""


def connect_as(suite, daemon, uid, gid=GID):
    done = subprocess.run(["/usr/bin/python3", "-c", CLIENT, f"{suite.dir}/run/{daemon}.sock", str(uid), str(gid)],
                          stdout=subprocess.PIPE, text=True, check=True)
    return done.stdout.split()[0]


@pytest.mark.parametrize("daemon, uid, gid, answer", [
    ("isolatord", AGENTD_UID, GID, "accepted"),
    ("isolatord", UPLINKD_UID, GID, "refused"),
    ("isolatord", COLLECTORD_UID, GID, "refused"),
    ("isolatord", 65534, GID, "refused"),
    ("uplinkd", COLLECTORD_UID, GID, "accepted"),
    ("uplinkd", AGENTD_UID, GID, "refused"),
    ("uplinkd", 65534, GID, "refused"),
    ("agentd", UPLINKD_UID, GID, "accepted"),
    ("agentd", 65534, GID, "accepted"),    # group picket may read
    ("agentd", 65534, 65534, "refused"),   # anyone else may not
])
def test_socket_takes_its_own_peers_and_refuses_the_rest(suite, daemon, uid, gid, answer):
    assert connect_as(suite, daemon, uid, gid) == answer


def test_reader_cannot_change_anything(suite):
    def as_reader(*args):
        return subprocess.run([BIN / "picketctl", "--config", suite.config, *args], user=65534, group=GID, extra_groups=[],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert as_reader("status").returncode == 0
    for verb in (["isolate", "on"], ["isolate", "off"], ["task", "stop", "KATAEDR"], ["settings", "set", "KATAEDR", "UseMDR=Yes"]):
        done = as_reader(*verb)
        assert done.returncode not in (0, 64), (verb, done)
        assert "root" in done.stderr, (verb, done.stderr)
    assert suite.ctl_json("isolate", "status")["state"] == "released"


def test_taken_over_uplinkd_cannot_lift_isolation_or_change_settings(suite):
    """As uplinkd's user: agentd takes none of picketctl's requests from it, isolatord not even a connection."""
    for verb in (["isolate", "off"], ["settings", "set", "KATAEDR", "UseMDR=Yes"], ["status"]):
        done = subprocess.run([BIN / "picketctl", "--config", suite.config, *verb], user=UPLINKD_UID, group=GID, extra_groups=[],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.returncode != 0, verb
    wait_for(lambda: "ipc.violation" in suite.log("agentd"), what="the violation in agentd's log")
