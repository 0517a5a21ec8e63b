"""Both peers of collectord in Python: agentd, which orders and keeps the descriptor, and uplinkd, which acknowledges. A test decides what they do:
a peer that is honest, slow, away or forgetful is a few lines here."""

import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import pbmini as pb
from harness import BIN, COLLECTORD_UID, GID, AGENTD_UID, UPLINKD_UID, wait_for
from ipcclient import HEADER, PROTOCOL, HELLO, STATUS_REPORT

EVENT_BATCH, BATCH_ACK, RESUME_QUERY, RESUME_REPLY = 96, 97, 98, 99
COLLECT_CONFIG, SOURCE_KEEP, SOURCE_HANDOVER, TAIL_OPEN, TAIL_EVENTS = 100, 101, 102, 103, 104
PROCESS, PROCESS_TERMINATE, CONNECTION, PORTLISTEN, FILECHANGE, MODULE, LOGON, LOSS = range(1, 9)
ACTIONS = {1: "create", 2: "modify", 3: "rename", 4: "delete", 5: "permission"}
STAGES = {1: "kernel", 2: "serial", 3: "restart", 4: "queue", 5: "spool"}


def text(value):
    return os.fsdecode(value)


class Event:
    """An EventRecord, decoded as far as the tests look."""

    def __init__(self, raw):
        record = pb.decode(raw)
        self.epoch, self.sequence = record[1][0], record.get(2, [0])[0]
        self.fields = pb.decode(record[4][0])
        self.type = self.one(1)
        self.serial, self.outcome, self.error = self.one(3), self.one(4), self.one(5)
        self.keys = self.fields.get(8, [])
        process = pb.decode(self.fields.get(6, [b""])[0])
        self.pid, self.ppid, self.uid = (process.get(n, [0])[0] for n in (1, 2, 3))
        self.executable = text(process.get(9, [b""])[0])
        self.unique_id = process.get(12, [0])[0]
        self.detail = pb.decode(self.fields.get(15 + self.type, [b""])[0])

    def one(self, number, default=0):
        return self.fields.get(number, [default])[0]

    def part(self, number, default=0):
        return self.detail.get(number, [default])[0]

    @property
    def args(self):
        return [text(a) for a in self.detail.get(1, [])]

    @property
    def path(self):
        return text(self.part(2, b""))

    @property
    def action(self):
        return ACTIONS[self.part(1)]

    def endpoint(self, number):
        """(address, port) of a sub-message."""
        e = pb.decode(self.part(number, b""))
        address = e.get(1, [b""])[0]
        family = socket.AF_INET if len(address) == 4 else socket.AF_INET6
        return (socket.inet_ntop(family, address) if address else None, e.get(2, [0])[0])

    @property
    def loss(self):
        """(stage, first serial, last serial, events, exact)"""
        return STAGES[self.part(1)], self.part(3), self.part(4), self.part(2), not self.part(9)


