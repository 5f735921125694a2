#!/usr/bin/env bash
# bodies.sh [--check]: makes src/bodies.ts of docs/schemas. With --check, writes nothing and fails if the file differs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
modules=$(./install.sh)
made=$(mktemp)
trap 'rm -f "$made"' EXIT
# Modules are looked for beside the program.
cp generate-bodies.js "$modules"
node "$modules/generate-bodies.js" ../../docs/schemas >"$made"
if [ "${1-}" != --check ]; then
  cp "$made" src/bodies.ts
elif ! diff -u src/bodies.ts "$made" >&2; then
  echo "bodies.sh: src/bodies.ts is not made of docs/schemas as they are: run clients/typescript/bodies.sh" >&2
  exit 1
fi
