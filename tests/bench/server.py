"""Measures picket-server: packages are made beforehand, so that the figure is the server's and not Python's.

usage: server.py [--packages N] [--perf FILE]   Prints one line per encoding.
"""

import argparse
import http.client
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "e2e"))
import pbmini as pb  # noqa: E402

EVENTS_PER_PACKAGE = 1024  # MaximumNumberOfEventsInPackage
SERVER_UID = 60583


def make_event(n):
    """About what a shell script's execve costs: 11 arguments, directory, names, ids."""
    process = (pb.number(1, 1000 + n % 30000) + pb.number(2, 999) + pb.number(3, 1000) + pb.number(4, 1000) + pb.number(5, 1000) +
               pb.number(6, 1000) + pb.number(7, 1000) + pb.number(8, 3) + pb.data(9, "/usr/lib/gcc/x86_64-linux-gnu/12/cc1") +
               pb.data(10, "cc1") + pb.data(11, "pts0") + pb.fixed64(12, n) + pb.fixed64(13, n // 7))
    args = ["cc1", "-quiet", "-I", ".", "-D", "_GNU_SOURCE", "-o", f"/tmp/cc{n:08x}.s", "-O2", "-fPIE", f"server/file{n % 97}.c"]
    start = b"".join(pb.data(1, a) for a in args) + pb.data(2, "/home/user/src/picket") + pb.data(3, "/usr/bin/gcc") + pb.number(5, 11)
    return pb.number(1, 1) + pb.number(2, 1700000000000 + n) + pb.number(3, n) + pb.number(4, 1) + pb.data(6, process) + pb.data(
        7, "execve") + pb.data(16, start)


def make_packages(count, epoch):
    bodies = []
    for p in range(count):
        first = p * EVENTS_PER_PACKAGE + 1
        bodies.append(pb.telemetry("bench-agent", [
            pb.record(epoch, n, make_event(n)) for n in range(first, first + EVENTS_PER_PACKAGE)]))
    return bodies


def zstd(bodies):
    """Each body as a frame of its own: one process for all of them."""
    with tempfile.TemporaryDirectory() as directory:
        for i, body in enumerate(bodies):
            pathlib.Path(directory, str(i)).write_bytes(body)
        subprocess.run(["zstd", "-q", "-3", *[os.path.join(directory, str(i)) for i in range(len(bodies))]], check=True)
        return [pathlib.Path(directory, f"{i}.zst").read_bytes() for i in range(len(bodies))]


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return 0


def send(port, pki, bodies, headers):
    context = ssl.create_default_context(cafile=pki / "ca.pem")
    context.load_cert_chain(pki / "client.pem", pki / "client.key")
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
    for body in bodies:
        connection.request("POST", "/edr/v1/telemetry", body, headers)
        reply = connection.getresponse()
        answer = reply.read()
        if reply.status != 200 or pb.decode(answer)[3] != [EVENTS_PER_PACKAGE]:
            sys.exit(f"server: {reply.status} {answer}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--packages", type=int, default=200)
    parser.add_argument("--perf", help="record the server with perf into FILE")
    args = parser.parse_args()
    directory = pathlib.Path(tempfile.mkdtemp(prefix="picket-bench-", dir=os.environ.get("TMPDIR", "/tmp")))
    directory.chmod(0o755)
    pki, db, port_file = directory / "pki", directory / "db", directory / "port"
    subprocess.run([ROOT / "packaging/demo/pki", pki], check=True)
    db.mkdir(mode=0o700)
    os.chown(db, SERVER_UID, SERVER_UID)
    command = [ROOT / "build/bin/picket-server", "--listen", "127.0.0.1:0", "--port-file", port_file, "--db", db / "picket.db",
               "--cert", pki / "server.pem", "--key", pki / "server.key", "--client-ca", pki / "ca.pem", "--run-as", str(SERVER_UID)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        while not (port_file.exists() and port_file.read_text().strip()):
            if server.poll() is not None:
                sys.exit("server: did not start")
            time.sleep(0.01)
        port = int(port_file.read_text())
        plain = make_packages(args.packages, 1)
        packed = zstd(make_packages(args.packages, 2))
        perf = subprocess.Popen(["perf", "record", "-q", "-g", "-o", args.perf, "-p", str(server.pid)]) if args.perf else None
        for name, bodies, headers in (("identity", plain, {}), ("zstd", packed, {"Content-Encoding": "zstd"}),
                                      ("duplicates", packed, {"Content-Encoding": "zstd"})):
            size, cpu, start = sum(map(len, bodies)), cpu_seconds(server.pid), time.monotonic()
            send(port, pki, bodies, headers)
            seconds, cpu = time.monotonic() - start, cpu_seconds(server.pid) - cpu
            events = len(bodies) * EVENTS_PER_PACKAGE
            print(f"{name:10} {events / seconds:9.0f} events/s  {1e6 * cpu / events:6.2f} us CPU/event  {size / events:5.0f} B/event sent")
        stored = sum(f.stat().st_size for f in db.iterdir())
        print(f"stored     {stored / (2 * args.packages * EVENTS_PER_PACKAGE):9.0f} B/event on disk, peak {peak_mib(server.pid):.0f} MiB")
        if perf:
            perf.send_signal(signal.SIGINT)
            perf.wait()
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(directory)


main()
