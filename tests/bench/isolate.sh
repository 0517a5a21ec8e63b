#!/bin/sh
# From an order to verified rules, beside iptables-legacy-restore loading the same rules; in a network namespace of its own. Needs root.
exec /usr/bin/python3 "$(dirname "$0")/isolate.py" "$@"
