#!/usr/bin/python3
"""What must hold for the tree as a whole: one line per finding, exit status 1 when there is any. Needs a built tree."""

import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
BIN = ROOT / "build" / "bin"
DAEMONS = ("agentd", "collectord", "uplinkd", "isolatord")
MAX_LINES = 700  # a file beyond this has more than one subject
MANUALS = {**{d: f"{d}/picket-{d}.8" for d in DAEMONS}, "picketctl": "picketctl/picketctl.1", "picket-server": "server/picket-server.8"}
findings = []


def find(text):
    findings.append(text)


def output(*command):
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout


def tracked():
    return [ROOT / name for name in output("git", "ls-files").split("\n") if name]


def check_sizes():
    for path in tracked():
        if path.suffix in (".c", ".h") and len(path.read_text().splitlines()) > MAX_LINES:
            find(f"{path.relative_to(ROOT)}: more than {MAX_LINES} lines: look for the seam")


def check_isolatord_licence():
    """libiptc is GPL-2 only: nothing that it forbids may be linked beside it."""
    needed = re.findall(r"NEEDED.*\[(.+)\]", output("readelf", "-d", str(BIN / "isolatord")))
    for library in needed:
        if re.match(r"lib(ssl|crypto|curl)\b", library):
            find(f"isolatord links {library}, which GPL-2 forbids")
    if not any(library.startswith("libip4tc") for library in needed):
        find("isolatord does not link libip4tc")


def check_hardening():
    for name in (*DAEMONS, "picketctl", "picket-server"):
        header = output("readelf", "-hldW", str(BIN / name))
        if "DYN" not in header or "GNU_RELRO" not in header or "NOW" not in header:
            find(f"{name}: not position independent with full RELRO")


def check_manuals():
    """Every option of --help and every key of --sample stands in the manual page, which is free of lint."""
    for name, manual in MANUALS.items():
        path = ROOT / manual
        if not path.exists():
            find(f"{manual}: missing")
            continue
        text = re.sub(".\b", "", output("mandoc", "-T", "utf8", "-O", "width=1000", manual))
        help_text = output(str(BIN / name), "--help")
        for option in sorted(set(re.findall(r"--([a-z][a-z-]+)", help_text))):
            if f"--{option}" not in text:
                find(f"{manual}: --{option} of --help is missing")
        if name in DAEMONS:
            for key in re.findall(r"^#(\w+) =", output(str(BIN / name), "--sample"), re.M):
                if key not in text:
                    find(f"{manual}: key {key} is missing")
    pages = [str(p.relative_to(ROOT)) for p in tracked() if p.suffix in (".1", ".5", ".8")]
    for manual in pages:
        lint = output("mandoc", "-T", "lint", "-W", "warning", manual).strip()
        if lint:
            find(lint)
    general = (ROOT / "common/picket.conf.5").read_text()
    for key in re.findall(r"^#(\w+) =", output(str(BIN / "agentd"), "--sample-general"), re.M):
        if key not in general:
            find(f"common/picket.conf.5: key {key} is missing")


def check_install():
    """`make install` puts everything where it belongs, and the sample configuration is one that every daemon takes."""
    with tempfile.TemporaryDirectory() as root:
        done = subprocess.run(["make", "-s", "install", f"DESTDIR={root}"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            find(f"make install: {done.stdout.strip()}")
            return
        want = ["etc/picket/picket.conf", "usr/bin/picketctl", "usr/share/man/man1/picketctl.1", "usr/share/man/man5/picket.conf.5"]
        want += [f"usr/libexec/picket/{name}" for name in (*DAEMONS, "picket-server")]
        want += [f"usr/share/man/man8/{pathlib.Path(m).name}" for m in MANUALS.values() if m.endswith(".8")]
        for name in want:
            if not (pathlib.Path(root) / name).is_file():
                find(f"make install: {name} is missing")
        conf = pathlib.Path(root) / "etc/picket/picket.conf"
        users = {"AgentdUser": 60580, "CollectordUser": 60581, "UplinkdUser": 60582, "Group": 60580}  # accounts need not exist here
        text = conf.read_text()
        for key, number in users.items():
            text = re.sub(rf"^#{key} =.*$", f"{key} = {number}", text, flags=re.M)
        conf.write_text(re.sub(r"^#(\w+) = ?(.+)$", r"\1 = \2", text, flags=re.M))
        for name in DAEMONS:
            done = subprocess.run([BIN / name, "--config", conf, "-n"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if done.returncode != 0:
                find(f"{name} refuses its own defaults: {done.stdout.strip()}")


def check_links():
    """Relative links of the documents lead somewhere."""
    for path in tracked():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\(([^)#:]+)\)", path.read_text()):
            if not (path.parent / target).exists():
                find(f"{path.relative_to(ROOT)}: link to {target} leads nowhere")


def check_promises():
    """Each test named in SECURITY.md exists."""
    sources = "\n".join(p.read_text() for p in (ROOT / "tests").rglob("*.[cp]*") if p.suffix in (".c", ".py"))
    for name in re.findall(r"`((?:test_)?[a-z_]+_[a-z_]+)`", (ROOT / "SECURITY.md").read_text()):
        if name not in sources:
            find(f"SECURITY.md: there is no test {name}")


def main():
    for check in (check_sizes, check_isolatord_licence, check_hardening, check_manuals, check_install, check_links, check_promises):
        check()
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
