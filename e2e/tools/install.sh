#!/usr/bin/env bash
# install.sh: installs the programs and libraries of package.json, requirements.txt and benthos/go.mod, which the tests of
# e2e/tests/tools run, and prints the folder that has them: node_modules, python/bin/python, the program benthos, and the examples for
# Node.js. Needs Node.js 20 with npm, Python 3.10 with venv, and Go. They are installed once, into $DATASTREAM_CACHE/programs-HASH.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${DATASTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/datastream}
python=$(python3 -c 'import sys; print(sys.base_prefix, sys.version)')
folder=$cache/programs-$( (cat package-lock.json requirements.txt benthos/*; echo "$python") | sha256sum | cut -c1-12)

mkdir -p "$folder"
exec 9>"$folder/lock"
flock 9
if [ ! -e "$folder/installed" ]; then
  echo "install.sh: installing the programs and libraries of e2e/tools (some minutes, once)" >&2
  cp package.json package-lock.json "$folder"
  # Nothing among them needs its scripts.
  (cd "$folder" && npm ci --ignore-scripts --no-audit --no-fund >&2)
  python3 -m venv --clear "$folder/python"
  "$folder/python/bin/python" -m pip --disable-pip-version-check install --quiet --require-hashes --only-binary=:all: \
    --requirement requirements.txt >&2
  (cd benthos && CGO_ENABLED=0 go build -trimpath -o "$folder/benthos" . >&2)
  touch "$folder/installed"
fi
# Modules are looked for beside the program.
cp examples/*.mjs "$folder"
echo "$folder"
