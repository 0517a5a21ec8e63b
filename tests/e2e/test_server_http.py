"""picket-server over real TLS: who gets in, which status answers what, and that a 200 is never taken back."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import ssl
import subprocess
import tempfile
import threading
import time
import warnings

import pytest

import pbmini as pb
from harness import BIN, ROOT, SERVER_UID, wait_for

MIB = 1 << 20
SYNC, TELEMETRY = "/edr/v1/sync", "/edr/v1/telemetry"


class Server:
    def __init__(self, directory, pki):
        self.dir, self.pki = directory, pki
        self.popen = None
        self.port = 0

    @property
    def db(self):
        return self.dir / "db" / "picket.db"

    def command(self, *extra, **changed):
        options = {"listen": f"127.0.0.1:{self.port}", "port-file": self.dir / "port", "db": self.db, "cert": self.pki / "server.pem",
                   "key": self.pki / "server.key", "client-ca": self.pki / "ca.pem", "run-as": SERVER_UID}
        options.update({k.replace("_", "-"): v for k, v in changed.items()})
        return [str(BIN / "picket-server"), *map(str, extra)] + [
            word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]

    def start(self, *extra, **changed):
        """Run it; after the first time on the same port."""
        port_file = self.dir / "port"
        port_file.unlink(missing_ok=True)
        with open(self.dir / "log", "ab") as log:
            self.popen = subprocess.Popen(self.command(*extra, **changed), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.port = int(wait_for(lambda: self.popen.poll() is not None or port_file.exists() and port_file.read_text().strip(),
                                 what="the port"))
        assert self.popen.poll() is None, self.log()

    def refuse(self, *extra, **changed):
        """Run it where it must not start: (exit status, the one line it says)."""
        done = subprocess.run(self.command(*extra, **changed), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True, timeout=10)
        lines = [line for line in done.stderr.splitlines() if line.startswith("picket-server: ")]
        assert len(lines) == 1 and done.stdout == "", done.stdout + done.stderr
        assert not (self.dir / "port").exists() or (self.dir / "port").read_text() == "", "claims to answer"
        return done.returncode, lines[0]

    def kill(self, sig=signal.SIGKILL):
        self.popen.send_signal(sig)
        return self.popen.wait(10)

    def stop(self):
        if self.popen is not None and self.popen.poll() is None:
            assert self.kill(signal.SIGTERM) == 0, self.log()

    def log(self):
        return (self.dir / "log").read_text(errors="replace")

    def sql(self, query, *args):
        with sqlite3.connect(f"file:{self.db}?mode=ro", uri=True, timeout=10) as db:
            return db.execute(query, args).fetchall()

    def context(self, client="client", ca="ca"):
        context = ssl.create_default_context(cafile=self.pki / f"{ca}.pem")
        if client:
            context.load_cert_chain(self.pki / f"{client}.pem", self.pki / f"{client}.key")
        return context

    def connect(self, client="client", timeout=20):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context(client), timeout=timeout)

    def raw(self, timeout=20):
        """A TLS stream, to say what no HTTP client would."""
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        return self.context().wrap_socket(plain, server_hostname="127.0.0.1")

    def verb(self, *args):
        done = subprocess.run([BIN / "picket-server", *map(str, args), "--db", self.db], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
        return done.returncode, done.stdout, done.stderr


def request(connection, path, body=b"", method="POST", **headers):
    """(status, headers, body) of one request on a kept connection."""
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    reply = connection.getresponse()
    return reply.status, dict(reply.getheaders()), reply.read()


def counts(reply):
    """(stored, duplicates, records) of a TelemetryReply."""
    status, headers, body = reply
    assert status == 200, body
    assert headers["Content-Type"] == "application/x-protobuf"
    fields = pb.decode(body)
    return tuple(fields.get(n, [0])[0] for n in (1, 2, 3))


def package(first, count, agent="agent-1", epoch=1):
    return pb.telemetry(agent, [pb.record(epoch, n, pb.event(serial=n)) for n in range(first, first + count)])


def zstd(data):
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout


@pytest.fixture(scope="module")
def pki():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="picket-pki-"))
    subprocess.run([ROOT / "packaging/demo/pki", "-w", "-c", "other", directory], check=True)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def server(request, pki):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="picket-server-"))
    directory.chmod(0o755)
    (directory / "db").mkdir(mode=0o700)
    os.chown(directory / "db", SERVER_UID, SERVER_UID)
    s = Server(directory, pki)
    try:
        yield s
        s.stop()
    finally:
        if s.popen is not None and s.popen.poll() is None:
            s.popen.kill()
            s.popen.wait(10)
        if getattr(request.node, "failed_in_call", False) and (directory / "log").exists():
            print(s.log()[-4000:])
        shutil.rmtree(directory)


@pytest.fixture
def running(server):
    server.start()
    return server


# ---- who gets in ----

def refused_by_tls(server, context):
    """True when no request gets an answer. (With TLS 1.3 the refusal arrives with the first read.)"""
    connection = http.client.HTTPSConnection("127.0.0.1", server.port, context=context, timeout=10)
    try:
        request(connection, SYNC, pb.sync("agent-1"))
    except (ssl.SSLError, ConnectionError, http.client.RemoteDisconnected):
        return True
    finally:
        connection.close()
    return False


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_no_client_certificate_is_refused(running, version):
    context = running.context(client=None)
    context.minimum_version = context.maximum_version = version
    assert refused_by_tls(running, context)
    wait_for(lambda: 'why="peer did not return a certificate"' in running.log(), what="the reason in the log")
    assert running.sql("SELECT count(*) FROM hosts") == [(0,)]


def test_client_certificate_of_another_ca_is_refused(running):
    assert refused_by_tls(running, running.context(client="wrong-client"))
    line = wait_for(lambda: [x for x in running.log().splitlines() if "tls.refused " in x], what="the reason in the log")[0]
    assert 'certificate="unable to get local issuer certificate"' in line and "peer=127.0.0.1:" in line


def test_a_server_certificate_is_no_client_certificate(running):
    assert refused_by_tls(running, running.context(client="server"))
    wait_for(lambda: "tls.refused " in running.log() and "purpose" in running.log(), what="the reason in the log")


def test_tls_below_1_2_is_refused(running):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(socket.create_connection(("127.0.0.1", running.port), timeout=10)).read()


def test_plain_http_gets_no_answer(running):
    with socket.create_connection(("127.0.0.1", running.port), timeout=10) as plain:
        plain.sendall(b"POST /edr/v1/sync HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        assert b"HTTP" not in plain.recv(4096)


def test_an_agent_id_belongs_to_the_first_certificate(running):
    first, second = running.connect("client"), running.connect("other")
    assert counts(request(first, TELEMETRY, package(1, 3))) == (3, 0, 3)
    for path, body in ((TELEMETRY, package(4, 3)), (SYNC, pb.sync("agent-1"))):
        status, headers, text = request(second, path, body)
        assert status == 403
        assert headers["Content-Type"].startswith("text/plain") and text.count(b"\n") == 1
    assert counts(request(second, TELEMETRY, package(1, 2, agent="agent-2"))) == (2, 0, 2)
    assert running.sql("SELECT agent_id, subject FROM hosts ORDER BY agent_id") == [
        ("agent-1", "CN=client,O=Picket throw-away PKI"), ("agent-2", "CN=other,O=Picket throw-away PKI")]
    assert running.sql("SELECT count(*) FROM events") == [(5,)]


# ---- what is answered ----

def test_status_codes_on_one_kept_connection(running):
    connection = running.connect()
    connection.connect()
    local = connection.sock.getsockname()
    cases = [
        (400, TELEMETRY, b"\xff\xff", "POST", {}),
        (400, TELEMETRY, b"", "POST", {}),
        (400, TELEMETRY, pb.telemetry("bad id", []), "POST", {}),
        (400, TELEMETRY, pb.telemetry("agent-1", [pb.record(1, 0, b"")]), "POST", {}),
        (400, SYNC, b"\x0a\x05ab", "POST", {}),
        (400, SYNC, package(1, 1)[:-1], "POST", {}),
        (404, "/", b"", "POST", {}),
        (404, "/edr/v1/sync/", b"", "POST", {}),
        (404, "/edr/v1", b"", "GET", {}),
        (405, SYNC, b"", "GET", {}),
        (405, TELEMETRY, b"", "DELETE", {}),
        (415, TELEMETRY, package(1, 1), "POST", {"Content_Encoding": "gzip"}),
        (400, TELEMETRY, package(1, 1), "POST", {"Content_Encoding": "zstd"}),
        (200, TELEMETRY, package(1, 1), "POST", {"Content_Encoding": "identity"}),
        (200, TELEMETRY, zstd(package(2, 1)), "POST", {"Content_Encoding": "zstd"}),
        (200, SYNC, pb.sync("agent-1"), "POST", {}),
    ]
    for status, path, body, method, headers in cases:
        got, reply_headers, text = request(connection, path, body, method, **headers)
        assert got == status, (path, body[:20], text)
        if status != 200:
            assert text.endswith(b"\n") and text.count(b"\n") == 1, text
        if status == 405:
            assert reply_headers["Allow"] == "POST"
        if status == 415:
            assert "zstd" in reply_headers["Accept-Encoding"]
        assert connection.sock is not None and connection.sock.getsockname() == local, "the connection was not kept"
    assert running.sql("SELECT count(*) FROM events") == [(2,)]


def test_a_body_of_8_mib_is_taken_and_one_byte_more_is_413(running):
    filler = pb.data(15, b"x" * (8 * MIB - len(package(1, 1)) - 5))
    whole = package(1, 1) + filler
    assert len(whole) == 8 * MIB
    assert counts(request(running.connect(), TELEMETRY, whole)) == (1, 0, 1)
    status, _, _ = request(running.connect(), TELEMETRY, whole + b"\x00")
    assert status == 413
    assert counts(request(running.connect(), TELEMETRY, package(1, 2))) == (1, 1, 2)


def test_a_zstd_bomb_is_413_and_costs_no_more_than_the_cap(running):
    bomb = zstd(b"\0" * (512 * MIB))
    assert len(bomb) < MIB
    status, _, text = request(running.connect(), TELEMETRY, bomb, Content_Encoding="zstd")
    assert (status, text) == (413, b"the decoded body is larger than 32 MiB\n")
    peak = int(next(x for x in pathlib.Path(f"/proc/{running.popen.pid}/status").read_text().splitlines()
                    if x.startswith("VmHWM")).split()[1])
    assert peak < 120 * 1024, f"{peak} KiB"
    assert counts(request(running.connect(), TELEMETRY, zstd(package(1, 5)), Content_Encoding="zstd")) == (5, 0, 5)


def test_headers_beyond_16_kib_are_refused(running):
    with running.raw() as stream:
        stream.sendall(b"POST /edr/v1/sync HTTP/1.1\r\nHost: x\r\n" + b"X-Filler: " + b"x" * 20000 + b"\r\n\r\n")
        assert stream.recv(4096)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 413")
    assert request(running.connect(), SYNC, pb.sync("agent-1"))[0] == 200


def test_chunked_bodies_have_the_same_limit(running):
    connection = running.connect()
    connection.request("POST", TELEMETRY, iter([package(1, 2)[:7], package(1, 2)[7:]]), encode_chunked=True,
                       headers={"Transfer-Encoding": "chunked"})
    reply = connection.getresponse()
    assert reply.status == 200, reply.read()
    with running.raw() as stream:
        stream.sendall(b"POST /edr/v1/telemetry HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        piece = b"%x\r\n" % MIB + b"x" * MIB + b"\r\n"
        answer = b""
        try:
            for _ in range(9):
                stream.sendall(piece)
            answer = stream.recv(4096)
        except (ConnectionError, ssl.SSLError):
            pass  # closed in the middle: also a refusal
        assert answer[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 413")
    assert running.sql("SELECT count(*) FROM events") == [(2,)]


def test_a_busy_database_is_503_with_retry_after(running):
    connection = running.connect()
    assert request(connection, SYNC, pb.sync("agent-1"))[0] == 200
    with sqlite3.connect(running.db, isolation_level=None) as db:
        db.execute("BEGIN IMMEDIATE")
        status, headers, text = request(connection, TELEMETRY, package(1, 1))
        db.execute("ROLLBACK")
    assert (status, headers["Retry-After"], text) == (503, "1", b"the database is busy\n")
    assert counts(request(connection, TELEMETRY, package(1, 1))) == (1, 0, 1)


# ---- what is stored ----

def test_records_are_counted_once_whatever_is_sent_again(running):
    connection = running.connect()
    assert counts(request(connection, TELEMETRY, package(1, 1000))) == (1000, 0, 1000)
    assert counts(request(connection, TELEMETRY, package(501, 1000))) == (500, 500, 1000)
    assert counts(request(connection, TELEMETRY, package(1, 10) + package(1, 10)[len(pb.data(1, "agent-1")):])) == (0, 20, 20)
    assert counts(request(connection, TELEMETRY, package(1, 1, epoch=2))) == (1, 0, 1)
    assert counts(request(connection, TELEMETRY, package(1, 1, agent="agent-2"))) == (1, 0, 1)
    assert running.sql("SELECT agent_id, epoch, count(*), min(sequence), max(sequence) FROM event_list GROUP BY 1, 2") == [
        ("agent-1", 1, 1500, 1, 1500), ("agent-1", 2, 1, 1, 1), ("agent-2", 1, 1, 1, 1)]
    assert running.sql("SELECT events, duplicates FROM hosts ORDER BY agent_id") == [(1501, 520), (1, 0)]


def test_damaged_and_unknown_events_are_stored_byte_for_byte(running):
    odd = [(1, b"\x0b\xff"), (300, b"\x08\xac\x02"), (0, b"")]
    body = pb.telemetry("agent-1", [pb.record(1, n + 1, event, kind) for n, (kind, event) in enumerate(odd)])
    assert counts(request(running.connect(), TELEMETRY, body)) == (3, 0, 3)
    assert running.sql("SELECT type, malformed, event FROM events ORDER BY sequence") == [
        (1, 1, b"\x0b\xff"), (300, 0, b"\x08\xac\x02"), (0, 0, b"")]
    assert running.sql("SELECT malformed FROM hosts") == [(1,)]
    code, out, _ = running.verb("events", "--json")
    assert code == 0 and len([json.loads(line) for line in out.splitlines()]) == 3


def test_arguments_come_back_exactly(running):
    args = ("/bin/sh", "-c", 'echo "a  b"\n\t\'c\'', "ü€", b"\xff\x80")
    body = pb.telemetry("agent-1", [pb.record(1, 1, pb.event(args=args, executable="/bin/sh", pid=42))])
    assert counts(request(running.connect(), TELEMETRY, body)) == (1, 0, 1)
    code, out, err = running.verb("events", "--json", "--type", "process")
    assert code == 0, err
    event = json.loads(out)
    assert event["process"]["args"] == [*args[:4], "\uefff\uef80"]  # common/ecs.h: bytes that are not UTF-8
    assert (event["process"]["pid"], event["agent"]["id"]) == (42, "agent-1")
    assert running.sql("SELECT pid, executable FROM events") == [(42, "/bin/sh")]


# ---- commands ----

def test_an_order_reaches_its_host_until_it_is_answered(running):
    mine, other = running.connect(), running.connect("other")
    assert request(mine, SYNC, pb.sync("agent-1", pb.agent_state("web")))[0] == 200
    assert request(other, SYNC, pb.sync("agent-2", pb.agent_state("db")))[0] == 200
    code, out, err = running.verb("isolate", "web", "--duration", "2h", "--allow", "out,tcp,10.0.0.5,443", "--json")
    assert code == 0, err
    order = json.loads(out)
    assert (order["state"], order["agent_id"]) == ("queued", "agent-1")

    for _ in range(2):
        reply = pb.decode(request(mine, SYNC, pb.sync("agent-1"))[2])
        assert len(reply[2]) == 1
        command = pb.decode(pb.decode(reply[2][0])[1][0])
        assert (command[1], command[4]) == ([order["id"].encode()], [b"agent-1"])
        isolate = pb.decode(command[16][0])
        assert isolate[1] == [7200]
        exception = pb.decode(isolate[2][0])
        assert (exception[1], exception[2], exception[3], exception[4], exception[7], exception[8]) == (
            [3], [6], [b"\x0a\x00\x00\x05"], [32], [443], [443])
    assert 2 not in pb.decode(request(other, SYNC, pb.sync("agent-2"))[2]), "handed to another host"

    # Another host's result does not count; this host's does, and is confirmed as often as it is sent.
    result = pb.command_result(order["id"], 1, "isolated")
    request(other, SYNC, pb.sync("agent-2", results=[result]))
    assert json.loads(running.verb("commands", order["id"], "--json")[1])["state"] == "sent"
    for _ in range(2):
        reply = pb.decode(request(mine, SYNC, pb.sync("agent-1", results=[result]))[2])
        assert reply[3] == [order["id"].encode()] and 2 not in reply
    kept = json.loads(running.verb("commands", order["id"], "--json")[1])
    assert (kept["state"], kept["result"], kept["sent_count"]) == ("done", "isolated", 2)


@pytest.mark.parametrize("status,code", [(1, 0), (2, 70), (3, 68), (4, 71)])
def test_wait_ends_with_the_hosts_answer(running, status, code):
    connection = running.connect()
    assert request(connection, SYNC, pb.sync("agent-1", pb.agent_state("web")))[0] == 200
    with subprocess.Popen([BIN / "picket-server", "release", "web", "--wait", "20", "--db", running.db], stdout=subprocess.PIPE,
                          text=True) as verb:
        commands = wait_for(lambda: pb.decode(request(connection, SYNC, pb.sync("agent-1"))[2]).get(2), what="the order")
        command_id = pb.decode(pb.decode(commands[0])[1][0])[1][0]
        assert verb.poll() is None, "did not wait"
        assert request(connection, SYNC, pb.sync("agent-1", results=[pb.command_result(command_id, status, "because")]))[0] == 200
        out, _ = verb.communicate(timeout=10)
    assert verb.returncode == code
    assert "because" in out


def test_wait_without_an_answer_says_so(running):
    assert request(running.connect(), SYNC, pb.sync("agent-1", pb.agent_state("web")))[0] == 200
    code, out, err = running.verb("release", "web", "--wait", "1")
    assert code == 64
    assert "is queued" in out and "no answer within 1 s" in err


def test_follow_shows_what_arrives_later(running):
    connection = running.connect()
    assert counts(request(connection, TELEMETRY, package(1, 3))) == (3, 0, 3)
    with subprocess.Popen([BIN / "picket-server", "events", "--follow", "--json", "--db", running.db], stdout=subprocess.PIPE,
                          text=True) as verb:
        try:
            assert [json.loads(verb.stdout.readline())["picket"]["serial"] for _ in range(3)] == [1, 2, 3]
            assert counts(request(connection, TELEMETRY, package(4, 2))) == (2, 0, 2)
            assert [json.loads(verb.stdout.readline())["picket"]["serial"] for _ in range(2)] == [4, 5]
        finally:
            verb.terminate()


# ---- slow and dead clients ----

def test_slow_clients_do_not_hold_up_others(running):
    slow = []
    try:
        for _ in range(20):
            stream = running.raw()
            stream.sendall(b"POST /edr/v1/telemetry HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nx")
            slow.append(stream)
        slow += [socket.create_connection(("127.0.0.1", running.port)) for _ in range(20)]  # not even a handshake
        start = time.monotonic()
        assert counts(request(running.connect(), TELEMETRY, package(1, 10))) == (10, 0, 10)
        assert time.monotonic() - start < 5
    finally:
        for stream in slow:
            stream.close()


def configured(server, **keys):
    path = server.dir / "server.conf"
    path.write_text("[server]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()))
    server.start("--config", path)


def test_idle_connections_are_closed(server):
    configured(server, IdleTimeout="300ms")
    with server.raw(timeout=10) as idle, socket.create_connection(("127.0.0.1", server.port), timeout=10) as silent:
        assert idle.recv(1) == b""
        assert silent.recv(1) == b""


def test_a_stated_length_beyond_all_bounds_ends_with_the_idle_time(server):
    configured(server, IdleTimeout="300ms")
    with server.raw(timeout=10) as stream:
        stream.sendall(b"POST /edr/v1/telemetry HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n")
        assert stream.recv(4096)[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 413")


def test_a_request_in_small_pieces_must_still_be_whole_in_time(server):
    configured(server, IdleTimeout="1s", RequestTimeout="1s")
    with server.raw(timeout=0.2) as stream:
        stream.sendall(b"POST /edr/v1/telemetry HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")

        def closed():
            try:
                stream.sendall(b"x")
                return stream.recv(1) == b""
            except TimeoutError:
                return False
            except (ConnectionError, ssl.SSLError):
                return True
        wait_for(closed, what="the end of the connection")


def test_more_clients_than_allowed_wait_for_their_turn(server):
    configured(server, MaximumConnections="3")
    first = [server.connect() for _ in range(3)]
    for connection in first:
        assert request(connection, SYNC, pb.sync("agent-1"))[0] == 200
    answered = threading.Event()

    def late():
        if request(server.connect(), SYNC, pb.sync("agent-1"))[0] == 200:
            answered.set()

    thread = threading.Thread(target=late)
    thread.start()
    wait_for(lambda: "http.full" in server.log(), what="http.full")
    assert not answered.wait(0.3)  # must not happen: the time is the test
    first[0].close()
    assert answered.wait(10)
    thread.join(10)


# ---- crashes ----

def test_nothing_acknowledged_is_missing_after_kill_9(server):
    """Four agents post; the server is killed ten times in the middle; whatever got a 200 is there once."""
    server.start()
    acknowledged = [0] * 4
    stop = threading.Event()
    problems = []

    def agent(index):
        connection, at = None, 1
        client = "client" if index % 2 else "other"
        while not stop.is_set():
            try:
                connection = connection or server.connect(client, timeout=10)
                stored, duplicates, records = counts(request(connection, TELEMETRY, package(at, 50, agent=f"agent-{index}")))
                if records != 50:
                    problems.append(f"agent-{index}: {records} of 50")
                at += 50
                acknowledged[index] = at - 1
            except (OSError, http.client.HTTPException):
                connection = None
                stop.wait(0.01)  # the server is being started again

    threads = [threading.Thread(target=agent, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(10):
            before = list(acknowledged)
            wait_for(lambda: all(a > b for a, b in zip(acknowledged, before)), what="progress of every agent")
            server.kill()
            server.start()
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert not problems
    stored = dict((agent, (n, last)) for agent, n, last in server.sql(
        "SELECT agent_id, count(DISTINCT sequence), max(sequence) FROM event_list WHERE sequence > 0 GROUP BY agent_id"))
    for index, last in enumerate(acknowledged):
        assert last > 0
        missing = last - server.sql("SELECT count(*) FROM event_list WHERE agent_id = ? AND sequence <= ?", f"agent-{index}", last)[0][0]
        assert missing == 0, f"agent-{index}: {missing} of {last} acknowledged are missing"
        assert stored[f"agent-{index}"][0] == stored[f"agent-{index}"][1], "a hole or a duplicate"
    assert server.sql("PRAGMA integrity_check") == [("ok",)]


def test_a_full_disk_is_503_and_loses_nothing(server):
    """The database lives on a small file system of the server's own mount namespace; a filler file is removed when it is full."""
    shell = (f"mount -t tmpfs -o size=4m,uid={SERVER_UID},mode=0700 picket {server.dir}/db && head -c 2M /dev/zero > {server.dir}/db/filler && "
             'exec "$@"')
    server.command, plain = lambda *a, **k: ["unshare", "-m", "--propagation", "private", "sh", "-c", shell, "sh", *plain(*a, **k)], server.command
    server.start()
    connection, acknowledged = server.connect(), 0
    for n in range(1, 10001, 100):
        status, headers, text = request(connection, TELEMETRY, package(n, 100))
        if status != 200:
            break
        acknowledged = n + 99
    assert (status, headers["Retry-After"], text) == (503, "30", b"the database cannot be written\n")
    assert acknowledged > 0
    wait_for(lambda: "store.failed" in server.log(), what="the reason in the log")
    assert "full" in next(line for line in server.log().splitlines() if "store.failed" in line)
    os.unlink(f"/proc/{server.popen.pid}/root{server.dir}/db/filler")
    assert counts(request(connection, TELEMETRY, package(1, acknowledged + 100))) == (100, acknowledged, acknowledged + 100)


