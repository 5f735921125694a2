from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.http11 import Response

from gateway import Exchange, Gateway, datapoint, refusal

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)

# The message of a gateway, of which the README shows the beginning.
NO_SUCH_KEY = (
    "no subscription has this stream key: it may be an old one, take it from the subscription's"
    " Secret, or from what datastream dev prints"
)

# Last line that each example prints.
OUTPUTS = [
    "AC1 p 5",
    "AC1 p 5",
    "44.76 degrees north",
    "12345678901234567890",
    "['seq', 'partition', 'offset', 'event_type', 'dsn', 'property_name', 'happened',"
    " 'happened_at', 'value', 'raw_value', 'json'] 15.0",
    datapoint(5, "5"),
    "everything stored has come",
    f"401 unauthorized {NO_SUCH_KEY}",
    "5",
]


async def script(exchange: Exchange) -> None:
    first = max(exchange.first, 1)
    is_told = "on_gap" in exchange.query
    if is_told:
        await exchange.marker("gap", "3")
    for seq in range(first, 6):
        await exchange.send(datapoint(seq, str(seq)))
    if is_told:
        await exchange.marker("live", "6")
    await exchange.close()


def test_every_example_is_tested() -> None:
    assert len(EXAMPLES) == len(OUTPUTS)


def test_the_types_of_every_example_are_right(tmp_path: Path) -> None:
    for n, example in enumerate(EXAMPLES):
        (tmp_path / f"example_{n}.py").write_text(example)
    options = ["--strict", "--config-file=", f"--cache-dir={tmp_path / 'cache'}"]
    # The library is checked by itself.
    options.append("--follow-imports=silent")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *map(str, sorted(tmp_path.glob("*.py")))],
        capture_output=True,
        check=False,
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("n", range(len(OUTPUTS)))
def test_example(n: int, tmp_path: Path) -> None:
    def refuse(exchange: Exchange) -> Response | None:
        is_wrong = exchange.query.get("stream_key") == "WRONG"
        return refusal(401, "unauthorized", NO_SUCH_KEY) if is_wrong else None

    with Gateway(script, refuse) as gateway:
        code = EXAMPLES[n].replace("wss://streams.example.com", f"ws://{gateway.host}")
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            capture_output=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
            text=True,
            timeout=15,
        )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.splitlines()[-1] == OUTPUTS[n]
    if 'Path("position")' in code:
        assert (tmp_path / "position").read_text() == "6"
