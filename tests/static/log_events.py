"""The tables of log events in the folders' README files. Shared by make_log_events.py and check_log_events.py."""

import glob
import os
import re

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCUMENT = "docs/log-events.md"
COLUMNS = ["event", "level", "keys", "meaning", "what to do"]
HEAD = """# Log events

Every line a Picket process writes is `event key=value ...`. This page is made from the folders' README files by
`tests/static/make_log_events.py`; change it there. `common` stands for every process.

| event | process | level | keys | meaning | what to do |
|---|---|---|---|---|---|
"""


def cells(line):
    """The cells of a table row; \\| is a bar inside a cell."""
    return [c.strip() for c in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def rows_of(path):
    """Yields (line number, cells or None when the row is not well formed) of the table under "## Log events"."""
    inside = False
    with open(os.path.join(ROOT, path), encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            if line.startswith("#"):
                inside = line.lower().strip("# \n") == "log events"
            elif inside and line.startswith("|"):
                row = cells(line)
                if [c.lower() for c in row] == COLUMNS or re.fullmatch(r"[|:\s-]+", line):
                    continue
                yield number, row if len(row) == len(COLUMNS) else None


def readmes():
    return sorted(os.path.relpath(p, ROOT) for p in glob.glob(os.path.join(ROOT, "*", "README.md")))


def document():
    """(text of docs/log-events.md, findings)."""
    rows, findings = [], []
    for path in readmes():
        folder = os.path.dirname(path)
        for number, row in rows_of(path):
            if row is None:
                findings.append(f"{path}:{number}: not a row of {len(COLUMNS)} cells: {' | '.join(COLUMNS)}")
            else:
                rows.append((row[0].strip("`"), folder, row))
    rows.sort(key=lambda r: (r[0], r[1]))
    lines = [f"| `{name}` | {folder} | {' | '.join(row[1:])} |\n" for name, folder, row in rows]
    return HEAD + "".join(lines), findings
