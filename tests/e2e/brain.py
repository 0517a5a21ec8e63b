"""agentd alone, with its sandbox on, in a private directory; its peers are played by the test (ipcclient.Client), so that it can be asked anything."""

import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

import ipcclient
from harness import AGENTD_UID, BIN, COLLECTORD_UID, GID, UPLINKD_UID, wait_for
from ipcclient import Client, Closed, decode, field, message

UPLINK_CONFIG, SERVER_COMMAND, COMMAND_RESULT, UPLINK_ENDPOINTS = 128, 129, 130, 131
COLLECT_CONFIG, SOURCE_KEEP, SOURCE_HANDOVER, TAIL_OPEN, TAIL_EVENTS = 100, 101, 102, 103, 104
DONE, FAILED, REFUSED, EXPIRED = 1, 2, 3, 4


class Brain:
    def __init__(self, config=""):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="picket-agentd-"))
        os.chmod(self.dir, 0o755)
        for name in ("run", "state"):
            (self.dir / name).mkdir()
        self.config = self.dir / "picket.conf"
        self.config.write_text(
            f"[General]\nRuntimeDirectory = {self.dir}/run\nStateDirectory = {self.dir}/state\nLogLevel = debug\n"
            f"AgentdUser = {AGENTD_UID}\nCollectordUser = {COLLECTORD_UID}\nUplinkdUser = {UPLINKD_UID}\nGroup = {GID}\n{config}")
        self.popen = None
        self.start()

    def start(self):
        with open(self.dir / "log", "ab") as log:
            self.popen = subprocess.Popen([BIN / "agentd", "--config", self.config], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: self.ctl("status").returncode == 0, what="agentd")

    def kill(self, sig=signal.SIGKILL):
        self.popen.send_signal(sig)
        self.popen.wait(10)

    def restart(self):
        self.kill()
        self.start()

    def log(self):
        return (self.dir / "log").read_text(errors="replace")

    def close(self, failed=False):
        if failed:
            print("\n".join(self.log().splitlines()[-60:]))
        if self.popen.poll() is None:
            self.popen.send_signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- peers ----
    @property
    def socket(self):
        return self.dir / "run/agentd.sock"

    def peer(self, uid, gid=GID):
        """A greeted link."""
        return Peer(self.socket, uid, gid)

    def collectord(self):
        return self.peer(COLLECTORD_UID)

    def uplinkd(self):
        return self.peer(UPLINKD_UID)

    # ---- people ----
    def command(self, *args):
        return [str(a) for a in (BIN / "picketctl", "--config", self.config, *args)]

    def ctl(self, *args, **kwargs):
        return subprocess.run(self.command(*args), **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE,
                                                       "text": True, "timeout": 30, **kwargs})

    def must(self, *args, **kwargs):
        done = self.ctl(*args, **kwargs)
        assert done.returncode == 0, done
        return done.stdout

    def task(self, name):
        import json
        return next(t for t in json.loads(self.must("task", "list", "--json"))["tasks"] if t["name"] == name)

    def agent_id(self):
        return (self.dir / "state/agentd/agent-id").read_text().strip()


class Peer(Client):
    """A daemon's end of the link to agentd."""

    def next(self, kind):
        """The payload of the next record of that type, and its descriptors."""
        while True:
            data, fds, _, _ = socket.recv_fds(self.socket, ipcclient.MAX_RECORD + 16, 4)
            if not data:
                raise Closed
            _, got, _, length, _ = ipcclient.HEADER.unpack_from(data)
            assert len(data) == 16 + length
            if got == kind:
                return decode(data[16:]), fds
            for fd in fds:
                os.close(fd)

    def until(self, kind, condition):
        """The first such record for which the condition holds."""
        while True:
            fields, _ = self.next(kind)
            if condition(fields):
                return fields

    def report(self, facts=(), counters=()):
        self.send(ipcclient.STATUS_REPORT, 0, b"".join(message(1, field(1, n.encode()) + field(2, v)) for n, v in dict(counters).items()) +
                  b"".join(message(2, field(1, n.encode()) + field(2, v.encode())) for n, v in dict(facts).items()))

    def command(self, packed):
        """Send a ServerCommandRecord; the result as (id, status, text, time)."""
        self.send(SERVER_COMMAND, 0, field(1, packed))
        record, _ = self.next(COMMAND_RESULT)
        result = decode(record[1][0])
        return result[1][0].decode(), result[2][0], result.get(3, [b""])[0].decode(), result[4][0]


class FakeIsolatord:
    """isolatord's end: accepts one link of agentd and answers orders as told."""

    def __init__(self, brain, state=1):
        self.path = brain.dir / "run/isolatord.sock"
        self.path.unlink(missing_ok=True)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(self.path))
        os.chmod(self.path, 0o660)
        os.chown(self.path, 0, GID)
        self.listener.listen(4)
        self.listener.settimeout(15)
        self.link, _ = self.listener.accept()
        self.link.settimeout(10)
        assert self.take()[0] == ipcclient.HELLO
        self.put(ipcclient.HELLO, 0, field(1, 1) + field(2, b"isolatord") + field(3, b"test"))
        kind, sequence, _ = self.take()
        assert kind == ipcclient.ISOLATION_QUERY
        self.answer(sequence, state)

    def take(self):
        data = self.link.recv(ipcclient.MAX_RECORD + 16)
        if not data:
            raise Closed
        _, kind, _, _, sequence = ipcclient.HEADER.unpack_from(data)
        return kind, sequence, data[16:]

    def put(self, kind, sequence, payload):
        self.link.send(ipcclient.HEADER.pack(1, kind, 0, len(payload), sequence) + payload)

    def take_order(self):
        """(sequence, the order's fields)"""
        kind, sequence, payload = self.take()
        assert kind == ipcclient.ISOLATION_ORDER and sequence != 0
        return sequence, decode(payload)

    def answer(self, sequence, state, accepted=True, text=b"", until_ms=0):
        self.put(ipcclient.ISOLATION_RESULT, sequence, field(1, accepted) + field(2, text) +
                 message(3, field(1, state) + field(2, 2) + field(3, 1700000000000) + field(4, until_ms) + field(5, b"iptables")))

    def close(self):
        self.link.close()
        self.listener.close()
        self.path.unlink(missing_ok=True)


# ---- the server's commands (proto/link.proto) ----
def command(agent_id, command_id="c-1", kind=b"", issued_ms=1000, expires_ms=0):
    return field(1, command_id.encode()) + field(2, issued_ms) + field(3, expires_ms) + field(4, agent_id.encode()) + kind


def isolate(duration_s=0, exceptions=()):
    return message(16, field(1, duration_s) + b"".join(message(2, e) for e in exceptions))


def release():
    return message(17, b"")


def set_settings(**values):
    return message(18, field(1, b"KATAEDR") + b"".join(
        message(2, field(2, k.encode()) + field(3, str(v).encode())) for k, v in values.items()))


def task(name, verb):
    return message(19, field(1, name.encode()) + field(2, verb))
