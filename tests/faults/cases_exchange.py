"""Cases of what an exchange does: frames lost, doubled, out of order or wrong; connections closed, silent or refused.

A relay between simulator and producers does it. What comes out of it is what the raw topics then hold, so the
recomputation holds for it; that every book is right again shows against the simulator's own (I4).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import ClassVar

from tests.faults.cases import Case
from tests.faults.pipeline import EXCHANGES, FaultError, Pipeline
from tests.faults.relay import CHECKSUM, CROSS, DELAY, DOUBLE, DROP, PASS, REFUSE, SILENT, SWAP, Relay
from tests.faults.rest_relay import LATE, OLD, RestRelay

SNAPSHOT_SECONDS = 20.0
LASTS_SECONDS = 6.0
SILENT_SECONDS = 15.0
CALM_SECONDS = 75.0


class RelayedPipeline(Pipeline):
    """`relay` lies between the simulator and all producers' WebSockets, `rest_relay` before its REST bodies."""

    relay: Relay
    rest_relay: RestRelay

    def program_env(self) -> dict[str, str]:
        """The producers connect to the relays."""
        address = self.simulator_url.replace("http://", "ws://")
        self.relay = self._stack.enter_context(Relay(address, self.random.random().hex()))
        self.rest_relay = self._stack.enter_context(RestRelay(self.simulator_url))
        here = {"WS": f"ws://127.0.0.1:{self.relay.port}", "REST": f"http://127.0.0.1:{self.rest_relay.port}"}
        return {
            f"{exchange.upper()}_{kind}_URL": f"{url}/{exchange}"
            for exchange in EXCHANGES
            for kind, url in here.items()
        }


class RelayedCase(Case):
    """A case with a relay."""

    number = -1
    title = ""

    def make_pipeline(self, folder: Path, seed: int, session: int) -> Pipeline:
        """With the relay."""
        return RelayedPipeline(folder, self.load, seed, session)


class FramesWrong(RelayedCase):
    """Whatever can't be proven is blind until a new snapshot."""

    number = 10
    title = "frames duplicated, swapped, delayed, dropped; wrong checksum; crossed; snapshots late, older than deltas"
    rounds = 8
    # Doubled and delayed frames may leave every book proven.
    is_seen = False
    MODES: ClassVar = (DROP, DOUBLE, SWAP, DELAY, CHECKSUM, CROSS)
    SNAPSHOTS: ClassVar = (LATE, OLD)

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """The next of the modes, for a few seconds."""
        assert isinstance(pipeline, RelayedPipeline)
        if (place := round_ % (len(self.MODES) + len(self.SNAPSHOTS)) - len(self.MODES)) >= 0:
            return self._snapshots(pipeline, self.SNAPSHOTS[place])
        relay, mode = pipeline.relay, self.MODES[round_ % len(self.MODES)]
        before = relay.touched
        relay.set(mode)
        try:
            pipeline.watch(LASTS_SECONDS)
        finally:
            relay.set(PASS)
        pipeline.fault_ended = time.monotonic()
        # A mode that touches nothing proves nothing.
        pipeline.until(lambda: relay.touched > before, 0.5, f"a frame touched by {mode}")
        return f"{mode}: {relay.touched - before} messages"

    @staticmethod
    def _snapshots(pipeline: RelayedPipeline, mode: str) -> str:
        """New connections, whose books begin with bodies that are late, or older than every delta they follow."""
        relay = pipeline.rest_relay
        before = relay.touched
        relay.set(mode)
        try:
            pipeline.relay.close_all(1001, "")
            pipeline.until(lambda: relay.touched > before, SNAPSHOT_SECONDS, f"a body touched by {mode}")
            pipeline.watch(LASTS_SECONDS)
        finally:
            relay.set(PASS)
        pipeline.fault_ended = time.monotonic()
        if mode == OLD and not any(one.startswith("book ") for one in pipeline.seen):
            raise FaultError("a snapshot older than the deltas blinded no book")
        return f"snapshots {mode}: {relay.touched - before} bodies"


class ExchangeGone(RelayedCase):
    """Backoff, a new connection, new books."""

    number = 11
    title = (
        "the exchange closes, falls silent, refuses (429), says farewell, changes nothing for over a minute"
    )
    rounds = 5
    # Nothing is wrong while nothing changes.
    is_seen = False

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """The next of the five."""
        assert isinstance(pipeline, RelayedPipeline)
        deal = (self._closes, self._is_silent, self._refuses, self._says_farewell, self._rests)[round_ % 5]
        what = deal(pipeline)
        pipeline.fault_ended = time.monotonic()
        return what

    @staticmethod
    def _closes(pipeline: RelayedPipeline) -> str:
        pipeline.relay.close_all(1011, "internal error")
        return "every connection closed with 1011"

    @staticmethod
    def _is_silent(pipeline: RelayedPipeline) -> str:
        pipeline.relay.set(SILENT)
        pipeline.watch(SILENT_SECONDS)
        pipeline.relay.set(PASS)
        return f"not a message for {SILENT_SECONDS:g} s"

    @staticmethod
    def _refuses(pipeline: RelayedPipeline) -> str:
        pipeline.relay.set(REFUSE)
        pipeline.relay.close_all(1001, "")
        pipeline.watch(LASTS_SECONDS)
        pipeline.relay.set(PASS)
        return f"every connection refused by 429 for {LASTS_SECONDS:g} s"

    @staticmethod
    def _says_farewell(pipeline: RelayedPipeline) -> str:
        pipeline.relay.close_all(1001, "24 hours are over")
        return "every connection ended by a farewell"

    @staticmethod
    def _rests(pipeline: RelayedPipeline) -> str:
        pipeline.ask("/_sim/pause", post=True)
        pipeline.watch(CALM_SECONDS)
        pipeline.ask("/_sim/resume", post=True)
        return f"the market at rest for {CALM_SECONDS:g} s"
