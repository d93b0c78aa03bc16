"""Small disks of memory (tmpfs) that can be filled to their last byte, seen by this process and its children alone.

They are mounted in a mount namespace of our own: when its last process ends, however it ends, the kernel takes them
away. So a killed run leaves none, and nothing but this run can meet one.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
from pathlib import Path
from typing import Self

from tests.faults.pipeline import CannotRunError

CLONE_NEWNS = 0x00020000
"""linux/sched.h."""
BALLAST = "ballast"
MIB = 1024 * 1024

_apart = False


class Disks:
    """`with` takes every disk away at its end."""

    def __init__(self) -> None:
        self._mounted: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for at in reversed(self._mounted):
            # Lazily: a log that is still open must not keep it.
            subprocess.run(["umount", "--lazy", str(at)], check=True)
        self._mounted.clear()

    def mount(self, at: Path, size_mib: int) -> None:
        """An empty disk of ``size_mib`` at this folder, which is made. CannotRunError: not permitted here."""
        _go_apart()
        at.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m,mode=755", "tmpfs", str(at)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise CannotRunError(f"mounting a tmpfs is not permitted here: {done.stderr.strip()}")
        self._mounted.append(at)

    @staticmethod
    def fill(at: Path, left_bytes: int = 0) -> int:
        """Leave this much free; returns how many bytes that took. Others may write meanwhile."""
        with (at / BALLAST).open("ab") as ballast:
            while (more := free_bytes(at) - left_bytes) > 0:
                try:
                    os.posix_fallocate(ballast.fileno(), ballast.seek(0, os.SEEK_END), more)
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
            return ballast.seek(0, os.SEEK_END)

    @staticmethod
    def empty(at: Path) -> None:
        """Give back what `fill` took."""
        (at / BALLAST).unlink(missing_ok=True)


def free_bytes(at: Path) -> int:
    """What can still be written there."""
    found = os.statvfs(at)
    return found.f_bavail * found.f_frsize


def _go_apart() -> None:
    """A mount namespace of this thread and of all that it starts from now on; once. CannotRunError: not permitted."""
    global _apart
    if _apart:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        raise CannotRunError(f"mounting is not permitted here: {os.strerror(ctypes.get_errno())}")
    done = subprocess.run(["mount", "--make-rprivate", "/"], capture_output=True, text=True)
    if done.returncode:
        raise CannotRunError(f"mounting is not permitted here: {done.stderr.strip()}")
    _apart = True
