#!/bin/sh
# Binary sizes, stripped, and the memory of the idle suite.
set -eu
bin=$(cd "$(dirname "$0")/../../build/bin" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
for name in agentd collectord uplinkd isolatord picketctl picket-server; do
	strip -o "$tmp/$name" "$bin/$name"
	printf '%-14s %8d bytes stripped\n' "$name" "$(stat -c %s "$tmp/$name")"
done
[ "$(id -u)" = 0 ] || { echo "idle memory: needs root"; exit 0; }
/usr/bin/python3 "$(dirname "$0")/idle.py"
