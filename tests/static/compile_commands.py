#!/usr/bin/env python3
"""Write compile_commands.json: compile_commands.py OUTPUT FILE... -- COMPILER FLAG... (called by make)."""

import json
import os
import sys


def main():
    output, *rest = sys.argv[1:]
    cut = rest.index("--")
    files, command = rest[:cut], rest[cut + 1 :]
    here = os.getcwd()
    entries = [{"directory": here, "file": f, "arguments": [*command, "-c", f]} for f in files]
    with open(output, "w", encoding="utf-8") as out:
        json.dump(entries, out, indent=1)
        out.write("\n")


main()
