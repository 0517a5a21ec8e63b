"""isolatord alone in a network namespace, with its sandbox on, in a private directory."""

import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

from harness import AGENTD_UID, BIN, COLLECTORD_UID, GID, UPLINKD_UID, wait_for
from ipcclient import Client, Closed
from netns import run


class Isolator:
    def __init__(self, ns, config=""):
        self.ns = ns
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="picket-isolator-"))
        os.chmod(self.dir, 0o755)
        for name in ("run", "state"):
            (self.dir / name).mkdir()
        self.config = self.dir / "picket.conf"
        self.config.write_text(
            f"[General]\nRuntimeDirectory = {self.dir}/run\nStateDirectory = {self.dir}/state\nLogLevel = debug\n"
            f"AgentdUser = {AGENTD_UID}\nCollectordUser = {COLLECTORD_UID}\nUplinkdUser = {UPLINKD_UID}\nGroup = {GID}\n{config}")
        self.popen = None

    @property
    def order_file(self):
        return self.dir / "state/isolatord/order"

    @property
    def socket(self):
        return self.dir / "run/isolatord.sock"

    @property
    def pid(self):
        return self.popen.pid

    def command(self, *args):
        return self.ns.exec(BIN / "isolatord", "--config", self.config, *args)

    def once(self, *args):
        """Run it to its end; the completed process."""
        return run(*self.command(*args), check=False, timeout=20)

    def start(self):
        """Started and ready: it accepts and has reconciled."""
        with open(self.dir / "log", "ab") as log:
            self.popen = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(self.is_ready, what="isolatord")
        return self

    def is_ready(self):
        assert self.popen.poll() is None, self.log()
        try:
            with self.client(uid=0, gid=0) as c:
                c.query()
            return True
        except (Closed, OSError):
            return False

    def client(self, uid=AGENTD_UID, gid=GID):
        return Client(self.socket, uid, gid)

    def kill(self):
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait(10)

    def stop(self):
        self.popen.send_signal(signal.SIGTERM)
        return self.popen.wait(10)

    def log(self):
        return (self.dir / "log").read_text(errors="replace")

    def close(self, failed=False):
        if failed and (self.dir / "log").exists():
            print("\n".join(self.log().splitlines()[-60:]))
        if self.popen is not None and self.popen.poll() is None:
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)
