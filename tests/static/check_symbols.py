#!/usr/bin/env python3
"""Names and calls: every symbol that a C file exports carries its program's prefix or the file's noun; banned calls are not used.

Reads the objects of a build (make; MODE as for make) for the symbols and the sources for the calls.
Prints one line per finding; exit status 1 when there is any.
"""

import glob
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PREFIXES = {
    "agentd": "agt_",
    "collectord": "col_",
    "uplinkd": "upl_",
    "isolatord": "iso_",
    "picketctl": "ctl_",
    "server": "srv_",
    "common": "picket_",
}

# Call -> what to use instead.
BANNED = {
    "alloca": "malloc: the stack has no error to return",
    "atoi": "strtol and look at the end",
    "atol": "strtol and look at the end",
    "gets": "fgets",
    "mktemp": "mkstemp",
    "popen": "nothing: no daemon starts a program",
    "rand": "getrandom",
    "sprintf": "snprintf",
    "strcat": "snprintf",
    "strcpy": "snprintf or memcpy with the length",
    "strtok": "strtok_r or strcspn",
    "system": "nothing: no daemon starts a program",
    "tmpnam": "mkstemp",
    "vsprintf": "vsnprintf",
}
# Tests may start programs, and want the same numbers in every run.
FINE_IN_TESTS = {"popen", "system", "rand"}
BANNED_CALL = re.compile(r"(?<![\w.>])(%s)\s*\(" % "|".join(BANNED))
# Comments and literals, to be blanked without moving a line.
NOT_CODE = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)


def c_files():
    return sorted(p for f in [*PREFIXES, "tests/**"] for p in glob.glob(f"{f}/*.[ch]", root_dir=ROOT, recursive=True))


def code_of(text):
    return NOT_CODE.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def banned_calls(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        for number, line in enumerate(code_of(f.read()).split("\n"), 1):
            for match in BANNED_CALL.finditer(line):
                name = match.group(1)
                if path.startswith("tests/") and name in FINE_IN_TESTS:
                    continue
                yield f"{path}:{number}: {name}() is banned; use {BANNED[name]}"


def exported(obj):
    out = subprocess.run(["nm", "--defined-only", "--extern-only", "--format=posix", obj], check=True, capture_output=True, text=True)
    return [line.split()[0] for line in out.stdout.splitlines()]


def fits(symbol, prefix, stem):
    """True for the program's prefix, or a noun that is a word of the file's name or the beginning of one (rule_ in ruleset.c)."""
    if symbol.startswith(prefix):
        return True
    noun = symbol.split("_")[0]
    return len(noun) > 1 and any(word.startswith(noun) or noun.startswith(word) for word in stem.split("_"))


def wrong_symbols(path, objects):
    folder, name = os.path.split(path)
    stem = name[: -len(".c")]
    obj = os.path.join(objects, folder, stem + ".o")
    if not os.path.exists(obj):
        yield f"{path}:1: {os.path.relpath(obj, ROOT)} is missing; build first: make"
        return
    for symbol in exported(obj):
        # The sanitizers add symbols of their own.
        if symbol == "main" or symbol.startswith("__") or fits(symbol, PREFIXES[folder], stem):
            continue
        yield f"{path}:1: {symbol} is not static and does not start with {PREFIXES[folder]} or {stem}_; rename it or make it static"


def main():
    objects = os.path.join(ROOT, "build", os.environ.get("MODE", "release"))
    findings = []
    for path in c_files():
        findings += banned_calls(path)
        if path.endswith(".c") and os.path.dirname(path) in PREFIXES:
            findings += wrong_symbols(path, objects)
    for line in findings:
        print(line)
    return 1 if findings else 0


sys.exit(main())
