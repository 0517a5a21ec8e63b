"""uplinkd with the real agentd and the real server; collectord is played by the test, so that it can say exactly what it sent.

Where the server must misbehave it is played as well.
"""

import base64
import contextlib
import http.server
import socket
import ssl
import struct
import threading
import time

import pytest

import ipcclient
from harness import COLLECTORD_UID, GID, Suite, wait_for
from ipcclient import Client, Closed, decode, field, message
from pbmini import fixed64

EVENT_BATCH, BATCH_ACK, RESUME_QUERY, RESUME_REPLY = 96, 97, 98, 99
FILECHANGE, LOSS = 5, 8


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


@contextlib.contextmanager
def running(request, config="", fake=None, **settings):
    """isolatord, agentd and uplinkd, KATAEDR started; the test is collectord. `fake`: the server, made when the certificates are there."""
    s = Suite(config=config)
    try:
        if fake is not None:
            fake.start(s)
        else:
            s.start_server()
        for name in ("isolatord", "agentd", "uplinkd"):
            s.start_daemon(name)
        wait_for(lambda: s.ctl("status").returncode == 0, what="agentd")
        values = {"Address": s.address, "Port": s.port, "UseClientPinnedCertificate": "Yes", "SynchronizationPeriod": "1s",
                  "MaximumDataTransferTime": "1s", **settings}
        s.ctl("settings", "set", "KATAEDR", *[f"{k}={v}" for k, v in values.items()], check=True)
        with Client(s.dir / "run/agentd.sock", COLLECTORD_UID, GID):
            wait_for(lambda: s.ctl("task", "start", "KATAEDR", "--with-dependencies").returncode == 0, what="KATAEDR")
            yield s
    finally:
        if fake is not None:
            fake.stop()
        s.close(getattr(request.node, "failed_in_call", True))


@pytest.fixture
def uplink(request):
    with running(request) as s:
        wait_for(s.hosts, what="the first sync")
        yield s


class FakeServer:
    """An EDR server that answers telemetry as the test says: judge(records, request) returns None to store them, or (status, headers, body)."""

    def __init__(self, judge):
        self.judge = judge
        self.seen = {}      # (epoch, sequence): (type, event)
        self.requests = []  # (monotonic time, records, encoding) of every telemetry request
        self.order = []     # keys as they came first
        self.httpd = None

    def start(self, suite):
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers, reply = fake.answer(self, body)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *args):
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(suite.dir / "pki/server.pem", suite.dir / "server/server.key")
        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.httpd.socket = context.wrap_socket(self.httpd.socket, server_side=True)
        self.httpd.daemon_threads = True
        suite.port = self.httpd.server_port
        threading.Thread(target=self.httpd.serve_forever, daemon=True).start()

    def stop(self):
        if self.httpd is not None:
            self.httpd.shutdown()
            self.httpd.server_close()

    def answer(self, request, body):
        if request.path == "/edr/v1/sync":
            return 200, {}, field(1, int(time.time() * 1000))
        encoding = request.headers.get("Content-Encoding")
        records = [] if encoding else telemetry(body)
        self.requests.append((time.monotonic(), len(records), encoding))
        verdict = self.judge(records, self)
        if verdict is not None:
            return verdict
        new = 0
        for key, value in records:
            if key not in self.seen:
                self.seen[key] = value
                self.order.append(key)
                new += 1
        return 200, {}, field(1, new) + field(2, len(records) - new) + field(3, len(records))

    def got(self, epoch):
        return [n for e, n in self.order if e == epoch]

    def losses(self):
        """The Loss messages that came."""
        return [decode_loss(event) for kind, event in self.seen.values() if kind == LOSS]


def decode_loss(event):
    detail = decode(event)[23][0]
    # Everything before the fixed64 epoch (field 7) is varints.
    return decode(detail.split(bytes([7 << 3 | 1]))[0]) if bytes([7 << 3 | 1]) in detail else decode(detail)


def telemetry(body):
    """[((epoch, sequence), (type, event))] of a TelemetryRequest."""
    out = []
    for packed in decode(body).get(2, []):
        assert packed[0] == 1 << 3 | 1
        rest = decode(packed[9:])
        out.append(((struct.unpack_from("<Q", packed, 1)[0], rest[2][0]), (rest[3][0], rest[4][0])))
    return out


PLAIN = "[uplinkd]\nCompression = none\n"


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


def test_package_that_is_too_large_is_split_and_nothing_is_lost(request):
    fake = FakeServer(lambda records, _: (413, {}, b"too large") if len(records) > 10 else None)
    with running(request, PLAIN, fake) as suite, Collector(suite) as collector:
        collector.send(100)
        wait_for(lambda: fake.got(collector.epoch) == list(range(1, 101)), what="all events in order")
        assert wait_for(lambda: suite.counter("uplinkd", "splits"), what="the splits in the counters") >= 3
        assert suite.counter("uplinkd", "set_aside") == 0


