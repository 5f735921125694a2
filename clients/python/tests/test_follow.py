from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from collect import numbers
from gateway import Exchange, Gateway, datapoint, refusal

ROOT = Path(__file__).resolve().parents[1]


async def send_three(exchange: Exchange) -> None:
    await exchange.events(exchange.first, exchange.first + 2)
    await exchange.close(1012 if exchange.n == 0 else 1000, "moved")


def follow(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, str(ROOT / "examples" / "follow.py"), *arguments]
    environment = {"PYTHONPATH": str(ROOT / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, capture_output=True, check=False, env=environment, text=True, timeout=15
    )
    return done.returncode, done.stdout, done.stderr


def lines(first: int, last: int) -> str:
    return "".join(f"{datapoint(seq)}\n" for seq in numbers(first, last))


def test_it_prints_events_as_they_came_and_ends_with_the_stream() -> None:
    with Gateway(send_three) as gateway:
        code, out, err = follow(gateway.url, "--seq-start", "5", "--delay-ms", "1")
    assert (code, out) == (0, lines(5, 10))
    assert re.fullmatch(r"reconnecting in \d+ ms: closed by the server: 1012 moved\n", err)


def test_it_ends_after_the_count() -> None:
    with Gateway(send_three) as gateway:
        assert follow(gateway.url, "--count", "2") == (0, lines(1, 2), "")


def test_it_says_why_it_fails() -> None:
    with Gateway(send_three, lambda _: refusal(410, "gone", "7 is left")) as gateway:
        assert follow(gateway.url) == (1, "", "410 gone: 7 is left\n")


def test_it_tells_how_it_is_used() -> None:
    for arguments in (
        (),
        ("nonsense",),
        ("ws://h", "--count", "0"),
        ("ws://h", "--delay-ms", "-1"),
    ):
        code, out, err = follow(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith("usage: follow ")
