#!/bin/sh
# From a recorded audit log to encoded events: records per CPU-second and peak memory, beside laurel and libauparse on the same records.
exec /usr/bin/python3 "$(dirname "$0")/replay.py" "$@"