class Peers:
    """agentd.sock and uplinkd.sock in one directory, a collectord that runs against them."""

    def __init__(self, config=""):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="picket-collect-"))
        os.chmod(self.dir, 0o755)
        for name in ("run", "state"):
            (self.dir / name).mkdir()
        (self.dir / "picket.conf").write_text(
            f"[General]\nRuntimeDirectory = {self.dir}/run\nStateDirectory = {self.dir}/state\nLogLevel = debug\n"
            f"AgentdUser = {AGENTD_UID}\nCollectordUser = {COLLECTORD_UID}\nUplinkdUser = {UPLINKD_UID}\nGroup = {GID}\n[collectord]\n{config}")
        self.events, self.durable, self.kept = [], {}, None
        self.collect, self.telemetry, self.exclusions = True, True, []
        self.acking, self.handing_over = True, True
        self.counters, self.facts = {}, {}
        self.links, self.lock, self.process, self.stopping = {}, threading.RLock(), None, False
        self.listeners = {name: self.listen(name) for name in ("agentd", "uplinkd")}
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def listen(self, name):
        path = self.dir / "run" / f"{name}.sock"
        path.unlink(missing_ok=True)
        s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        s.bind(str(path))
        os.chown(path, 0, GID)
        os.chmod(path, 0o660)
        s.listen(4)
        return s

    # ---- the loop ----
    def serve(self):
        while not self.stopping:
            with self.lock:
                sockets = list(self.listeners.values()) + list(self.links.values())
            try:
                ready = select.select(sockets, [], [], 0.05)[0]
            except (OSError, ValueError):
                continue  # a test closed one of them meanwhile
            for s in ready:
                with self.lock:
                    self.serve_one(s)

    def serve_one(self, s):
        for name, listener in self.listeners.items():
            if s is listener:
                link, _ = s.accept()
                self.links[name] = link
                self.send(name, HELLO, pb.number(1, PROTOCOL) + pb.data(2, name) + pb.data(3, "test"))
                return
        for name, link in list(self.links.items()):
            if s is not link:
                continue
            try:
                data, fds, _, _ = socket.recv_fds(s, 256 * 1024, 4)
            except OSError:
                data, fds = b"", []
            if not data:
                link.close()
                del self.links[name]
                return
            _, kind, _, length, sequence = HEADER.unpack_from(data)
            self.on_message(name, kind, sequence, data[HEADER.size:], fds)

    def send(self, name, kind, payload=b"", fds=(), sequence=0):
        record = HEADER.pack(PROTOCOL, kind, 0, len(payload), sequence) + payload
        with self.lock:
            socket.send_fds(self.links[name], [record], list(fds))

    def on_message(self, name, kind, sequence, payload, fds):
        if name == "agentd" and kind == HELLO:
            kept = [self.kept] if self.kept is not None and self.handing_over else []
            self.send("agentd", SOURCE_HANDOVER, pb.data(1, "kernel") if kept else b"", kept)
            self.send_config()
        elif kind == SOURCE_KEEP:
            if self.kept is not None:
                os.close(self.kept)
            self.kept = fds[0] if fds else None
        elif kind == EVENT_BATCH:
            for raw in pb.decode(payload)[2]:
                event = Event(raw)
                if event.sequence > self.durable.get(event.epoch, 0):
                    assert event.sequence == self.durable.get(event.epoch, 0) + 1, "a hole in the sequence"
                    self.durable[event.epoch] = event.sequence
                    self.events.append(event)
            if self.acking:
                self.send("uplinkd", BATCH_ACK, pb.fixed64(1, event.epoch) + pb.number(2, self.durable[event.epoch]))
        elif kind == RESUME_QUERY:
            epoch = pb.decode(payload)[1][0]
            self.send("uplinkd", RESUME_REPLY, pb.fixed64(1, epoch) + pb.number(2, self.durable.get(epoch, 0)), sequence=sequence)
        elif kind == STATUS_REPORT:
            report = pb.decode(payload)
            rows = [[pb.decode(r) for r in report.get(n, [])] for n in (1, 2)]
            self.counters = {text(r[1][0]): r.get(2, [0])[0] for r in rows[0]}
            self.facts = {text(r[1][0]): text(r.get(2, [b""])[0]) for r in rows[1]}

    def send_config(self):
        exclusions = b"".join(pb.data(2, pb.number(1, i + 1) + pb.data(2, mask)) for i, mask in enumerate(self.exclusions))
        self.send("agentd", COLLECT_CONFIG, pb.number(1, self.collect) + exclusions + pb.number(3, self.telemetry))

    # ---- for tests ----
    def close_listener(self, name):
        """The peer dies: its socket refuses, its link is gone."""
        with self.lock:
            self.listeners.pop(name).close()
            (self.dir / "run" / f"{name}.sock").unlink()
            if name in self.links:
                self.links.pop(name).close()

    def reopen_listener(self, name):
        with self.lock:
            self.listeners[name] = self.listen(name)

    def start(self, wait=True):
        self.err = open(self.dir / "collectord.err", "ab")
        self.facts = {}
        self.process = subprocess.Popen([BIN / "collectord", "--config", self.dir / "picket.conf"], stdin=subprocess.DEVNULL,
                                        stderr=self.err)
        if wait:
            wait_for(lambda: self.facts.get("rules") == "loaded", 10, "collectord's rules: " + self.log()[-2000:])

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self):
        self.process.terminate()
        return self.process.wait(10)

    def log(self):
        return (self.dir / "collectord.err").read_text(errors="replace")

    def find(self, kind, match=lambda e: True):
        with self.lock:
            return [e for e in self.events if e.type == kind and match(e)]

    def wait_event(self, kind, match, seconds=5):
        return wait_for(lambda: self.find(kind, match), seconds, f"an event of type {kind}")

    def tail(self):
        """A watcher: the socket that collectord sends TailEvents to."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.send("agentd", TAIL_OPEN, fds=[theirs.fileno()])
        theirs.close()
        ours.settimeout(5)
        return ours

    def close(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.stopping = True
        self.thread.join(5)
        for s in list(self.links.values()) + list(self.listeners.values()):
            s.close()
        if self.kept is not None:
            os.close(self.kept)
        shutil.rmtree(self.dir, ignore_errors=True)
