"""Enough protobuf to write and read the agent's messages by hand: no generated code, so that a wrong .proto cannot hide behind itself."""

import struct


def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    out.append(n)
    return bytes(out)


def number(field, n):
    return varint(field << 3) + varint(n)


def fixed64(field, n):
    return varint(field << 3 | 1) + struct.pack("<Q", n)


def data(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def decode(message):
    """{field: [values]}; a value is an int or bytes."""
    fields, at = {}, 0

    def read_varint():
        nonlocal at
        n = shift = 0
        while True:
            byte = message[at]
            at += 1
            n |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return n

    while at < len(message):
        tag = read_varint()
        kind = tag & 7
        if kind == 0:
            value = read_varint()
        elif kind == 2:
            size = read_varint()
            value, at = message[at:at + size], at + size
        else:
            size = {1: 8, 5: 4}[kind]
            value, at = int.from_bytes(message[at:at + size], "little"), at + size
        fields.setdefault(tag >> 3, []).append(value)
    return fields


# ---- the agent's messages (proto/link.proto, telemetry.proto, event.proto) ----

def event(time_ms=1700000000000, serial=1, pid=100, executable="/usr/bin/true", args=("true",)):
    """A process event."""
    process = number(1, pid) + number(2, 1) + number(3, 0) + data(9, executable)
    start = b"".join(data(1, a) for a in args) + data(2, "/tmp")
    return number(1, 1) + number(2, time_ms) + number(3, serial) + data(6, process) + data(16, start)


def record(epoch, sequence, event_bytes, event_type=1):
    return fixed64(1, epoch) + number(2, sequence) + number(3, event_type) + data(4, event_bytes)


def telemetry(agent_id, records):
    return data(1, agent_id) + b"".join(data(2, r) for r in records)


def agent_state(host_name="host", addresses=(b"\x0a\x00\x00\x05",)):
    return data(1, host_name) + b"".join(data(2, a) for a in addresses) + data(7, "1.0")


def sync(agent_id, state=b"", results=(), time_ms=1):
    return data(1, agent_id) + number(2, time_ms) + data(3, state) + b"".join(data(4, r) for r in results)


def command_result(command_id, status, text=""):
    return data(1, command_id) + number(2, status) + data(3, text) + number(4, 1)
