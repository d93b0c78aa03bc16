"""Wall clocks of single processes that are wrong, by Debian's libfaketime; their monotonic clocks stay right.

A process has to be started with `Skew.env`; what its wall clock shows can be changed while it runs.
"""

from __future__ import annotations

import shutil
import subprocess
import urllib.request
from email.utils import parsedate_to_datetime
from pathlib import Path
from time import time

from deploy.local.ports import HOST
from tests.faults.pipeline import CannotRunError

LIBRARIES = "*/faketime/libfaketimeMT.so.1"
SOURCE = Path(__file__).with_name("waits.c")
LOOK_SECONDS = 1
"""How long a process goes by what it last read of its file."""


class Skew:
    """One file a process; `missing` says what is not on this machine, empty: all is there."""

    def __init__(self, folder: Path) -> None:
        """``folder`` is made."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        found = sorted(Path("/usr/lib").glob(LIBRARIES))
        compiler = shutil.which("cc")
        self.missing = "" if found else "libfaketime is not here (apt-get install libfaketime)"
        if found and compiler is None:
            self.missing = "no C compiler is here (apt-get install gcc libc6-dev)"
        if self.missing or compiler is None:
            return
        shim = folder / "waits.so"
        done = subprocess.run(
            [compiler, "-shared", "-fPIC", "-O2", "-o", str(shim), str(SOURCE)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            self.missing = f"{SOURCE.name} can't be compiled: {done.stderr.strip()[-300:]}"
        self._preload = f"{shim}:{found[0]}"

    def env(self, name: str) -> dict[str, str]:
        """What a process of this name has to be started with; its clock is right at first."""
        if self.missing:
            return {}
        self.set(name, 0)
        return {
            "LD_PRELOAD": self._preload,
            "FAKETIME_TIMESTAMP_FILE": str(self._folder / name),
            "FAKETIME_CACHE_DURATION": str(LOOK_SECONDS),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def set(self, name: str, seconds: int) -> None:
        """From now on (within LOOK_SECONDS) its wall clock is ahead by so much. CannotRunError: not on this machine."""
        if self.missing:
            raise CannotRunError(self.missing)
        fresh = self._folder / f"{name}.new"
        fresh.write_text(f"{seconds:+d}\n")
        fresh.replace(self._folder / name)


def ahead_seconds(metrics_port: int) -> float:
    """By how much the wall clock of the process behind this port is ahead, to a second or two; OSError."""
    with urllib.request.urlopen(f"http://{HOST}:{metrics_port}/health/live", timeout=5) as answer:
        return parsedate_to_datetime(answer.headers["Date"]).timestamp() - time()
