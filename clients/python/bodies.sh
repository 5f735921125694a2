#!/usr/bin/env bash
# bodies.sh [--check]: makes src/datastream_client/bodies.py of docs/schemas. With --check, writes
# nothing and fails if the file differs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
python=$(python3 environment.py)
bodies=src/datastream_client/bodies.py
made=$(mktemp)
trap 'rm -f "$made"' EXIT
"$python" generate_bodies.py | "$python" -m ruff format --no-cache --stdin-filename "$bodies" >"$made"
if [ "${1-}" != --check ]; then
  cp "$made" "$bodies"
elif ! diff -u "$bodies" "$made" >&2; then
  echo "bodies.sh: $bodies is not made of docs/schemas as they are: run clients/python/bodies.sh" >&2
  exit 1
fi
