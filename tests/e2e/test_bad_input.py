"""Bad input: one line that names the thing and the remedy, the documented exit code, nothing half-started."""

import os
import socket
import subprocess

import pytest

from harness import BIN, DAEMONS, ROOT, SERVER_UID, UPLINKD_UID, Suite, wait_for

EXIT_START, EXIT_USAGE, EXIT_CONFIG, EXIT_SANDBOX = 1, 2, 3, 4


@pytest.fixture
def idle():
    """Files and configuration of a suite that is not running."""
    s = Suite()
    yield s
    s.close()


def run(program, *args, **kwargs):
    return subprocess.run([BIN / program, *map(str, args)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=20, **kwargs)


def complains(done, code, *words):
    lines = [line for line in done.stderr.splitlines() if line]
    assert done.returncode == code, (done.returncode, done.stderr)
    assert len(lines) == 1, f"one line, not {lines}"
    for word in words:
        assert word in lines[0], (word, lines[0])


@pytest.mark.parametrize("name", DAEMONS)
@pytest.mark.parametrize("line, words", [
    ("[General]\nLogLevle = info", ("LogLevle", "unknown key")),
    ("[General]\nLogLevel = loud", ("LogLevel=loud", "error, warning")),
    ("[Genral]\nLogLevel = info", ("[Genral]", "unknown section")),
    ("[General]\nAgentdUser = nobody-knows-me", ("AgentdUser", "create it")),
    ("[General]\nAgentdUser = 60581", ("three users",)),
    ("no equals sign", ("Key = value",)),
])
def test_bad_configuration_is_refused_with_its_line(idle, name, line, words):
    config = idle.dir / "bad.conf"
    drop_ins = idle.dir / "conf.d"
    drop_ins.mkdir(exist_ok=True)
    config.write_text(idle.config.read_text())
    (drop_ins / "90-bad.conf").write_text(line + "\n")
    complains(run(name, "--config", config), EXIT_CONFIG, *words)
    complains(run(name, "--config", config, "-n"), EXIT_CONFIG, *words)
    assert not list((idle.dir / "run").iterdir()), "a socket was made"


@pytest.mark.parametrize("name", DAEMONS)
def test_missing_configuration_is_named(name):
    complains(run(name, "--config", "/nonexistent/picket.conf"), EXIT_CONFIG, "/nonexistent/picket.conf")


@pytest.mark.parametrize("name", DAEMONS)
def test_unknown_option_shows_the_usage(name):
    done = run(name, "--no-such-option")
    assert done.returncode == EXIT_USAGE
    assert "usage:" in done.stderr


@pytest.mark.parametrize("name", DAEMONS)
def test_check_and_dump_agree(idle, name):
    assert run(name, "--config", idle.config, "-n").stdout.strip().endswith("configuration OK")
    first = run(name, "--config", idle.config, "-T")
    assert first.returncode == 0
    again = idle.dir / "again.conf"
    again.write_text(first.stdout)
    assert run(name, "--config", again, "-T").stdout == first.stdout


@pytest.mark.parametrize("name", DAEMONS)
def test_started_by_another_user_than_root_says_so(idle, name):
    for path in ("run", "state", "log"):
        os.chown(idle.dir / path, 65534, 65534)
    done = run(name, "--config", idle.config, user=65534, group=65534, extra_groups=[])
    assert done.returncode in (EXIT_START, EXIT_SANDBOX), (done.returncode, done.stderr)
    log = idle.log(name)
    assert "root" in done.stderr + log, done.stderr + log
    assert not list((idle.dir / "run").iterdir()), "a socket is left"


def test_second_instance_is_refused_and_the_first_goes_on(suite):
    for name in ("agentd", "uplinkd", "isolatord"):
        pid = suite.pid(name)
        done = run(name, "--config", suite.config)
        assert done.returncode == EXIT_START, (name, done)
        assert suite.pid(name) == pid and suite.processes[name].popen.poll() is None
    assert suite.ctl("status").returncode == 0


def server_args(s, **over):
    args = {"--listen": "127.0.0.1:0", "--db": s.db, "--cert": s.dir / "pki/server.pem", "--key": s.dir / "server/server.key",
            "--client-ca": s.dir / "pki/ca.pem", "--run-as": SERVER_UID, **over}
    return [x for pair in args.items() for x in pair]


def test_server_port_in_use_is_named(idle):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(1)
        port = s.getsockname()[1]
        done = run("picket-server", *server_args(idle, **{"--listen": f"127.0.0.1:{port}"}))
    assert done.returncode != 0
    assert str(port) in done.stderr and "in use" in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("option", ["--cert", "--key", "--client-ca"])
def test_server_missing_file_is_named(idle, option):
    done = run("picket-server", *server_args(idle, **{option: "/nonexistent/file.pem"}))
    assert done.returncode != 0
    assert "/nonexistent/file.pem" in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr


def start_all(s):
    s.start_server()
    for name in DAEMONS:
        s.start_daemon(name)
    wait_for(lambda: s.ctl("status").returncode == 0, what="agentd")
    s.ctl("settings", "set", "KATAEDR", "Address=127.0.0.1", f"Port={s.port}", "UseClientPinnedCertificate=Yes",
          "SynchronizationPeriod=1s", check=True)


def test_missing_client_certificate_keeps_the_task_from_starting(idle):
    (idle.dir / "state/uplinkd/client.pem").unlink()
    start_all(idle)
    def refused():
        done = idle.ctl("task", "start", "KATAEDR", "--with-dependencies")
        return "client certificate" in done.stderr and done
    done = wait_for(refused, what="a refusal that names the client certificate")
    assert done.returncode == 70, done
    assert idle.hosts() == []


def test_missing_server_certificate_is_said_and_nothing_is_sent(idle):
    (idle.dir / "state/uplinkd/server.pem").unlink()
    start_all(idle)
    idle.ctl("task", "start", "KATAEDR", "--with-dependencies")
    wait_for(lambda: "server certificate" in idle.ctl("status").stdout, what="the reason in status")
    assert idle.hosts() == []
    assert idle.counter("uplinkd", "syncs") == 0


def test_wrong_server_certificate_is_named_and_nothing_is_sent(idle):
    other = idle.dir / "other"
    subprocess.run([ROOT / "packaging/demo/pki", other], check=True, stdout=subprocess.DEVNULL)
    idle.install(other / "server.pem", idle.dir / "state/uplinkd/server.pem", 0o644, UPLINKD_UID)
    start_all(idle)
    wait_for(lambda: idle.ctl("task", "start", "KATAEDR", "--with-dependencies").returncode == 0, what="KATAEDR")
    wait_for(lambda: "certificate" in (idle.fact("uplinkd", "state") or ""), what="the reason in uplinkd's state")
    assert idle.hosts() == []
    subprocess.run(["/bin/true", "wrong-certificate-marker"], check=True)
    wait_for(lambda: idle.counter("uplinkd", "spooled_events") > 0, what="events kept in the spool")
    assert idle.counter("uplinkd", "acked") == 0
    # The right certificate again: what was kept arrives.
    idle.install(idle.dir / "pki/server.pem", idle.dir / "state/uplinkd/server.pem", 0o644, UPLINKD_UID)
    idle.processes["uplinkd"].kill()
    wait_for(lambda: any("wrong-certificate-marker" in e["process"].get("args", []) for e in idle.events("process")), 20,
             "the kept event at the server")


def test_kata_task_needs_behavior_detection(idle):
    start_all(idle)
    idle.ctl("task", "stop", "Behavior_Detection")
    done = idle.ctl("task", "start", "24")
    assert done.returncode == 70, done
    for word in ("KATAEDR", "Behavior_Detection", "--with-dependencies"):
        assert word in done.stderr, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    wait_for(lambda: idle.ctl("task", "start", "24", "--with-dependencies").returncode == 0, what="both tasks")

    def states():
        return {t["name"]: t["state"] for t in idle.ctl_json("task", "list")["tasks"]}
    wait_for(lambda: states()["Behavior_Detection"] == states()["KATAEDR"] == "Started", what="both tasks to be Started")
    idle.ctl("task", "stop", "20", check=True)
    tasks = {t["name"]: t for t in idle.ctl_json("task", "list")["tasks"]}
    assert tasks["KATAEDR"]["state"] == "Started"
    assert "telemetry suspended: Behavior_Detection is stopped" in tasks["KATAEDR"]["reason"]


@pytest.mark.parametrize("args, code, words", [
    (["settings", "set", "KATAEDR", "SynchronizationPeriod=61"], 2, ("SynchronizationPeriod", "60")),
    (["settings", "set", "KATAEDR", "NoSuchKey=1"], 2, ("NoSuchKey",)),
    (["settings", "set", "KATAEDR", "Port=70000"], 2, ("Port", "65535")),
    (["task", "start", "No_Such_Task"], 1, ("No_Such_Task",)),
    (["isolate", "on", "--allow", "out:tcp:nowhere:1"], 1, ("nowhere",)),
    (["no-such-verb"], 1, ("no-such-verb",)),
])
def test_picketctl_refuses_with_the_documented_exit_code(idle, args, code, words):
    idle.start_daemon("agentd")
    wait_for(lambda: idle.ctl("status").returncode == 0, what="agentd")
    done = idle.ctl(*args)
    assert done.returncode == code, done
    for word in words:
        assert word in done.stderr, done.stderr


def test_picketctl_without_agentd_says_what_to_do(idle):
    done = idle.ctl("status")
    assert done.returncode == 64
    assert "agentd" in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
