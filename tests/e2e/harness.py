"""The whole suite on one machine for a test: certificates, server, four daemons with their sandboxes on, a supervisor that restarts them.

Everything lives below one directory and is removed by pid and by path. Nothing here sleeps for synchronisation: wait_for() polls a condition
with a deadline.
"""

import atexit
import json
import os
import pathlib
import shutil
import signal
import sqlite3
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def programs():
    """build/bin, or a copy of it where every user can run it: a checkout below /root cannot be entered by the users that tests run as."""
    built = ROOT / "build" / "bin"
    if all(p.stat().st_mode & 0o001 for p in built.parents) or not built.exists():
        return built
    copy = pathlib.Path(tempfile.mkdtemp(prefix="picket-bin-"))
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    os.chmod(copy, 0o755)
    for program in built.iterdir():
        shutil.copy2(program, copy)
    return copy


BIN = programs()
AGENTD_UID, COLLECTORD_UID, UPLINKD_UID, SERVER_UID, GID = 60580, 60581, 60582, 60583, 60580
DAEMONS = ("isolatord", "agentd", "uplinkd", "collectord")
UIDS = {"isolatord": 0, "agentd": AGENTD_UID, "uplinkd": UPLINKD_UID, "collectord": COLLECTORD_UID}


def wait_for(condition, seconds=10, what="condition"):
    """The first true value of condition(); fails after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.02)


def in_netns(netns, command):
    return ["ip", "netns", "exec", netns, *map(str, command)] if netns else list(map(str, command))


class Process:
    """One program that is started again when it ends, until stop()."""

    def __init__(self, name, command, log_dir, restart=True):
        self.name, self.command, self.restart = name, command, restart
        self.err = log_dir / f"{name}.err"
        self.starts = 0
        self.popen = None
        self.lock = threading.Lock()
        self.stopping = False
        self.spawn()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def spawn(self):
        with open(self.err, "ab") as err:
            self.popen = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=err, stderr=err)
        self.starts += 1

    def watch(self):
        while True:
            self.popen.wait()
            with self.lock:
                if self.stopping or not self.restart:
                    return
            time.sleep(0.1)  # a supervisor's delay, not synchronisation
            with self.lock:
                if self.stopping:
                    return
                self.spawn()

    @property
    def pid(self):
        return self.popen.pid

    def kill(self, sig=signal.SIGKILL):
        """Kill it; the supervisor starts it again. Returns once the killed process is gone."""
        victim = self.popen
        victim.send_signal(sig)
        victim.wait(10)

    def stop(self, sig=signal.SIGTERM, seconds=10):
        with self.lock:
            self.stopping = True
        if self.popen.poll() is None:
            self.popen.send_signal(sig)
            try:
                self.popen.wait(seconds)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(5)
                raise AssertionError(f"{self.name} did not stop within {seconds} s of signal {sig}")
        self.thread.join(5)
        return self.popen.returncode


class Suite:
    """server + daemons. netns: where the daemons live; server_netns: where the server lives (its address is then `address`)."""

    def __init__(self, netns=None, server_netns=None, address="127.0.0.1", extra_names=(), config=""):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="picket-e2e-"))
        self.netns, self.server_netns, self.address = netns, server_netns, address
        self.processes = {}
        os.chmod(self.dir, 0o755)
        for name in ("run", "state", "log", "server", "state/uplinkd"):
            (self.dir / name).mkdir()
        self.make_pki(extra_names)
        (self.dir / "picket.conf").write_text(
            f"[General]\nRuntimeDirectory = {self.dir}/run\nStateDirectory = {self.dir}/state\nLogDirectory = {self.dir}/log\n"
            f"LogLevel = debug\nAgentdUser = {AGENTD_UID}\nCollectordUser = {COLLECTORD_UID}\nUplinkdUser = {UPLINKD_UID}\n"
            f"Group = {GID}\n{config}")

    @property
    def config(self):
        return self.dir / "picket.conf"

    def make_pki(self, extra_names):
        pki = self.dir / "pki"
        subprocess.run([ROOT / "packaging/demo/pki", pki, *extra_names], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.PIPE)
        for name, mode in (("server.pem", 0o644), ("client.pem", 0o644), ("client.key", 0o600)):
            self.install(pki / name, self.dir / "state/uplinkd" / name, mode, UPLINKD_UID)
        os.chown(self.dir / "state/uplinkd", UPLINKD_UID, GID)
        os.chmod(self.dir / "state/uplinkd", 0o700)
        self.install(pki / "server.key", self.dir / "server/server.key", 0o600, SERVER_UID)
        os.chown(self.dir / "server", SERVER_UID, GID)

    @staticmethod
    def install(source, target, mode, uid):
        shutil.copyfile(source, target)
        os.chmod(target, mode)
        os.chown(target, uid, GID)

    # ---- processes ----
    def start_server(self, port=0):
        port_file = self.dir / "server/port"
        port_file.unlink(missing_ok=True)
        listen = f"[{self.address}]" if ":" in self.address else self.address
        command = [BIN / "picket-server", "--listen", f"{listen}:{port}", "--port-file", port_file, "--db", self.db,
                   "--cert", self.dir / "pki/server.pem", "--key", self.dir / "server/server.key",
                   "--client-ca", self.dir / "pki/ca.pem", "--run-as", SERVER_UID]
        self.processes["server"] = Process("server", in_netns(self.server_netns, command), self.dir / "log")
        self.port = int(wait_for(lambda: port_file.exists() and port_file.read_text().strip(), what="the server's port"))
        if port == 0:  # keep the port over restarts
            self.processes["server"].command = in_netns(self.server_netns, [
                c if c != f"{listen}:0" else f"{listen}:{self.port}" for c in map(str, command)])

    def start_daemon(self, name, restart=True):
        self.processes[name] = Process(name, in_netns(self.netns, [BIN / name, "--config", self.config]),
                                       self.dir / "log", restart)

    def start(self, **settings):
        """Everything up, KATAEDR started, one sync done."""
        self.start_server()
        for name in DAEMONS:
            self.start_daemon(name)
        wait_for(lambda: self.ctl("status").returncode == 0, what="agentd")
        values = {"Address": self.address, "Port": self.port, "UseClientPinnedCertificate": "Yes", "SynchronizationPeriod": "1s",
                  "MaximumDataTransferTime": "1s", **settings}
        self.ctl("settings", "set", "KATAEDR", *[f"{k}={v}" for k, v in values.items()], check=True)
        wait_for(lambda: self.ctl("task", "start", "KATAEDR", "--with-dependencies").returncode == 0, what="KATAEDR")
        self.wait_collecting()
        wait_for(self.hosts, what="the first sync")

    def wait_collecting(self):
        """Audit rules are loaded and events flow."""
        wait_for(lambda: self.fact("collectord", "rules") == "loaded", 15, "collectord's rules")

    def stop(self):
        errors = []
        for name in ("collectord", "uplinkd", "agentd", "isolatord", "server"):
            if name in self.processes:
                try:
                    self.processes.pop(name).stop()
                except AssertionError as late:
                    errors.append(str(late))
        return errors

    def close(self, failed=False):
        errors = self.stop()
        subprocess.run(in_netns(self.netns, [BIN / "isolatord", "--config", self.config, "--release"]),
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if failed or errors:
            print(f"logs: {self.dir}/log")
            for path in sorted((self.dir / "log").iterdir()):
                print(f"---- {path.name}\n" + "\n".join(path.read_text(errors="replace").splitlines()[-25:]))
        shutil.rmtree(self.dir, ignore_errors=True)
        assert not errors, errors

    # ---- asking ----
    def ctl(self, *args, check=False, timeout=20):
        done = subprocess.run([BIN / "picketctl", "--config", self.config, *map(str, args)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)
        assert not check or done.returncode == 0, f"picketctl {args}: {done.returncode} {done.stdout}{done.stderr}"
        return done

    def ctl_json(self, *args):
        return json.loads(self.ctl(*args, "--json", check=True).stdout)

    def daemon_status(self, name):
        for daemon in self.ctl_json("stats")["daemons"]:
            if daemon["name"] == name:
                return daemon
        return {}

    def fact(self, daemon, name):
        return self.daemon_status(daemon).get("facts", {}).get(name)

    def counter(self, daemon, name):
        return self.daemon_status(daemon).get("counters", {}).get(name, 0)

    def server(self, *args, check=True, timeout=20):
        done = subprocess.run([BIN / "picket-server", *map(str, args), "--db", self.db], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout)
        assert not check or done.returncode == 0, f"picket-server {args}: {done.returncode} {done.stdout}{done.stderr}"
        return done

    def hosts(self):
        done = self.server("hosts", "--json", check=False)
        return [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []

    def events(self, event_type=None, limit=1000000):
        """Every stored event as ECS."""
        args = ["events", "--json", "--limit", limit] + (["--type", event_type] if event_type else [])
        return [json.loads(line) for line in self.server(*args, timeout=120).stdout.splitlines()]

    @property
    def db(self):
        return self.dir / "server/picket.db"

    def sql(self, query, *args):
        with sqlite3.connect(f"file:{self.db}?mode=ro", uri=True, timeout=10) as db:
            return db.execute(query, args).fetchall()

    def pid(self, name):
        return self.processes[name].pid

    def log(self, name):
        path = self.dir / "log" / f"{name}.log"
        return path.read_text(errors="replace") if path.exists() else ""
