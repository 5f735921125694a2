"""Makes the virtual environment of the tests and examples, and prints the path of its Python.

It is outside the checkout, in $DATASTREAM_CACHE, and made once for each lock file and Python.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

LOCK_FILE = Path(__file__).resolve().parent / "requirements-dev.txt"


def folder() -> Path:
    """Returns the folder of the environment, which may not exist yet."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = Path(os.environ.get("DATASTREAM_CACHE") or home / "datastream")
    python = f"{sys.base_prefix} {sys.version}".encode()
    digest = hashlib.sha256(LOCK_FILE.read_bytes() + python).hexdigest()
    return cache / f"python-{digest[:12]}"


def install(environment: Path) -> None:
    """Installs what the lock file names. Raises CalledProcessError if that fails."""
    environment.mkdir(parents=True, exist_ok=True)
    with (environment / "lock").open("w") as lock:
        # Tests start examples at the same time.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (environment / "installed").exists():
            return
        venv.create(environment, with_pip=True, symlinks=True)
        python = environment / "bin" / "python"
        install = f"{python} -m pip --disable-pip-version-check install --quiet".split(" ")
        options = ["--require-hashes", "--only-binary=:all:", "--requirement", str(LOCK_FILE)]
        subprocess.run([*install, *options], check=True, stdout=sys.stderr)
        (environment / "installed").touch()


def main() -> None:
    environment = folder()
    if not (environment / "installed").exists():
        install(environment)
    print(environment / "bin" / "python")


if __name__ == "__main__":
    main()
