#!/bin/sh
# Insert rate of picket-server: events/s from the socket to the disk over TLS, as uplinkd sends them (packages of 1,024, zstd and plain).
exec /usr/bin/python3 "$(dirname "$0")/server.py" "$@"
