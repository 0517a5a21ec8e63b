"""Network namespaces with veth pairs for a test: made, used and removed by it. Names carry the pid, so runs do not meet.

A call or a socket is made in a namespace by a forked child, so the test itself never changes its own.
"""

import ctypes
import itertools
import os
import pickle
import re
import socket
import struct
import subprocess

from harness import wait_for

CLONE_NEWNET = 0x40000000
serial = itertools.count(1)
libc = ctypes.CDLL(None, use_errno=True)


def run(*command, check=True, **kwargs):
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)
    assert not check or done.returncode == 0, f"{command}: {done.returncode} {done.stdout}{done.stderr}"
    return done


class Namespace:
    def __init__(self, role):
        self.name = f"pk{os.getpid()}-{next(serial)}-{role}"
        run("ip", "netns", "add", self.name)
        # No duplicate address detection: an address is usable as soon as it is there.
        self.run("sysctl", "-qw", "net.ipv6.conf.all.accept_dad=0", "net.ipv6.conf.default.accept_dad=0")
        self.run("ip", "link", "set", "lo", "up")

    def remove(self):
        run("ip", "netns", "del", self.name, check=False)

    def exec(self, *command):
        """The command line that runs a command in here."""
        return ["ip", "netns", "exec", self.name, *[str(c) for c in command]]

    def run(self, *command, **kwargs):
        return run(*self.exec(*command), **kwargs)

    def address(self, device, *addresses):
        for a in addresses:
            self.run("ip", "addr", "add", a, "dev", device, *(["nodad"] if ":" in a else []))
        self.run("ip", "link", "set", device, "up")

    def enter(self):
        """Only in a child."""
        fd = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        if libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")
        os.close(fd)

    def call(self, function, *args, uid=0):
        """function(*args) in here, as uid; its value or exception comes back."""
        read_end, write_end = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                self.enter()
                if uid:
                    os.setresuid(uid, uid, uid)
                answer = (True, function(*args))
            except BaseException as e:  # whatever it is, the parent raises it
                answer = (False, e)
            os.write(write_end, pickle.dumps(answer))
            os._exit(0)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            data = pipe.read()
        os.waitpid(pid, 0)
        ok, value = pickle.loads(data)
        if not ok:
            raise value
        return value

    def open_socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM, uid=0, protocol=0):
        """A socket that lives in here and was opened by uid; the test uses it like its own."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)

        def make():
            with socket.socket(family, kind, protocol) as s:
                socket.send_fds(theirs, [b"x"], [s.fileno()])
        try:
            self.call(make, uid=uid)
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        finally:
            ours.close()
            theirs.close()
        s = socket.socket(family, kind, protocol, fileno=fds[0])
        s.settimeout(5)
        return s

    def listen(self, address, port, kind=socket.SOCK_STREAM, uid=0):
        s = self.open_socket(family_of(address), kind, uid=uid)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, port))
        if kind == socket.SOCK_STREAM:
            s.listen(128)
        return s

    def connect(self, address, port, uid=0, seconds=1.0, source=None):
        """A connected TCP socket, or the OSError of trying (which has no meaning but "no"). source: (address, port) to come from."""
        s = self.open_socket(family_of(address), uid=uid)
        s.settimeout(seconds)
        try:
            if source is not None:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # no TIME_WAIT: the port is used again
                s.bind(source)
            s.connect((address, port))
        except OSError:
            s.close()
            raise
        return s

    def reaches(self, address, port, uid=0, seconds=0.5, source=None):
        try:
            self.connect(address, port, uid, seconds, source).close()
            return True
        except OSError:
            return False


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def link(a, a_device, a_addresses, b, b_device, b_addresses):
    """A veth pair between two namespaces. With equal interface numbers the kernel would take a second to notice that the other end is up."""
    run("ip", "link", "add", a_device, "index", 100 + next(serial), "netns", a.name, "type", "veth", "peer", "name", b_device, "netns", b.name)
    a.address(a_device, *a_addresses)
    b.address(b_device, *b_addresses)


class Net:
    """host -- server and host -- third, with IPv4 and IPv6, and a machine behind the host that it routes for."""
    HOST4, HOST6 = "10.77.1.1", "fd77:1::1"          # towards the server
    SERVER4, SERVER6 = "10.77.1.2", "fd77:1::2"
    HOST_T4, HOST_T6 = "10.77.2.1", "fd77:2::1"      # towards the third
    THIRD4, THIRD6 = "10.77.2.2", "fd77:2::2"
    HOST_B4, HOST_B6 = "10.77.3.1", "fd77:3::1"      # towards the machine behind
    BEHIND4, BEHIND6 = "10.77.3.2", "fd77:3::2"

    def __init__(self):
        self.all = []
        try:
            self.host, self.server, self.third, self.behind = (self.add(r) for r in ("host", "server", "third", "behind"))
            for other, device, host, far in ((self.server, "eth0", (self.HOST4, self.HOST6), (self.SERVER4, self.SERVER6)),
                                             (self.third, "eth1", (self.HOST_T4, self.HOST_T6), (self.THIRD4, self.THIRD6)),
                                             (self.behind, "eth2", (self.HOST_B4, self.HOST_B6), (self.BEHIND4, self.BEHIND6))):
                link(self.host, device, lengths(host), other, "eth0", lengths(far))
                other.run("ip", "route", "add", "default", "via", host[0])
                other.run("ip", "-6", "route", "add", "default", "via", host[1])
            self.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
            for far in (self.SERVER4, self.SERVER6, self.THIRD4, self.THIRD6, self.BEHIND4, self.BEHIND6):
                wait_for(lambda: self.host.run("ping", "-c1", "-W0.1", far, check=False).returncode == 0, what=f"a way to {far}")
        except BaseException:
            self.remove()
            raise

    def add(self, role):
        ns = Namespace(role)
        self.all.append(ns)
        return ns

    def remove(self):
        for ns in self.all:
            ns.remove()


def lengths(addresses):
    return [a + ("/64" if ":" in a else "/24") for a in addresses]


def rules(ns, ours=True):
    """What iptables-legacy-save and ip6tables-legacy-save say, without counters, comments and tables that hold nothing: reading a table makes the
    kernel create it, empty, for good. ours=False: without chains and rules of Picket."""
    out = []
    for tool in ("iptables-legacy-save", "ip6tables-legacy-save"):
        table = []
        for line in ns.run(tool).stdout.splitlines():
            line = re.sub(r"\[\d+:\d+\]", "[0:0]", line)
            if line.startswith("#") or (not ours and "PICKET-" in line):
                continue
            if line.startswith("*"):
                table = []
            table.append(line)
            if line == "COMMIT" and any(row[0] == "-" or (row[0] == ":" and " ACCEPT " not in row) for row in table):
                out += [tool, *table]
    return "\n".join(out)
