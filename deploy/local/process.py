"""Processes we start, told apart from all others: by start time, and by a mark they all carry.

A pid alone says nothing (it may be another program by now). A process is ours if its start time is the one
noted down, or if its environment or command line carries the mark of our folder.
"""

import contextlib
import hashlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

MARK = "COBY_LOCAL_MARK"


def mark_of(folder: Path) -> str:
    """The mark of everything started for `folder`; short, so that it fits process titles."""
    return f"coby-{hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:12]}"


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state (field 3) on; empty if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text[text.rindex(")") + 2 :].split()


def _ended(pid: int) -> bool:
    """Whether all of it is over: a killed JVM's first thread is a zombie while others still hold its port."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(0))
    finally:
        os.close(handle)


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass(frozen=True)
class Identity:
    """One process for good: its pid, its start in clock ticks since boot, and which boot."""

    pid: int
    started: int
    boot: str

    @classmethod
    def of(cls, pid: int) -> "Identity | None":
        """Who runs under `pid` now; None if nobody."""
        fields = _stat(pid)
        return cls(pid, int(fields[19]), _boot_id()) if fields else None

    @property
    def alive(self) -> bool:
        """Whether this very process still runs: a zombie does not, unless threads of it are still ending."""
        fields = _stat(self.pid)
        if not fields or int(fields[19]) != self.started or _boot_id() != self.boot:
            return False
        return fields[0] != "Z" or not _ended(self.pid)

    def send(self, number: signal.Signals) -> None:
        """Signal it, if it is still the same process."""
        try:
            handle = os.pidfd_open(self.pid)  # holds the pid: nobody else gets it between check and signal
        except ProcessLookupError:
            return
        try:
            if self.alive:
                signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            pass
        finally:
            os.close(handle)

    def save(self, path: Path) -> None:
        """Note it down, whole or not at all."""
        temp = path.with_suffix(".new")
        temp.write_text(json.dumps(asdict(self)))
        temp.replace(path)

    @classmethod
    def load(cls, path: Path) -> "Identity | None":
        """What `save` noted; None if there is nothing readable."""
        try:
            return cls(**json.loads(path.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None


def wait_gone(processes: Sequence[Identity], seconds: float) -> list[Identity]:
    """Wait until all are gone; returns those that are not. Reaps what are our own children."""
    end = time.monotonic() + seconds
    while True:
        for one in processes:
            reap(one.pid)
        left = [one for one in processes if one.alive]
        if not left or time.monotonic() >= end:
            return left
        time.sleep(0.02)


def reap(pid: int) -> None:
    """Take a dead child's exit status, so that no zombie stays. Not our child: nothing to do."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def marked(mark: str) -> list[Identity]:
    """All processes that carry the mark, oldest first, ourselves and our parents left out."""
    wanted, ours, found = mark.encode(), _ancestors(), []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in ours:
            continue
        try:
            text = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if wanted in text and (identity := Identity.of(int(entry.name))):
            found.append(identity)
    return sorted(found, key=lambda one: one.started)


def _ancestors() -> set[int]:
    pid, found = os.getpid(), set()
    while pid > 0:
        found.add(pid)
        fields = _stat(pid)
        pid = int(fields[1]) if fields else 0
    return found


def sweep(mark: str, seconds: float = 10.0) -> list[Identity]:
    """End whatever still carries the mark (left by a crash): SIGTERM, then SIGKILL. Returns what it found."""
    found = left = marked(mark)
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 5.0)):
        for one in left:
            one.send(number)
        left = wait_gone(left, patience)
        left += [one for one in marked(mark) if one not in left]
        if not left:
            break
    return found


def spawn(
    command: Sequence[str],
    log: Path,
    *,
    mark: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Identity:
    """Start `command` in a session of its own (a Ctrl-C is not for it), output appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as out:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=cwd,
            env={**(env or {}), MARK: mark},
        )
    # From here on the pid and start time say which it is; Popen must not wait for or warn about it.
    child.returncode = 0
    identity = Identity.of(child.pid)
    assert identity, "a child not yet waited for has a /proc entry"
    return identity


def dies_with_parent(command: Sequence[str], number: signal.Signals | None) -> list[str]:
    """`command`, sent `number` when the starting process ends, however it ends (None: it lives on)."""
    if number is None:
        return list(command)
    return ["setpriv", "--pdeathsig", number.name.removeprefix("SIG"), "--", *command]
