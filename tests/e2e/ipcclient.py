"""A peer of isolatord in Python: the 16-byte header of common/ipc.h and the few messages of proto/isolation.proto, encoded by hand.

It has to be able to send what no honest peer sends, so it does not use the C library. Identity is SO_PEERCRED, which the kernel takes from the
effective ids at connect(); so one root process can play every user.
"""

import contextlib
import ipaddress
import os
import socket
import struct

import pbmini
from pbmini import decode  # for the tests that speak through here

message = pbmini.data  # a nested message, which is there even when it is empty

PROTOCOL = 1
HEADER = struct.Struct("=HHIII")  # protocol, type, flags, length, sequence
MAX_RECORD = 192 * 1024
HELLO, ERROR, STATUS_REPORT = 1, 2, 3
ISOLATION_ORDER, ISOLATION_RESULT, ISOLATION_QUERY = 64, 65, 66
BOTH, INBOUND, OUTBOUND = 1, 2, 3
SERVER, LOCAL = 1, 2
TCP, UDP, ICMP = 6, 17, 1
STATES = {0: "UNSPECIFIED", 1: "RELEASED", 2: "ISOLATED", 3: "FAILED"}
AGENTD_UID, GID = 60580, 60580


# ---- protobuf, on pbmini ----
def field(number, value):
    """One field; nothing for the default value, as proto3 has it."""
    if isinstance(value, (bytes, bytearray)):
        return message(number, bytes(value)) if value else b""
    return pbmini.number(number, int(value)) if value else b""


def endpoint(address, port):
    return field(1, ipaddress.ip_address(address).packed) + field(2, port)


def exception(direction=BOTH, protocol=0, address=None, local=(0, 0), remote=(0, 0)):
    """address: "10.0.0.5" or "10.0.0.0/8", v4 or v6; None: any."""
    packed, prefix = b"", 0
    if address is not None:
        net = ipaddress.ip_network(address, strict=False)
        packed, prefix = net.network_address.packed, net.prefixlen
    return (field(1, direction) + field(2, protocol) + field(3, packed) + field(4, prefix) + field(5, local[0]) + field(6, local[1]) +
            field(7, remote[0]) + field(8, remote[1]))


def order(on, uplink=(), exceptions=(), duration_s=0, origin=LOCAL, transit=False, command_id=b"e2e"):
    """A packed IsolationOrder. uplink: (address, port) pairs; exceptions: packed by exception()."""
    return (field(1, on) + field(2, origin) + field(3, duration_s) + b"".join(message(4, endpoint(*e)) for e in uplink) +
            b"".join(message(5, e) for e in exceptions) + field(6, transit) + field(7, command_id))


class Result:
    """An IsolationResult."""

    def __init__(self, data):
        top = decode(data)
        status = decode(top.get(3, [b""])[0])
        self.accepted = bool(top.get(1, [0])[0])
        self.text = top.get(2, [b""])[0].decode()
        self.state = STATES[status.get(1, [0])[0]]
        self.origin = status.get(2, [0])[0]
        self.since_ms, self.until_ms = status.get(3, [0])[0], status.get(4, [0])[0]
        self.backend = status.get(5, [b""])[0].decode()
        self.exceptions, self.heals = status.get(6, [0])[0], status.get(7, [0])[0]
        self.detail = status.get(8, [b""])[0].decode()
        self.uplink = len(status.get(9, []))

    def __repr__(self):
        return f"Result({vars(self)})"


class Closed(Exception):
    """The peer closed the link."""


@contextlib.contextmanager
def identity(uid, gid):
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


class Client:
    def __init__(self, path, uid=AGENTD_UID, gid=GID, timeout=10):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.socket.settimeout(timeout)
        self.sequence = 0
        self.reports = []  # StatusReports that came in between: (counters, facts)
        with identity(uid, gid):
            self.socket.connect(str(path))
        try:
            self.send(HELLO, 0, field(1, PROTOCOL) + field(2, b"e2e") + field(3, b"test"))
            assert self.receive()[0] == HELLO
        except (Closed, BrokenPipeError, ConnectionResetError):
            self.socket.close()
            raise Closed from None

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.socket.close()

    def send(self, kind, sequence, payload, fds=()):
        record = HEADER.pack(PROTOCOL, kind, 0, len(payload), sequence) + payload
        if fds:
            socket.send_fds(self.socket, [record], list(fds))
        else:
            self.socket.send(record)

    def receive(self):
        """(type, sequence, payload)"""
        try:
            record = self.socket.recv(MAX_RECORD + HEADER.size)
        except ConnectionResetError:
            raise Closed from None
        if not record:
            raise Closed
        protocol, kind, _, length, sequence = HEADER.unpack_from(record)
        assert protocol == PROTOCOL and len(record) == HEADER.size + length
        return kind, sequence, record[HEADER.size:]

    def wait(self, kind, sequence):
        """The payload of the next record of that type and sequence."""
        while True:
            got, number, payload = self.receive()
            if got == STATUS_REPORT:
                report = decode(payload)
                pairs = [[decode(row) for row in report.get(n, [])] for n in (1, 2)]
                self.reports.append(({c[1][0].decode(): c.get(2, [0])[0] for c in pairs[0]},
                                     {f[1][0].decode(): f.get(2, [b""])[0].decode() for f in pairs[1]}))
            if got == ERROR and number == sequence:
                raise AssertionError(decode(payload))
            if (got, number) == (kind, sequence):
                return payload

    def request(self, kind, payload, fds=()):
        self.sequence += 1
        self.send(kind, self.sequence, payload, fds)
        return Result(self.wait(ISOLATION_RESULT, self.sequence))

    def isolate(self, **what):
        """Send an order that is on; in a sealed memfd when it does not fit a record."""
        packed = order(True, **what)
        if len(packed) <= MAX_RECORD:
            return self.request(ISOLATION_ORDER, packed)
        fd = sealed_memfd(packed)
        try:
            return self.request(ISOLATION_ORDER, b"", [fd])
        finally:
            os.close(fd)

    def release(self):
        return self.request(ISOLATION_ORDER, order(False))

    def query(self):
        return self.request(ISOLATION_QUERY, b"")

    def notice(self):
        """The next result that nobody asked for."""
        return Result(self.wait(ISOLATION_RESULT, 0))


F_ADD_SEALS, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE = 1033, 1, 2, 4, 8


def sealed_memfd(data, seals=F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE):
    import fcntl
    fd = os.memfd_create("order", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    if seals:
        fcntl.fcntl(fd, F_ADD_SEALS, seals)
    return fd
