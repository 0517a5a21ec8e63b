#!/usr/bin/env python3
"""Write docs/log-events.md from the "## Log events" tables of the folders' README files."""

import os
import sys

import log_events


def main():
    text, findings = log_events.document()
    for line in findings:
        print(line)
    os.makedirs(os.path.join(log_events.ROOT, "docs"), exist_ok=True)
    with open(os.path.join(log_events.ROOT, log_events.DOCUMENT), "w", encoding="utf-8") as out:
        out.write(text)
    return 1 if findings else 0


sys.exit(main())
