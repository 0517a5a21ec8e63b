"""The kernel's audit state and its records, read beside the agent: netlink only, nothing is changed.

Struct layouts: linux/audit.h (struct audit_status, struct audit_rule_data).
"""

import re
import socket
import struct
import threading
import time

NETLINK_AUDIT = 9
NLM_F_REQUEST, NLM_F_ACK = 1, 4
NLMSG_ERROR, NLMSG_DONE = 2, 3
AUDIT_GET, AUDIT_ADD_RULE, AUDIT_DEL_RULE, AUDIT_LIST_RULES = 1000, 1011, 1012, 1013
AUDIT_FILTER_EXIT, AUDIT_ALWAYS, AUDIT_FILTERKEY, AUDIT_EQUAL = 4, 2, 210, 0x40000000
SWAPON = 167  # x86_64; a call that no test makes
AUDIT_NLGRP_READLOG = 1
SO_RCVBUFFORCE = 33
AUDIT_SYSCALL, AUDIT_EXECVE, AUDIT_EOE = 1300, 1309, 1320


def request(kind, payload=b""):
    """The payloads that the kernel answers with, by message type."""
    answers = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT) as s:
        s.settimeout(5)
        s.bind((0, 0))
        s.sendto(struct.pack("=IHHII", 16 + len(payload), kind, NLM_F_REQUEST | NLM_F_ACK, 1, 0) + payload, (0, 0))
        acked = done = False
        while not (acked and (done or kind != AUDIT_LIST_RULES and (answers or kind != AUDIT_GET))):
            data = s.recv(65536)
            _, mtype = struct.unpack_from("=IH", data)
            if mtype == NLMSG_ERROR:
                code = struct.unpack_from("=i", data, 16)[0]
                if code:
                    raise OSError(-code, "audit netlink")
                acked = True
            elif mtype == NLMSG_DONE:
                done = True
            elif mtype == kind:
                answers.append(data[16:])
    return answers


def status():
    mask, enabled, failure, pid, rate, backlog_limit, lost, backlog = struct.unpack_from("=8I", request(AUDIT_GET)[0])
    wait = struct.unpack_from("=2I", request(AUDIT_GET)[0], 32)[1]
    return {"enabled": enabled, "failure": failure, "pid": pid, "rate_limit": rate, "backlog_limit": backlog_limit,
            "backlog_wait_time": wait}


def rules():
    """Every loaded rule as the kernel's bytes."""
    return request(AUDIT_LIST_RULES)


class ForeignRule:
    """A rule such as an administrator has, for the time of a with block: -a always,exit -S swapon -k <key>."""

    def __init__(self, key=b"admins-own"):
        mask, array = [0] * 64, [0] * 64
        mask[SWAPON // 32] = 1 << (SWAPON % 32)
        self.rule = struct.pack("=3I64I64I64I64II", AUDIT_FILTER_EXIT, AUDIT_ALWAYS, 1, *mask, AUDIT_FILTERKEY, *array[1:],
                                len(key), *array[1:], AUDIT_EQUAL, *array[1:], len(key)) + key

    def __enter__(self):
        request(AUDIT_ADD_RULE, self.rule)
        return self

    def __exit__(self, *exc):
        request(AUDIT_DEL_RULE, self.rule)


def state():
    """All that a well-behaved agent puts back."""
    return status(), rules()


class Truth:
    """A multicast listener: what execve events the kernel raised, independently of the agent. serials[token] = serial."""

    def __init__(self, pattern):
        self.pattern = re.compile(pattern)
        self.serials = {}
        self.overruns = 0
        self.sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        self.sock.settimeout(0.2)
        self.sock.bind((0, 1 << (AUDIT_NLGRP_READLOG - 1)))
        self.stopping = False
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                data = self.sock.recv(65536)
            except socket.timeout:
                if self.stopping:
                    return
                continue
            except OSError:
                self.overruns += 1
                continue
            if struct.unpack_from("=IH", data)[1] != AUDIT_EXECVE:
                continue
            found = self.pattern.search(data)
            if found:
                self.serials[found.group(0).decode()] = int(re.search(rb":(\d+)\)", data).group(1))

    def stop(self):
        time.sleep(0.3)  # let the last records arrive; a missing one fails the test that uses us
        self.stopping = True
        self.thread.join(10)
        self.sock.close()
        return self.serials
