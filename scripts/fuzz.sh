#!/usr/bin/env bash
# fuzz.sh [TARGET...]: run each fuzz target, or those that are named, for FUZZ_SECONDS (default 60). Fails if there are findings,
# which are in fuzz/artifacts/TARGET. Inputs that reach new code are kept in $DATASTREAM_CACHE/fuzz/TARGET for the next time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cache=${DATASTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/datastream}
seconds=${FUZZ_SECONDS:-60}

# The linker does not find the counters of code that is optimized across crates.
export CARGO_PROFILE_RELEASE_LTO=off

targets=("$@")
[ $# -gt 0 ] || mapfile -t targets < <(cargo fuzz list)
[ ${#targets[@]} -gt 0 ] || { echo "fuzz.sh: cargo fuzz lists no targets" >&2; exit 1; }
failed=()
for target in "${targets[@]}"; do
  echo "fuzz.sh: $target for $seconds s" >&2
  kept=$cache/fuzz/$target
  mkdir -p "$kept"
  # Sanitizers need a nightly toolchain, and find what safe code does not do. Without cfg(fuzzing), libraries are what they are in
  # the programs. libFuzzer writes into the first folder only.
  cargo fuzz run --sanitizer none --no-cfg-fuzzing --features libfuzzer "$target" "$kept" "fuzz/corpus/$target" -- \
    -max_total_time="$seconds" -timeout=10 || failed+=("$target")
done
[ ${#failed[@]} -eq 0 ] || { echo "fuzz.sh: findings or errors in ${failed[*]}: see above, and fuzz/artifacts" >&2; exit 1; }