# ---- start-up ----

def test_it_runs_as_the_user_it_was_told_without_capabilities(running):
    status = dict(line.split(":\t", 1) for line in pathlib.Path(f"/proc/{running.popen.pid}/status").read_text().splitlines()
                  if ":\t" in line)
    assert set(status["Uid"].split()) == {str(SERVER_UID)} and set(status["Gid"].split()) == {str(SERVER_UID)}
    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert status["Groups"].split() in ([], [str(SERVER_UID)])
    assert os.stat(running.db).st_uid == SERVER_UID and os.stat(running.db).st_mode & 0o077 == 0


def test_it_runs_without_root(server, pki):
    key = server.dir / "own.key"
    shutil.copyfile(pki / "server.key", key)
    key.chmod(0o600)
    os.chown(key, SERVER_UID, SERVER_UID)
    os.chown(server.dir, SERVER_UID, SERVER_UID)
    os.chmod(pki, 0o755)
    plain = server.command
    server.command = lambda *a, **k: ["setpriv", "--reuid", str(SERVER_UID), "--regid", str(SERVER_UID), "--clear-groups",
                                      *plain(*a, key=key, run_as=None, **k)]
    server.start()
    assert counts(request(server.connect(), TELEMETRY, package(1, 1))) == (1, 0, 1)