def test_package_that_is_refused_for_good_is_set_aside_and_reported(request):
    fake = FakeServer(lambda records, _: (400, {}, b"no") if any(b"poison" in event for _, (_, event) in records) else None)
    with running(request, PLAIN, fake) as suite, Collector(suite) as collector:
        collector.client.send(EVENT_BATCH, 0, record(collector.epoch, 1, b"/tmp/poison") + record(collector.epoch, 2, b"/tmp/beside"))
        collector.sent = 2
        wait_for(lambda: suite.counter("uplinkd", "set_aside") == 1, what="the package set aside")
        collector.send(10)
        wait_for(lambda: fake.got(collector.epoch) == list(range(3, 13)), what="what came behind it")
        loss = wait_for(fake.losses, what="a LOSS event")[0]
        assert (loss[1], loss[2], loss[5], loss[6]) == ([5], [2], [1], [2])
        kept = list((suite.dir / "state/uplinkd").glob("refused-*-2.pb"))
        assert len(kept) == 1 and b"/tmp/poison" in kept[0].read_bytes()


def test_server_that_refuses_everything_does_not_use_up_the_backlog(request):
    fake = FakeServer(lambda *_: (400, {}, b"no"))
    with running(request, PLAIN, fake, MaximumNumberOfEventsInPackage=10) as suite, Collector(suite) as collector:
        collector.send(200)
        wait_for(lambda: "refuses the events" in suite.fact("uplinkd", "state"), what="the reason in words")
        assert suite.counter("uplinkd", "set_aside") == 3
        assert suite.counter("uplinkd", "spooled_events") == 170


def test_server_that_does_not_know_zstd_gets_plain_packages(request):
    fake = FakeServer(lambda _, server: (415, {}, b"what?") if server.requests[-1][2] else None)
    with running(request, "", fake) as suite, Collector(suite) as collector:
        collector.send(50)
        wait_for(lambda: fake.got(collector.epoch) == list(range(1, 51)), what="all events")
        assert [r[2] for r in fake.requests[:2]] == ["zstd", None]


def test_busy_server_is_left_alone_as_long_as_it_asks(request):
    fake = FakeServer(lambda _, server: (503, {"Retry-After": "2"}, b"busy") if len(server.requests) == 1 else None)
    with running(request, PLAIN, fake) as suite, Collector(suite) as collector:
        collector.send(10)
        wait_for(lambda: fake.got(collector.epoch) == list(range(1, 11)), what="all events")
        assert fake.requests[1][0] - fake.requests[0][0] >= 2


def test_answer_that_does_not_add_up_is_no_acknowledgement(request):
    def judge(records, server):
        if len(server.requests) < 4:
            return 200, {}, field(1, len(records) - 1) + field(3, len(records) - 1)
        return None
    fake = FakeServer(judge)
    with running(request, PLAIN, fake) as suite, Collector(suite) as collector:
        collector.send(10)
        wait_for(lambda: fake.got(collector.epoch) == list(range(1, 11)), what="all events, sent again")
        assert wait_for(lambda: suite.counter("uplinkd", "retries") >= 3, what="the retries in the counters")
        assert suite.counter("uplinkd", "acked") == 10


def test_server_that_refuses_the_agent_loses_nothing(request):
    admitted = threading.Event()
    fake = FakeServer(lambda *_: None if admitted.is_set() else (403, {}, b"not you"))
    with running(request, PLAIN, fake) as suite, Collector(suite) as collector:
        collector.send(10)
        wait_for(lambda: "refuses this agent" in suite.fact("uplinkd", "state"), what="the reason in words")
        assert suite.counter("uplinkd", "spooled_events") == 10
        admitted.set()
        wait_for(lambda: fake.got(collector.epoch) == list(range(1, 11)), 20, "all events")


def test_second_server_takes_over_when_the_first_is_away(request):
    fake = FakeServer(lambda *_: None)
    with running(request, PLAIN, fake) as suite, Collector(suite) as collector:
        collector.send(10)
        wait_for(lambda: len(fake.got(collector.epoch)) == 10, what="events at the only server")
        suite.ctl("settings", "set", "KATAEDR", "Port=1", "Servers.item_0000.Address=127.0.0.1", f"Servers.item_0000.Port={suite.port}",
                  check=True)
        collector.send(10)
        wait_for(lambda: fake.got(collector.epoch) == list(range(1, 21)), what="events at the second server")


def test_full_spool_drops_the_oldest_and_the_books_balance(request):
    away = threading.Event()
    fake = FakeServer(lambda *_: (503, {}, b"") if not away.is_set() else None)
    with running(request, PLAIN + "SpoolSize = 32MiB\nCommitDelay = 1ms\n", fake) as suite, Collector(suite) as collector:
        for _ in range(450):
            collector.send(1, size=100000)
            collector.wait_acked()
        away.set()
        wait_for(lambda: collector.sent in fake.got(collector.epoch), 40, "the newest event")
        got = fake.got(collector.epoch)
        losses = fake.losses()
        assert got == list(range(got[0], collector.sent + 1)), "oldest first, the rest in order"
        assert got[0] > 1 and sum(loss[2][0] for loss in losses) == got[0] - 1
        assert min(loss[5][0] for loss in losses) == 1 and max(loss[6][0] for loss in losses) == got[0] - 1


