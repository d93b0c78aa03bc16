"""Continuity of books: the rules that several exchanges share; each exchange file names the one it uses.

`SocketChain`: the snapshot comes on the same socket, before the updates that continue it.
`RestChain`: the snapshot comes over REST, updates carry first and last sequence number. Hold updates; drop those that
end at or before the snapshot; the first kept one must begin at or before the snapshot's number + 1; from then on each
must begin at the last number + 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Generic, TypeVar

import msgspec

from COBY.exchanges.base import AnyEvent, Delta, Lost, Repeated, Snapshot, Stale

MAX_HELD = 10_000
MAX_PASSED = 20
"""A joined book whose exchange sends so many old updates in a row has had its numbers begun anew: it would freeze."""
MAX_UNJOINED = 600
"""The same before the snapshot is joined: a snapshot may be ahead of the stream, but not by a minute."""


class ChainState(msgspec.Struct):
    """``last`` proven sequence number (None: no snapshot yet); ``held`` updates a snapshot can be joined to.

    ``floor``: how far a book went that was then found wrong; a snapshot from before that would go back in time.
    ``joined``: an update has continued the snapshot; ``passed``: old updates in a row since then.
    """

    last: int | None = None
    floor: int | None = None
    holding: bool = True
    held: list[Delta] = []
    joined: bool = False
    passed: int = 0


class RestChain:
    """The rule for one book."""

    State = ChainState

    def __init__(self, symbol: str, state: ChainState) -> None:
        """A chain that goes on from ``state``."""
        self._symbol = symbol
        self.state = state

    def hold(self, proven: bool) -> None:
        """A snapshot will come: keep updates for it. Not ``proven``: and let none pass before it."""
        if not proven and self.state.last is not None:
            self.state.last, self.state.floor = None, self.state.last
        if not self.state.holding:
            self.state.holding = True
            self.state.held = []

    def delta(self, delta: Delta) -> list[AnyEvent]:
        """An update as it came -> itself if it continues, Lost if something is missing, nothing if held.

        An old one is Repeated, or nothing where it may have been on its way when the snapshot was made.
        """
        state = self.state
        first, last = delta.first_id, delta.sequence_id
        assert first is not None
        assert last is not None
        if state.last is None:
            self._keep(delta)
            self._begun_anew(last)
            return []
        if first > state.last + 1:
            return self._lost(delta, f"expected {state.last + 1}, got {first}")
        if last <= state.last:
            state.passed += 1
            if state.passed < (MAX_PASSED if state.joined else MAX_UNJOINED):
                return [Repeated(self._symbol)] if state.joined else []
            return self._lost(delta, f"stays before {state.last}, at {last}")
        state.last, state.joined, state.passed = last, True, 0
        if state.holding:
            self._keep(delta)
        return [delta]

    def snapshot(self, snapshot: Snapshot) -> list[AnyEvent]:
        """A snapshot as it came -> itself and the held updates that continue it, or Stale if they don't.

        Nothing for one that nobody waits for and that is older than the book.
        """
        assert snapshot.sequence_id is not None
        at, reached = snapshot.sequence_id, self.state.last
        if reached is not None and not self.state.holding and at < reached:
            return []  # nobody waits for it: an answer that came late
        joined: list[AnyEvent] = [snapshot]
        for delta in self.state.held:
            assert delta.first_id is not None
            assert delta.sequence_id is not None
            if delta.sequence_id <= at:
                continue
            if delta.first_id > at + 1:
                return [self._stale(snapshot.sequence_id, at, delta.first_id)]
            joined.append(delta)
            at = delta.sequence_id
        reached = self.state.floor if reached is None else reached
        if reached is not None and at < reached:
            # The book was further on than this snapshot and the updates held reach: it would go back in time.
            return [self._stale(snapshot.sequence_id, at, reached)]
        self.state = ChainState(last=at, holding=False, joined=len(joined) > 1)
        return joined

    def lost(self, detail: str, until: int | None = None) -> list[AnyEvent]:
        """An update that can't be used: Lost. ``until``: its last number, None if that can't be read either."""
        last = self.state.last
        if last is None or (until is not None and until <= last):
            return []  # nothing to lose, or older than the book
        self.state = ChainState(floor=last + 1 if until is None else max(last, until))
        return [Lost(self._symbol, "sequence_gap", detail)]

    def _begun_anew(self, last: int) -> None:
        """Updates that stay below the floor: their numbers have begun anew, and so will those of snapshots."""
        state = self.state
        state.passed = state.passed + 1 if state.floor is not None and last < state.floor else 0
        if state.passed >= MAX_PASSED:
            state.floor, state.passed = None, 0

    def _lost(self, delta: Delta, detail: str) -> list[AnyEvent]:
        self.state = ChainState(held=[delta])
        return [Lost(self._symbol, "sequence_gap", detail)]

    def _keep(self, delta: Delta) -> None:
        held = self.state.held
        held.append(delta)
        if len(held) > MAX_HELD:
            del held[: len(held) - MAX_HELD]

    def _stale(self, sequence_id: int, at: int, first: int) -> Stale:
        return Stale(
            self._symbol,
            "snapshot_too_old",
            f"snapshot {sequence_id} joins up to {at}, held goes on at {first}",
        )


class SocketState(msgspec.Struct):
    """``waiting`` for a snapshot; ``last`` proven sequence number (None where the exchange gives none)."""

    waiting: bool = True
    last: int | None = None


class SocketChain:
    """Continuity of one book whose snapshot comes over the socket: what comes before it is of no use to it."""

    State = SocketState

    def __init__(self, symbol: str, state: SocketState) -> None:
        """A chain that goes on from ``state``."""
        self._symbol = symbol
        self.state = state

    def hold(self, proven: bool) -> None:
        """A snapshot will come. Not ``proven``: let no update pass before it."""
        if not proven:
            self.state.waiting = True

    def snapshot(self, snapshot: Snapshot) -> list[AnyEvent]:
        """A snapshot as it came: the chain begins anew, whenever the exchange sends one."""
        self.state = SocketState(False, snapshot.sequence_id)
        return [snapshot]

    def delta(self, delta: Delta, follows: int | None) -> list[AnyEvent]:
        """An update as it came -> itself, or Lost if it does not follow the last one.

        ``follows``: the sequence number it says it follows, None where the exchange gives no sequence at all.
        """
        state = self.state
        if state.waiting:
            return []
        if follows != state.last:
            return self.lost(f"expected {state.last}, got {follows}")
        state.last = delta.sequence_id
        return [delta]

    def lost(self, detail: str, renewing: bool = False) -> list[AnyEvent]:
        """The sequence is broken: Lost, once, until the next snapshot. ``renewing``: that one is on its way."""
        if self.state.waiting:
            return []
        self.state.waiting = True
        return [Lost(self._symbol, "sequence_gap", detail, renewing)]


Chain = TypeVar("Chain", RestChain, SocketChain)


class ChainedDecoder(Generic[Chain]):
    """What the decoders share: a chain for each book of the connection, and the symbols by their two names."""

    separator = ""
    """What stands between base and quote in the exchange's names, if anything."""

    def __init__(self, symbols: Mapping[str, str], chain: type[Chain]) -> None:
        """``symbols`` maps exchange symbol -> symbol; empty: any symbol."""
        self._symbols = symbols
        self._kind: type[Chain] = chain
        self._chains: dict[str, Chain] = {}

    def expect_snapshot(self, symbol: str, proven: bool) -> None:
        """See `Decoder.expect_snapshot`."""
        self._chain(symbol).hold(proven)

    def met(self) -> frozenset[str]:
        """See `Decoder.met`."""
        return frozenset(self._chains)

    def save(self) -> object:
        """See `Decoder.save`."""
        return {symbol: msgspec.to_builtins(chain.state) for symbol, chain in sorted(self._chains.items())}

    def load(self, state: object) -> None:
        """See `Decoder.load`. Symbols no longer served are dropped: nobody takes events of them."""
        states = msgspec.convert(state, dict[str, self._kind.State])  # type: ignore[name-defined]
        served = set(self._symbols.values()) if self._symbols else set(states)
        self._chains = {
            symbol: self._kind(symbol, state) for symbol, state in states.items() if symbol in served
        }

    def _unusable(self, symbols: Iterable[str] | None = None) -> list[AnyEvent]:
        """Lost, of the books (None: all of the connection) that a frame nobody can read may have been an update of."""
        named = sorted(self._chains) if symbols is None else symbols
        met = [self._chains[symbol] for symbol in named if symbol in self._chains]
        return [event for chain in met for event in chain.lost("an unusable frame")]

    def _name(self, exchange_symbol: str) -> str | None:
        """Our symbol; None for one that is none of the connection's."""
        return (
            self._symbols.get(exchange_symbol)
            if self._symbols
            else exchange_symbol.replace(self.separator, "")
        )

    def _chain(self, symbol: str) -> Chain:
        if symbol not in self._chains:
            self._chains[symbol] = self._kind(symbol, self._kind.State())
        return self._chains[symbol]
