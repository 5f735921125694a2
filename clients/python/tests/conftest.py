"""Fixtures, and the limit of each test's time."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator

import pytest

from collect import Collect, collect_async, collect_blocking

_SECONDS = 20

# Against the real program only where the environment names it.
collect_ignore = [] if os.environ.get("DATASTREAM_BIN") else ["test_datastream.py"]


@pytest.fixture(params=[collect_blocking, collect_async], ids=["open", "connect"])
def collect(request: pytest.FixtureRequest) -> Collect:
    function: Collect = request.param
    return function


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    faulthandler.dump_traceback_later(_SECONDS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
