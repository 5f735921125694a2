#!/usr/bin/env bash
# instructions.sh [--update]: count the instructions of the hot path by callgrind, and compare them with those of
# docs/instructions.tsv. A case that takes over 5 % more fails, unless the last commit, or another since that file was changed, says
# why in a trailer:
#
#   Instructions: REASON
#
# --update writes the file anew. Counts are compared only with those of the same compiler and architecture.
#
# Not by gungraun (once iai-callgrind): its runner has 180 crates to compile, and keeps what it compares with in target/.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
table=docs/instructions.tsv
bench=gateway/benches/instructions
compiler=$(rustc -V)
# Libraries choose code by what the processor can do.
architecture=$(uname -m)$(grep -qsw avx2 /proc/cpuinfo && echo +avx2 || true)

fail() { echo "instructions.sh: $*" >&2; exit 1; }

update=
case ${1:-} in
  '') ;;
  --update) update=yes ;;
  *) fail "unknown argument: $1 (only --update)" ;;
esac

# The program is named in what cargo says when it builds it. Of the whole workspace, so that dependencies have the features that they
# have in `make test`.
program=$(cargo build --locked --workspace --bench instructions --config "$bench/profile.toml" --message-format=json-render-diagnostics |
  sed -n 's/.*"name":"instructions".*"executable":"\([^"]*\)".*/\1/p')

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

count() { # CASE: prints the instructions of one repetition.
  local repetitions instructions
  # Without the environment, whose size moves the stack, from whose address hash tables get their seeds.
  repetitions=$(env -i "$(command -v valgrind)" --tool=callgrind --callgrind-out-file="$work/counts" \
    --toggle-collect='instructions::counted*' "$program" "$1" 2>"$work/log") || { cat "$work/log" >&2; fail "$1 fails"; }
  instructions=$(sed -n 's/^totals: //p' "$work/counts")
  [ "${instructions:-0}" -gt 0 ] || fail "callgrind does not see $1: is its work in the function counted?"
  echo $((instructions / repetitions))
}

printf 'case\tinstructions\tcompiler\tarchitecture\n' >"$work/table"
names=$("$program")
for name in $names; do
  instructions=$(count "$name")
  printf '%s\t%s\t%s\t%s\n' "$name" "$instructions" "$compiler" "$architecture" >>"$work/table"
done

if [ -n "$update" ]; then
  cut -f 1,2 "$work/table" | column -t -s $'\t' -R 2
  cp "$work/table" "$table"
  echo "instructions.sh: $table is written"
  exit 0
fi

# Rows of the file by another compiler, or for another architecture, are none to compare with.
status=0
awk -F '\t' -v table="$table" '
  NR == FNR { if (FNR > 1) { was[$1] = $2; by[$1] = $3 ", " $4 } next }
  FNR == 1 { printf "%-24s %12s %12s %9s\n", "case", "instructions", "in the table", "change"; next }
  { counted[$1] }
  !($1 in was) { printf "%-24s %12d %12s %9s  NEW: update the table\n", $1, $2, "-", "-"; next }
  by[$1] != $3 ", " $4 { other = by[$1]; printf "%-24s %12d %12s %9s\n", $1, $2, "-", "-"; next }
  {
    change = 100 * ($2 / was[$1] - 1)
    rise = 100 * $2 > 105 * was[$1]
    rises += rise
    verdict = rise ? "  RISE" : 100 * $2 < 95 * was[$1] ? "  FALL: update the table" : ""
    printf "%-24s %12d %12d %+8.1f%%%s\n", $1, $2, was[$1], change, verdict
  }
  END {
    for (name in was) if (!(name in counted)) printf "%-24s %12s %12d %9s  GONE: update the table\n", name, "-", was[name], "-"
    if (other != "") printf "instructions.sh: not compared: %s is of %s, this is %s, %s\n", table, other, $3, $4
    exit (rises > 0)
  }
' "$table" "$work/table" || status=$?
[ "$status" -eq 1 ] || exit "$status"

changed=$(git log -1 --format=%H -- "$table")
commits=("${changed:+$changed..}HEAD")
[ "$changed" != "$(git rev-parse HEAD)" ] || commits=(-1)
reasons=$(git log --format='%(trailers:key=Instructions,valueonly,separator=%x0A)' "${commits[@]}" | sed '/^$/d')
[ -n "$reasons" ] || fail "the hot path takes over 5 % more instructions than $table says: find out why, or give the reason in a trailer of the" \
  "commit (Instructions: REASON) and update the table (scripts/instructions.sh --update)"
echo "instructions.sh: the rise has a reason: $reasons"