def test_name_of_the_server_is_resolved_and_remembered(request):
    fake = FakeServer(lambda *_: None)
    with running(request, PLAIN, fake, Address="localhost") as suite, Collector(suite) as collector:
        collector.send(10)
        wait_for(lambda: fake.got(collector.epoch) == list(range(1, 11)), what="all events")
        addresses = suite.dir / "state/uplinkd/addresses"
        wait_for(lambda: addresses.exists() and f"localhost {suite.port} 127.0.0.1" in addresses.read_text(), what="the address on disk")
        assert "sandbox.unknown_call" not in suite.log("uplinkd")


def test_command_of_the_server_is_carried_out_once_and_its_result_confirmed(uplink):
    agent = uplink.ctl_json("status")["agent_id"]
    done = uplink.server("settings", agent, "KATAEDR", "MaximumNumberOfEventsInPackage=77", "--wait", "20", check=False, timeout=30)
    assert done.returncode == 0, done
    assert "77" in uplink.ctl("settings", "get", "KATAEDR", "MaximumNumberOfEventsInPackage").stdout
    assert uplink.sql("SELECT state FROM commands") == [("done",)]
    wait_for(lambda: uplink.counter("uplinkd", "results") == 1, what="the result confirmed")
    assert uplink.log("agentd").count("MaximumNumberOfEventsInPackage value=77") == 1


BATCH = record(1, 1, b"/tmp/x")


@pytest.mark.parametrize("kind, payload", [
    (EVENT_BATCH, b"\x12"),
    (EVENT_BATCH, b"\x12\x00"),
    (EVENT_BATCH, BATCH[:-1]),
    (EVENT_BATCH, BATCH + b"\x1a\x00"),
    (EVENT_BATCH, BATCH + b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
    (EVENT_BATCH, record(0, 1, b"/tmp/x")),
    (EVENT_BATCH, record(1, 0, b"/tmp/x")),
    (RESUME_QUERY, b"\x09\x01"),
    (BATCH_ACK, b""),      # uplinkd's own
    (128, b""),            # agentd's settings, from collectord
    (4711, b""),
])
def test_peer_that_breaks_the_protocol_loses_its_link_and_nothing_else(uplink, kind, payload):
    with Collector(uplink) as collector:
        collector.client.send(kind, 0, payload)
        with pytest.raises(Closed):
            while True:
                collector.client.receive()
    with Collector(uplink) as collector:
        collector.send(5)
        collector.wait_acked()
        wait_stored(uplink, collector)
    assert uplink.processes["uplinkd"].starts == 1


@contextlib.contextmanager
def connect_proxy(user=None):
    """An HTTP proxy that knows CONNECT; yields its port and what was asked of it."""
    asked = []
    listener = socket.create_server(("127.0.0.1", 0))

    def pump(source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    def serve(client):
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(65536)
        lines = head.decode().split("\r\n")
        asked.append(lines[0])
        given = next((line.split()[-1] for line in lines if line.lower().startswith("proxy-authorization: basic")), "")
        if user is not None and base64.b64decode(given).decode() != user:
            client.sendall(b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            client.close()
            return
        host, port = lines[0].split()[1].rsplit(":", 1)
        server = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
        threading.Thread(target=pump, args=(server, client), daemon=True).start()
        pump(client, server)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], asked
    finally:
        listener.close()


def test_everything_goes_through_the_proxy_when_there_is_one(uplink):
    with connect_proxy("agent:s3cret") as (port, asked), Collector(uplink) as collector:
        uplink.ctl("settings", "set", "KATAEDR", "General.UseProxy=Yes", f"General.ProxyServer=http://agent:wrong@127.0.0.1:{port}", check=True)
        wait_for(lambda: "407" in uplink.fact("uplinkd", "state"), what="the refusal of the proxy in words")
        collector.send(20)
        collector.wait_acked()
        uplink.ctl("settings", "set", "KATAEDR", f"General.ProxyServer=http://agent:s3cret@127.0.0.1:{port}", check=True)
        wait_stored(uplink, collector)
        assert set(asked) == {f"CONNECT 127.0.0.1:{uplink.port} HTTP/1.1"}
        # agentd is told the proxy's address, for the packet filter.
        assert uplink.fact("uplinkd", "proxy") == "127.0.0.1"
        for name in ("uplinkd", "agentd"):
            assert "s3cret" not in uplink.log(name)
        with open(f"/proc/{uplink.pid('uplinkd')}/cmdline", "rb") as f:
            assert b"s3cret" not in f.read()
