#!/usr/bin/env bash
# autobahn.sh: run the cases of Autobahn's test suite on framing, pings, fragments, UTF-8 and closes against a server that echoes by
# the WebSocket code of streams, or those that AUTOBAHN_CASES names ("1.1.1 7.*"). Fails if there is one whose behavior or close is
# not as RFC 6455 asks. The suite's own reports are in $DATASTREAM_CACHE/autobahn-VERSION/reports.
#
# The suite is a program for Python 2.7 and is nowhere else: PYTHON2 says where that is, if it is neither in PATH nor with pyenv.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cache=${DATASTREAM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/datastream}
version=25.10.1
suite=$cache/autobahn-$version
# 9.* measures speed, 12.* and 13.* are on compression, which the gateway does not offer.
read -ra cases <<<"${AUTOBAHN_CASES:-1.* 2.* 3.* 4.* 5.* 6.* 7.* 10.*}"

python=${PYTHON2:-python2.7}
if ! "$python" -c '' 2>/dev/null && [ -z "${PYTHON2:-}" ] && command -v pyenv >/dev/null; then
  # The programs that pyenv puts into PATH fail while another version is chosen.
  python=$(pyenv root)/versions/$(pyenv whence python2.7 | tail -n 1)/bin/python2.7
fi
"$python" -c '' 2>/dev/null || { echo "autobahn.sh: the suite needs Python 2.7: install it, and say where by PYTHON2" >&2; exit 1; }

# Python 2.7 has no venv of its own. Its packages for a user are as good: they are kept apart from all others, and .pth files work.
export PYTHONUSERBASE=$suite/python PYTHONNOUSERSITE=
# Warnings that Python 2.7 is old.
export PYTHONWARNINGS=ignore
if [ ! -e "$suite/installed" ]; then
  echo "autobahn.sh: installing autobahntestsuite $version (a minute, once)" >&2
  rm -rf "$PYTHONUSERBASE"
  # It pins autobahn, Twisted and whatever else it needs itself.
  "$python" -m pip install -q --user --ignore-installed --no-warn-script-location --disable-pip-version-check \
    "autobahntestsuite==$version" >&2
  touch "$suite/installed"
fi

cargo build --locked -p datastream-gateway --features test-util --example echo
work=$(mktemp -d)
echo_pid=
end() {
  [ -z "$echo_pid" ] || kill "$echo_pid" 2>/dev/null || true
  rm -rf "$work"
}
trap end EXIT
"${CARGO_TARGET_DIR:-target}/debug/examples/echo" 0 >"$work/address" &
echo_pid=$!
# It prints its address once it listens.
for _ in {1..100}; do
  [ ! -s "$work/address" ] || break
  kill -0 "$echo_pid" 2>/dev/null || break
  sleep 0.1
done
[ -s "$work/address" ] || { echo "autobahn.sh: the echo server does not start" >&2; exit 1; }

reports=$suite/reports
rm -rf "$reports"
mkdir -p "$reports"
"$python" - "$work/spec.json" "$reports" "ws://$(<"$work/address")" "${cases[@]}" <<'PY'
import json, sys
path, reports, url = sys.argv[1:4]
spec = {"outdir": reports, "servers": [{"agent": "datastream", "url": url}], "cases": sys.argv[4:]}
json.dump(dict(spec, **{"exclude-cases": [], "exclude-agent-cases": {}}), open(path, "w"))
PY
# It ends well whatever the results are.
"$PYTHONUSERBASE/bin/wstest" --mode fuzzingclient --spec "$work/spec.json" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
kill -0 "$echo_pid" 2>/dev/null || { echo "autobahn.sh: the echo server has ended" >&2; exit 1; }

"$python" - "$reports/index.json" <<'PY'
import collections, json, sys
results = json.load(open(sys.argv[1])).get("datastream", {})
number = lambda case: [int(part) for part in case.split(".")]
count = collections.Counter(result["behavior"] for result in results.values())
print("autobahn.sh: %d cases: %d strict, %d non-strict, %d informational" % (
    len(results), count["OK"], count["NON-STRICT"], count["INFORMATIONAL"]))
good = {"behavior": ("OK", "NON-STRICT", "INFORMATIONAL"), "behaviorClose": ("OK", "INFORMATIONAL")}
bad = [case for case, result in results.items() if any(result[key] not in good[key] for key in good)]
for case in sorted(bad, key=number):
    result = results[case]
    sys.stderr.write("autobahn.sh: %s: behavior %s, close %s\n" % (case, result["behavior"], result["behaviorClose"]))
# A selection that matches nothing is a mistake.
sys.exit(1 if bad or not results else 0)
PY
