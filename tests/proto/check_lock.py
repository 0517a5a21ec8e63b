#!/usr/bin/env python3
"""The messages stay compatible: proto/*.proto against proto/api.lock, and the house rules of proto/README.md.

A number that is locked is never used for something else, never changes its type and never goes away without `reserved`.
New entries are locked with --update. Prints one line per finding; exit status 1 when there is any.
"""

import glob
import os
import re
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LOCK = os.path.join(ROOT, "proto", "api.lock")
LOCK_HEAD = "# Every number that was ever given out. tests/proto/check_lock.py compares, --update adds what is new; no line is removed.\n"
SCALARS = {"bool", "bytes", "fixed32", "fixed64", "float", "double", "int32", "int64", "uint32", "uint64"}
SCALARS |= {"sint32", "sint64", "sfixed32", "sfixed64", "string"}
# protobuf-c: strings are neither checked for UTF-8 nor for NUL, proto3 `optional` and maps are not what they are elsewhere.
UNWANTED = {"string": "use bytes", "optional": "use a sub-message or a oneof", "map": "use a repeated message", "required": "is proto2"}
TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"[^"]*"|[A-Za-z_][\w.]*|\d+|[{}=;,<>\[\]]|\s+', re.S)


class Block:
    """A message or an enum."""

    def __init__(self, kind, name, path, line, commented):
        self.kind, self.name, self.path, self.line, self.commented = kind, name, path, line, commented
        self.fields = []  # (name, number, "label type", line) in order; enums: type is ""
        self.reserved = set()

    def where(self, line=None):
        return f"{os.path.relpath(self.path, ROOT)}:{line or self.line}"


class Parser:
    """The subset of proto3 that we write: no services, no extensions, no nested messages."""

    def __init__(self, path, findings):
        self.path, self.findings, self.blocks = path, findings, []
        self.tokens, self.comment_ends = [], set()
        with open(path, encoding="utf-8") as f:
            text = f.read()
        line = 1
        for match in TOKEN.finditer(text):
            token = match.group()
            if token.startswith(("//", "/*")):
                if not text[: match.start()].rpartition("\n")[2].strip():
                    self.comment_ends.add(line + token.count("\n"))
            elif not token.isspace():
                self.tokens.append((token, line))
            line += token.count("\n")
        self.at = 0

    def next(self):
        token = self.tokens[self.at]
        self.at += 1
        return token

    def statement(self):
        """The tokens up to the next ; without those in [...]."""
        words, depth = [], 0
        while True:
            token, _ = self.next()
            if token == ";":
                return words
            depth += token == "["
            if depth == 0:
                words.append(token)
            depth -= token == "]"

    def finding(self, line, text):
        self.findings.append(f"{os.path.relpath(self.path, ROOT)}:{line}: {text}")

    def parse(self):
        while self.at < len(self.tokens):
            token, line = self.next()
            if token in ("message", "enum"):
                name, _ = self.next()
                block = Block(token, name, self.path, line, line - 1 in self.comment_ends)
                self.next()  # {
                self.body(block)
                self.blocks.append(block)
            else:
                self.statement()
        return self.blocks

    def body(self, block):
        while True:
            token, line = self.next()
            if token == "}":
                return
            if token == "oneof":
                group = self.next()[0]
                self.next()  # {
                self.oneof(block, group)
            elif token == "reserved":
                self.reserve(block, self.statement())
            else:
                self.at -= 1
                self.field(block, "", line)

    def oneof(self, block, group):
        while self.tokens[self.at][0] != "}":
            self.field(block, f"oneof {group} ", self.tokens[self.at][1])
        self.next()

    def field(self, block, label, line):
        words = self.statement()
        for word in words[:2]:
            if word in UNWANTED and block.kind == "message":
                self.finding(line, f"{block.name}: {word}: {UNWANTED[word]}")
        if "=" not in words or not words[-1].isdigit():
            self.finding(line, f"{block.name}: cannot read: {' '.join(words)}")
            return
        cut = words.index("=")
        block.fields.append((words[cut - 1], int(words[-1]), label + " ".join(words[: cut - 1]), line))

    def reserve(self, block, words):
        for first, last in re.findall(r"(\d+)(?: to (\d+))?", " ".join(w for w in words if not w.startswith('"'))):
            block.reserved |= set(range(int(first), int(last or first) + 1))


def parse_all(findings):
    blocks = {}
    for path in sorted(glob.glob(os.path.join(ROOT, "proto", "*.proto"))):
        for block in Parser(path, findings).parse():
            if block.name in blocks:
                findings.append(f"{block.where()}: {block.name} exists twice")
            blocks[block.name] = block
    return blocks


