"""The soak: long, under load, a random fault each minute; every invariant at its end, and memory that is flat."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import psutil

from deploy.local.errors import LocalError
from deploy.local.supervise import Programs
from tests.faults.cases import Case, all_cases
from tests.faults.pipeline import MIB, Load, Pipeline

MINUTE = 60.0
KINDS = (1, 2, 3, 4, 5, 6, 7)
"""Cases whose faults can be dealt to any pipeline; besides, the clock is killed."""
CLOCK = 0
SAMPLE_SECONDS = 5.0
GROWN_UP_SECONDS = 120.0
"""A process that has run for so long holds its books and buffers."""
FLAT = 1.1
"""The peak of a program's last third may lie so far above that of its middle third. In the first one caches and the ids
of trades fill, and a worker that takes over another's books for the first time gets room for them, which it keeps."""
NOT_OURS = ("simulator",)
"""It keeps what it has sent, to be asked for it afterwards."""


class Memory(threading.Thread):
    """Samples of every program's memory, into a file of JSON lines."""

    def __init__(self, programs: Programs, path: Path) -> None:
        super().__init__(name="memory", daemon=True)
        self._programs, self._path = programs, path
        self._stop_asked = threading.Event()

    def run(self) -> None:
        """Until `end`."""
        with self._path.open("a") as file:
            while not self._stop_asked.wait(SAMPLE_SECONDS):
                with suppress(LocalError, OSError):
                    file.writelines(json.dumps(line) + "\n" for line in self._samples())
                    file.flush()

    def _samples(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for name, state in self._programs.status().items():
            with suppress(psutil.Error, ValueError):
                process = psutil.Process(state.pid)
                age = time.time() - process.create_time()
                rss = process.memory_info().rss
                found.append(
                    {"name": name, "at": round(time.time()), "age_seconds": round(age), "bytes": rss}
                )
        return found

    def end(self) -> None:
        """Stop sampling."""
        self._stop_asked.set()
        self.join()


def thirds(lines: list[str]) -> dict[str, tuple[int, int, int]]:
    """Program -> peak bytes in each third of the time, of processes that are grown up."""
    samples: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for line in lines:
        one = json.loads(line)
        if one["age_seconds"] >= GROWN_UP_SECONDS and one["name"] not in NOT_OURS:
            samples[one["name"]].append((one["at"], one["bytes"]))
    found = {}
    for name, pairs in samples.items():
        pairs.sort()
        third = len(pairs) // 3
        if third:
            parts = pairs[:third], pairs[third:-third], pairs[-third:]
            first, middle, last = (max(size for _, size in part) for part in parts)
            found[name] = first, middle, last
    return found


class Soak(Case):
    """A round a minute."""

    number = 0  # none of FAULTS.md's
    title = "soak: a random fault each minute"
    rounds = 30
    load = Load(rate=1_000, workers=2)
    is_seen = False  # each kind has a case of its own for that

    def begin(self, pipeline: Pipeline) -> None:
        """From now on memory is looked at."""
        self._path = pipeline.folder / "memory.jsonl"
        self._next_at = time.monotonic()
        self._dealt = dict.fromkeys(KINDS, 0)
        cases = all_cases()
        self._cases = {number: cases[number]() for number in KINDS}
        self._cases[7].begin(pipeline)
        self._memory = Memory(pipeline.programs, self._path)
        self._memory.start()

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """Wait for the next minute, then deal any of the kinds."""
        while (left := self._next_at - time.monotonic()) > 0:
            time.sleep(min(left, 1.0))
            pipeline.watch_memory()
        self._next_at = max(self._next_at + MINUTE, time.monotonic())
        number = pipeline.random.choice((CLOCK, *KINDS))
        if number == CLOCK:
            return pipeline.kill("clock")
        turn = self._dealt[number]
        self._dealt[number] += 1
        return f"case {number}: {self._cases[number].deal(pipeline, turn)}"

    def end(self, pipeline: Pipeline) -> list[str]:
        """What memory did, and what the onlooker at Redis saw."""
        self._memory.end()
        problems = self._cases[7].end(pipeline)
        for name, sizes in sorted(thirds(self._path.read_text().splitlines()).items()):
            line = f"{name}: {', '.join(f'{size // MIB} MiB' for size in sizes)} at most in the thirds of the time"
            print(line)
            if sizes[2] > FLAT * sizes[1]:
                problems.append(f"I8 {line}")
        return problems
