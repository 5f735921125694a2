#!/usr/bin/env bash
# install.sh: installs the development dependencies into $DATASTREAM_CACHE, once for each lock file, and prints their folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
cache=${DATASTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/datastream}
modules=$cache/typescript-$(sha256sum package-lock.json | sha256sum | cut -c1-12)

mkdir -p "$modules"
exec 9>"$modules/lock"
flock 9
if [ ! -e "$modules/installed" ]; then
  cp package.json package-lock.json "$modules"
  (cd "$modules" && npm ci --no-audit --no-fund >&2)
  touch "$modules/installed"
fi
echo "$modules"