def entries(blocks):
    """{"Message number": "name type"}: what the lock keeps."""
    return {f"{b.name} {number}": f"{name} {kind}".strip() for b in blocks.values() for name, number, kind, _ in b.fields}


def check_shape(blocks, findings):
    for block in blocks.values():
        numbers, names = {}, set()
        for name, number, _, line in block.fields:
            if number in numbers:
                findings.append(f"{block.where(line)}: {block.name}: number {number} is {numbers[number]} already")
            if name in names:
                findings.append(f"{block.where(line)}: {block.name}: {name} stands twice")
            if number in block.reserved:
                findings.append(f"{block.where(line)}: {block.name}: number {number} is reserved")
            numbers[number] = name
            names.add(name)


def upper_snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


def check_enums(blocks, findings):
    for block in blocks.values():
        if block.kind != "enum":
            continue
        prefix = upper_snake(block.name) + "_"
        if not block.fields or block.fields[0][:2] != (prefix + "UNSPECIFIED", 0):
            findings.append(f"{block.where()}: enum {block.name}: the first value must be {prefix}UNSPECIFIED = 0")
        for name, _, _, line in block.fields:
            if not name.startswith(prefix):
                findings.append(f"{block.where(line)}: {name} does not start with {prefix}")


def message_types(block, blocks, findings):
    """The messages that a message holds; unknown types are findings."""
    held = []
    for name, _, kind, line in block.fields:
        base = kind.split()[-1]
        if base in blocks and blocks[base].kind == "message":
            held.append(base)
        elif base not in blocks and base not in SCALARS:
            findings.append(f"{block.where(line)}: {block.name}.{name}: unknown type {base}")
    return held


def check_recursion(blocks, findings):
    held = {b.name: message_types(b, blocks, findings) for b in blocks.values() if b.kind == "message"}

    def reach(name, path):
        for inner in held[name]:
            if inner == path[0]:
                findings.append(f"{blocks[path[0]].where()}: recursive: {' > '.join(path + [inner])}")
            elif inner not in path:
                reach(inner, path + [inner])

    for name in held:
        reach(name, [name])


def check_comments(blocks, findings):
    """Each number of Msg has its message (or NAMERecord), and each message says what it is."""
    messages = {upper_snake(name) for name, block in blocks.items() if block.kind == "message"}
    for name, number, _, line in blocks["Msg"].fields:
        base = name.removeprefix("MSG_")
        if number != 0 and not messages & {base, base + "_RECORD"}:
            findings.append(f"{blocks['Msg'].where(line)}: {name} has no message {base.title().replace('_', '')}")
    for block in blocks.values():
        if block.kind == "message" and not block.commented:
            findings.append(f"{block.where()}: {block.name} needs a comment above it: who sends it to whom, the reply, when")


def read_lock():
    """{"Message number": "name type"}"""
    lock = {}
    with open(LOCK, encoding="utf-8") as f:
        for line in f:
            if line.strip() and not line.startswith("#"):
                block, number, rest = line.strip().split(" ", 2)
                lock[f"{block} {number}"] = rest
    return lock


def sort_key(key):
    block, number = key.split()
    return block, int(number)


def write_lock(lock):
    with open(LOCK, "w", encoding="utf-8") as out:
        out.write(LOCK_HEAD)
        for key in sorted(lock, key=sort_key):
            out.write(f"{key} {lock[key]}\n")


def check_lock(blocks, lock, findings):
    now = entries(blocks)
    for key, was in sorted(lock.items(), key=lambda item: sort_key(item[0])):
        name, number = sort_key(key)
        block = blocks.get(name)
        if block is None:
            findings.append(f"proto/api.lock: {name} is gone; a name that was given out stays, with its numbers reserved")
        elif key not in now and number not in block.reserved:
            findings.append(f"{block.where()}: {name}: {number} ({was}) is gone; say reserved {number};")
        elif key in now and now[key] != was:
            findings.append(f"{block.where()}: {name}: {number} was {was}, is {now[key]}; take a new number")


def main():
    update = sys.argv[1:] == ["--update"]
    findings = []
    blocks = parse_all(findings)
    lock = read_lock() if os.path.exists(LOCK) else {}
    check_shape(blocks, findings)
    check_enums(blocks, findings)
    check_recursion(blocks, findings)
    check_comments(blocks, findings)
    check_lock(blocks, lock, findings)
    new = {key: what for key, what in entries(blocks).items() if key not in lock}
    if update and not findings:
        write_lock({**lock, **new})
    elif not update:
        findings += [f"proto/api.lock: {key} ({what}) is not locked; run tests/proto/check_lock.py --update" for key, what in new.items()]
    for line in findings:
        print(line)
    return 1 if findings else 0


sys.exit(main())
