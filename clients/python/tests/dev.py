"""The real program, `datastream dev`."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import urllib.request
from pathlib import Path
from typing import IO

PROGRAM = os.environ.get("DATASTREAM_BIN", "")

_MANIFEST = """
apiVersion: datastream.dev/v1alpha1
kind: DatastreamSubscription
metadata:
  name: all
spec:
  eventTypes: [connectivity, datapoint, datapointack, location, registration]
"""


class Dev:
    """A running `datastream dev`, of which the events and the key outlive a restart."""

    def __init__(self, folder: Path, listen: str = "127.0.0.1:0") -> None:
        manifests = folder / "manifests"
        manifests.mkdir(exist_ok=True)
        (manifests / "all.yaml").write_text(_MANIFEST)
        places = ["--manifests", str(manifests), "--journal", str(folder / "journal")]
        command = [PROGRAM, "dev", *places, "--listen", listen, "--admin", "127.0.0.1:0"]
        try:
            self._process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        except OSError as error:
            raise AssertionError(f"DATASTREAM_BIN={PROGRAM} cannot be run: {error}") from error
        self.url, self._admin = self._addresses()
        # A full pipe would hold it up.
        self._drain = threading.Thread(target=self._stdout.read)
        self._drain.start()

    def publish(self, *events: str) -> None:
        body = "\n".join(events).encode()
        with urllib.request.urlopen(self._admin, body, timeout=10) as response:
            assert response.status < 300, response.read()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
        self._drain.join()
        self._stdout.close()

    @property
    def _stdout(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout

    def _addresses(self) -> tuple[str, str]:
        url = admin = ""
        for line in self._stdout:
            admin = admin or _found(r"POST (http:\S+)", line)
            url = url or _found(r"(ws:\S+)", line)
            if url and admin:
                return url, admin
        raise AssertionError(f"DATASTREAM_BIN={PROGRAM} dev ended before it printed a URL")


def _found(pattern: str, line: str) -> str:
    match = re.search(pattern, line)
    return match[1] if match else ""
