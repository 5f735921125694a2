#!/usr/bin/env bash
# programs.sh: put the programs that cargo has built into tilt/bin, without what only a debugger reads.
#
# Those that are the same as before are left alone: Tilt replaces what has changed there.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
programs=(datastream-operator datastream-gateway datastream datastream-broker)
mkdir -p bin
for program in "${programs[@]}"; do
  new=bin/.$program.new
  strip --strip-debug -o "$new" "${CARGO_TARGET_DIR:-../target}/debug/$program"
  if cmp -s "$new" "bin/$program"; then rm "$new"; else mv "$new" "bin/$program"; fi
done
