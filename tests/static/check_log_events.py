#!/usr/bin/env python3
"""The code's log events and the documented ones are the same: name, process, level and keys; docs/log-events.md is up to date.

Prints one line per finding; exit status 1 when there is any.
"""

import glob
import os
import re
import sys

import log_events
from log_events import ROOT

LEVELS = ["error", "warning", "notice", "info", "debug"]
CALL = re.compile(r"\blog_(%s|event)\s*\(" % "|".join(LEVELS))
KEY = re.compile(r'\bKV_(?:STR|BYTES|I64|U64)\(\s*"([^"]*)"')
STRING = re.compile(r'"((?:\\.|[^"\\])*)"')
EVENT_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.S)
# The logger itself hands names on.
SKIP = {"common/log.c", "common/log.h"}


def c_files():
    return sorted(p for p in glob.glob("*/*.c", root_dir=ROOT) if p not in SKIP)


def arguments(text, start):
    """The arguments of the call whose opening parenthesis is at start, split at top level commas."""
    args, depth, begin, i = [], 0, start + 1, start
    while i < len(text):
        c = text[i]
        if c in "\"'":
            i += 1
            while text[i] != c:
                i += 2 if text[i] == "\\" else 1
        elif c in "([{":
            depth += 1
        elif c in ")]}":
            depth -= 1
            if depth == 0:
                args.append(text[begin:i])
                return args
        elif c == "," and depth == 1:
            args.append(text[begin:i])
            begin = i + 1
        i += 1
    return args


def calls_of(path):
    """Yields (line, levels, event names, keys) of each log call."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        text = COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), f.read())
    for match in CALL.finditer(text):
        args = arguments(text, match.end() - 1)
        line = text.count("\n", 0, match.start()) + 1
        kind = match.group(1)
        if kind == "event":
            levels = {name for name in LEVELS if f"LOG_LEVEL_{name.upper()}" in args[0]}
            args = args[1:]
        else:
            levels = {kind}
        rest = ",".join(args[1:])
        keys = set(KEY.findall(rest)) | ({"error"} if "KV_ERRNO" in rest else set())
        yield line, levels, STRING.findall(args[0]), keys


def documented(findings):
    """{(folder, event): (levels, text of the keys cell, where)}"""
    table = {}
    for path in log_events.readmes():
        folder = os.path.dirname(path)
        for number, row in log_events.rows_of(path):
            if row is None:
                continue
            name, where = row[0].strip("`"), f"{path}:{number}"
            if not EVENT_NAME.fullmatch(name):
                findings.append(f"{where}: {name} is not an event name (words and dots)")
            if (folder, name) in table:
                findings.append(f"{where}: {name} stands twice")
            table[folder, name] = (set(re.findall(r"[a-z]+", row[1])), set(re.findall(r"[a-z0-9_]+", row[2])), where)
    return table


def check_calls(table, findings):
    """Compares each call with its row. Returns the rows that were used."""
    used = set()
    for path in c_files():
        folder = os.path.dirname(path)
        for line, levels, names, keys in calls_of(path):
            where = f"{path}:{line}"
            if not names:
                findings.append(f"{where}: the event's name is not a string literal")
            for name in names:
                row = table.get((folder, name))
                used.add((folder, name))
                if row is None:
                    findings.append(f"{where}: {name} is not in the table Log events of {folder}/README.md")
                    continue
                for level in sorted(levels - row[0]):
                    findings.append(f"{where}: {name} is logged as {level}, {row[2]} does not say so")
                for key in sorted(keys - row[1]):
                    findings.append(f"{where}: {name} has the key {key}, {row[2]} does not say so")
    return used


def main():
    findings = []
    text, bad_rows = log_events.document()
    findings += bad_rows
    table = documented(findings)
    used = check_calls(table, findings)
    for (folder, name), row in sorted(table.items()):
        if (folder, name) not in used:
            findings.append(f"{row[2]}: {name} is not logged by {folder}/")
    try:
        with open(os.path.join(ROOT, log_events.DOCUMENT), encoding="utf-8") as f:
            stale = f.read() != text
    except FileNotFoundError:
        stale = True
    if stale:
        findings.append(f"{log_events.DOCUMENT}:1: not made from the README files as they are; run tests/static/make_log_events.py")
    for line in findings:
        print(line)
    return 1 if findings else 0


sys.exit(main())
