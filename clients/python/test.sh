#!/usr/bin/env bash
# test.sh: checks that bodies.py is current, lints, type-checks and tests the library, builds its
# wheel, and uses that in a folder that has nothing else. Needs python3 with venv, and node; the test
# against a gateway runs where DATASTREAM_BIN names the program datastream. Nothing is written into
# the checkout.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
python=$(python3 environment.py)
export PYTHONDONTWRITEBYTECODE=1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

./bodies.sh --check
"$python" -m ruff format --no-cache --check .
"$python" -m ruff check --no-cache .
"$python" -m mypy --cache-dir "$(dirname "$python")/../mypy"
"$python" -m pyright --pythonpath "$python"
"$python" -m pytest --quiet

"$python" -m build --wheel --no-isolation --outdir "$work" . >/dev/null
"$python" -m pip install --disable-pip-version-check --quiet --no-index --no-deps \
  --target "$work/target" "$work"/datastream_client-*.whl
cd "$work"
found=$(PYTHONPATH=target "$python" - <<'PY'
import importlib.metadata
from pathlib import Path

import datastream_client

folder = Path(datastream_client.__file__).parent
stream = datastream_client.open("wss://streams.example.com/stream?stream_key=0", seq_start=7)
version = importlib.metadata.version("datastream-client")
print(folder.relative_to(Path.cwd()), (folder / "py.typed").exists(), stream.position, version)
PY
)
expected="target/datastream_client True 7 0.2.0"
[ "$found" = "$expected" ] || { echo "test.sh: the wheel does not work: $found" >&2; exit 1; }
echo "test.sh: the built wheel works"
