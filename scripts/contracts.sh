#!/usr/bin/env bash
# contracts.sh [FOLDER]: checks the AsyncAPI and the OpenAPI document of docs/schemas, or of another folder, by the validators of their
# formats (contracts/lint). Needs Node.js 20 with npm. The validators are installed once, into $DATASTREAM_CACHE/contracts-HASH.
set -euo pipefail
folder=$(realpath "${1:-$(dirname "${BASH_SOURCE[0]}")/../docs/schemas}")
cd "$(dirname "${BASH_SOURCE[0]}")/../contracts/lint"
cache=${DATASTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/datastream}
modules=$cache/contracts-$(sha256sum package-lock.json | cut -c1-12)

mkdir -p "$modules"
exec 9>"$modules/lock"
flock 9
if [ ! -e "$modules/installed" ]; then
  echo "contracts.sh: installing the validators (half a minute, once)" >&2
  cp package.json package-lock.json "$modules"
  # The only script among them reports the installation to its maker.
  (cd "$modules" && npm ci --ignore-scripts --no-audit --no-fund >&2)
  touch "$modules/installed"
fi
# Modules are looked for beside the program.
cp lint.js "$modules"
node "$modules/lint.js" "$folder"
echo "contracts.sh: asyncapi.json and openapi.json are valid"
