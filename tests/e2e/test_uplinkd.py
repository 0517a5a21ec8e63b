"""uplinkd with the real agentd and the real server; collectord is played by the test, so that it can say exactly what it sent."""

import os
import struct
import time

import pytest

import ipcclient
from harness import COLLECTORD_UID, GID, Suite, wait_for
from ipcclient import Client, Closed, decode, field, message

EVENT_BATCH, BATCH_ACK, RESUME_QUERY, RESUME_REPLY = 96, 97, 98, 99
FILECHANGE = 5


def fixed64(number, value):
    return ipcclient.varint(number << 3 | 1) + struct.pack("<Q", value)


def record(epoch, sequence, text):
    """A TelemetryRequest.records field, as collectord packs it."""
    event = field(1, FILECHANGE) + field(2, int(time.time() * 1000)) + message(20, field(1, 1) + field(2, text))
    return message(2, fixed64(1, epoch) + field(2, sequence) + field(3, FILECHANGE) + field(4, event))


class Collector:
    """collectord's end of the link: keeps what is not acknowledged and sends it again on a new link."""

    def __init__(self, suite):
        self.path = suite.dir / "run/uplinkd.sock"
        self.epoch = time.time_ns()
        self.sent = self.acked = 0
        self.client = None

    def __enter__(self):
        return self.connect()

    def __exit__(self, *exc):
        self.client.socket.close()

    def connect(self, seconds=15):
        def attempt():
            try:
                return Client(self.path, COLLECTORD_UID, GID)
            except (OSError, Closed):
                return None
        self.client = wait_for(attempt, seconds, "uplinkd's socket")
        return self

    def resume(self):
        """On a new link: ask what is on disk, send the rest again."""
        self.connect()
        self.client.send(RESUME_QUERY, 7, fixed64(1, self.epoch))
        durable = self.sequence_of(self.client.wait(RESUME_REPLY, 7))
        assert self.acked <= durable <= self.sent, "an acknowledged event is not known any more"
        self.acked = durable
        again, self.sent = self.sent, durable
        while self.sent < again:
            self.send(min(200, again - self.sent))

    def sequence_of(self, data):
        """BatchAck and ResumeReply have the same two fields."""
        assert data[0] == 9 and struct.unpack_from("<Q", data, 1)[0] == self.epoch
        return decode(data[9:]).get(2, [0])[0]

    def send(self, count=10, size=40):
        first = self.sent + 1
        self.client.send(EVENT_BATCH, 0, b"".join(record(self.epoch, n, b"/tmp/" + str(n).encode().rjust(size, b"0"))
                                                  for n in range(first, first + count)))
        self.sent += count

    def take_ack(self):
        kind, _, data = self.client.receive()
        if kind == BATCH_ACK:
            acked = self.sequence_of(data)
            assert self.acked < acked <= self.sent
            self.acked = acked

    def wait_acked(self):
        while self.acked < self.sent:
            self.take_ack()


def stored(suite, epoch):
    """(rows, distinct sequences, highest) of an epoch at the server."""
    signed = struct.unpack("<q", struct.pack("<Q", epoch))[0]
    return suite.sql("SELECT count(*), count(DISTINCT sequence), coalesce(max(sequence), 0) FROM events JOIN streams "
                     "ON streams.id = events.stream WHERE epoch = ?", signed)[0]


def wait_stored(suite, collector, seconds=20):
    n = collector.sent
    wait_for(lambda: stored(suite, collector.epoch) == (n, n, n), seconds, f"each of {n} events once at the server")


@pytest.fixture
def uplink(request):
    """Server, isolatord, agentd and uplinkd; the test is collectord, and KATAEDR is started."""
    s = Suite()
    try:
        s.start_server()
        for name in ("isolatord", "agentd", "uplinkd"):
            s.start_daemon(name)
        wait_for(lambda: s.ctl("status").returncode == 0, what="agentd")
        s.ctl("settings", "set", "KATAEDR", f"Address={s.address}", f"Port={s.port}", "UseClientPinnedCertificate=Yes",
              "SynchronizationPeriod=1s", "MaximumDataTransferTime=1s", check=True)
        with Client(s.dir / "run/agentd.sock", COLLECTORD_UID, GID):
            wait_for(lambda: s.ctl("task", "start", "KATAEDR", "--with-dependencies").returncode == 0, what="KATAEDR")
            wait_for(s.hosts, what="the first sync")
            yield s
    finally:
        s.close(getattr(request.node, "failed_in_call", True))


def test_events_are_acknowledged_and_arrive_once(uplink):
    with Collector(uplink) as collector:
        for _ in range(20):
            collector.send(100)
        collector.wait_acked()
        wait_stored(uplink, collector)
    wait_for(lambda: uplink.counter("uplinkd", "spooled_events") == 0, what="an empty spool")
    assert uplink.fact("uplinkd", "state") == "connected"
    assert uplink.counter("uplinkd", "acked") == collector.sent


def test_nothing_acknowledged_is_lost_over_twenty_kills(uplink):
    with Collector(uplink) as collector:
        for kill in range(20):
            try:
                for _ in range(kill % 7 + 1):
                    collector.send(50)
                if kill % 3:
                    collector.take_ack()
            except (Closed, OSError):
                pass
            uplink.processes["uplinkd"].kill()
            collector.client.socket.close()
            collector.resume()
        collector.wait_acked()
        wait_stored(uplink, collector)


def test_events_wait_for_a_server_that_is_away(uplink):
    with Collector(uplink) as collector:
        uplink.processes["server"].stop()
        collector.send(200)
        collector.wait_acked()
        wait_for(lambda: uplink.counter("uplinkd", "spooled_events") == 200, what="200 events in the spool")
        wait_for(lambda: "connect" in (uplink.fact("uplinkd", "state") or ""), what="the reason in words")
        uplink.processes["uplinkd"].kill()
        collector.client.socket.close()
        collector.resume()
        assert collector.acked == 200, "all of it was on disk"
        uplink.start_server(uplink.port)
        wait_stored(uplink, collector)