@pytest.mark.parametrize("probe", ["execve", "ptrace", "mount", "inet-socket", "open-etc-shadow", "unknown-syscall"])
def test_a_taken_over_server_cannot(server, probe):
    done = subprocess.run(server.command("--sandbox-probe", probe, port_file=None), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=10)
    assert done.returncode == -signal.SIGSYS or (done.returncode == 0 and "was refused" in done.stderr), done.stderr


def test_port_in_use(server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        code, line = server.refuse(listen=address)
    assert code == 1 and address in line and "another process has this port" in line
    assert not server.db.exists()


@pytest.mark.parametrize("option,file", [("cert", "absent.pem"), ("key", "absent.key"), ("client_ca", "absent.pem")])
def test_missing_certificate_files(server, pki, option, file):
    code, line = server.refuse(**{option: pki / file})
    assert code == 1 and str(pki / file) in line and "--" + option.replace("_", "-") in line


def test_key_of_another_certificate(server, pki):
    code, line = server.refuse(key=pki / "client.key")
    assert code == 1 and "does not belong to the certificate" in line and str(pki / "client.key") in line


@pytest.mark.parametrize("option", ["cert", "key", "client_ca"])
def test_files_that_hold_something_else(server, option):
    path = server.dir / "text"
    path.write_text("no PEM in here\n")
    path.chmod(0o600)
    code, line = server.refuse(**{option: path})
    assert code == 1 and str(path) in line and "PEM" in line


def test_a_key_that_everybody_may_read(server, pki):
    path = server.dir / "open.key"
    shutil.copyfile(pki / "server.key", path)
    path.chmod(0o644)
    code, line = server.refuse(key=path)
    assert code == 1 and f"chmod 0600 {path}" in line


def test_a_file_that_is_no_database(server):
    server.db.write_text("x" * 4096)
    os.chown(server.db, SERVER_UID, SERVER_UID)
    code, line = server.refuse()
    assert code == 1 and str(server.db) in line and "move it away" in line
    assert server.db.read_text() == "x" * 4096


def test_a_database_of_another_user(server):
    server.db.touch(mode=0o600)
    code, line = server.refuse()
    assert code == 1 and str(server.db) in line and "server's user" in line


def test_a_database_in_no_directory(server):
    code, line = server.refuse(db=server.dir / "absent" / "picket.db")
    assert code == 1 and str(server.dir / "absent") in line and "make it" in line


def test_a_database_of_a_newer_version(server):
    server.start()
    server.stop()
    with sqlite3.connect(server.db) as db:
        db.execute("PRAGMA user_version = 99")
    (server.dir / "port").unlink()
    code, line = server.refuse()
    assert code == 1 and "schema 99" in line and "newer picket-server" in line


@pytest.mark.parametrize("user,words", [("no-such-user", "there is no user"), (f"{SERVER_UID}:no-such-group", "there is no group")])
def test_unknown_user_to_run_as(server, user, words):
    code, line = server.refuse(run_as=user)
    assert code == 4 and words in line


def test_only_root_can_become_somebody_else(server):
    done = subprocess.run(["setpriv", "--reuid", str(SERVER_UID), "--regid", str(SERVER_UID), "--clear-groups",
                           *server.command(run_as="60582")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=10)
    assert done.returncode == 4 and "only root can become 60582" in done.stderr, done.stderr


@pytest.mark.parametrize("listen", ["443", "localhost:443", "::1:443", "127.0.0.1:99999"])
def test_addresses_that_are_none(server, listen):
    code, line = server.refuse(listen=listen)
    assert code == 1 and listen in line and "ADDRESS:PORT" in line


@pytest.mark.parametrize("option", ["db", "cert", "key", "client_ca"])
def test_what_must_be_named(server, option):
    code, line = server.refuse(**{option: None})
    assert code == 3 and "--" + option.replace("_", "-") in line


@pytest.mark.parametrize("text,words", [
    ("[server]\nListn = 127.0.0.1:1\n", "Listn"), ("[server]\nIdleTimeout = 1\n", "IdleTimeout"), ("[srv]\nListen = x\n", "srv")])
def test_a_bad_configuration_names_file_and_line(server, text, words):
    path = server.dir / "server.conf"
    path.write_text(text)
    code, line = server.refuse("--config", path)
    assert code == 3 and f"{path}:" in line and words in line


@pytest.mark.parametrize("args,code,words", [
    (["hosts", "--limit", "3"], 1, "no option --limit"),
    (["isolate"], 1, "wrong number of arguments"),
    (["isolate", "nobody"], 65, "no host nobody"),
    (["isolate", "web", "--duration", "0s"], 2, "duration"),
    (["isolate", "web", "--duration", "10000h"], 2, "9999h"),
    (["isolate", "web", "--allow", "sshd"], 2, "sshd"),
    (["events", "--type", "nonsense"], 2, "process_terminate"),
    (["events", "--since", "yesterday"], 2, "since"),
    (["events", "--host", "nobody"], 65, "no host nobody"),
    (["commands", "nothing"], 65, "no command nothing"),
    (["settings", "web", "KATAEDR", "NoEqualsSign"], 1, "KEY=VALUE"),
    (["task", "web", "restart", "KATAEDR"], 1, "start|stop"),
])
def test_verbs_refuse_what_they_cannot_do(running, args, code, words):
    assert request(running.connect(), SYNC, pb.sync("agent-1", pb.agent_state("web")))[0] == 200
    got, out, err = running.verb(*args)
    assert (got, out) == (code, ""), err
    assert words in err and err.count("\n") == 1
    assert running.sql("SELECT count(*) FROM commands") == [(0,)]
