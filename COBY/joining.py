"""Continuity of books whose snapshot is asked for on the socket and joined to updates held: `JoinedChain`. Pure."""

from __future__ import annotations

from COBY.continuity import MAX_HELD, MAX_PASSED, MAX_UNJOINED, ChainState, RestChain
from COBY.exchanges.base import AnyEvent, Delta, Lost, Snapshot


class JoinedState(ChainState):
    """``ahead``: a snapshot that is newer than the updates so far; it waits for them to reach it."""

    ahead: Snapshot | None = None


class JoinedChain(RestChain):
    """Continuity of one book by equal links: an update must follow the very last number.

    A snapshot counts if its number is the last one held, or one that an update held follows; updates held before are
    in it. If it is older than they reach back, or between them, another is wanted (`Stale`); if it is newer than all
    of them, or none are held, it waits for the stream to reach its number: a copy made before the subscription may lack
    an update. A second one with its number, and no update between them, says that the stream stands still there.
    ``first_id`` of a Delta is the number it follows, plus 1.
    """

    State = JoinedState

    def __init__(self, symbol: str, state: ChainState) -> None:
        """A chain that goes on from ``state``."""
        assert isinstance(state, JoinedState)
        super().__init__(symbol, state)
        self.state: JoinedState = state

    def delta(self, delta: Delta) -> list[AnyEvent]:
        """An update as it came -> itself if it follows, Lost if it doesn't; held while a snapshot is awaited.

        The one that brings the stream to a waiting snapshot gives that, too.
        """
        state = self.state
        if state.last is not None and _follows(delta) != state.last:
            detail = f"expected {state.last}, got {_follows(delta)}"
            self.state = JoinedState(held=[delta], floor=state.last)
            return [Lost(self._symbol, "sequence_gap", detail)]
        if state.holding:
            self._keep(delta)
        passed: list[AnyEvent] = []
        if state.last is not None:
            state.last = delta.sequence_id
            passed = [delta]
        if state.ahead is not None:
            waiting, state.ahead = state.ahead, None
            passed += self._join(waiting)
        return passed

    def snapshot(self, snapshot: Snapshot) -> list[AnyEvent]:
        """A snapshot as it came -> itself and the updates held that follow it, Stale, or nothing while it waits.

        Nothing for one that nobody waits for: a live book is proven, and so it stays.
        """
        return self._join(snapshot) if self.state.last is None or self.state.holding else []

    def lost(self, detail: str, until: int | None = None) -> list[AnyEvent]:
        """An update that can't be used: Lost, once. ``until``: its number, None if that can't be read either."""
        last = self.state.last
        if last is None:
            if until is not None:
                self.state.floor = max(until, self.state.floor or 0)
            return []
        self.state = JoinedState(floor=last + 1 if until is None else max(last, until))
        return [Lost(self._symbol, "sequence_gap", detail)]

    def _join(self, snapshot: Snapshot) -> list[AnyEvent]:
        state, at = self.state, snapshot.sequence_id
        assert at is not None
        held = state.held
        here = held[-1].sequence_id if held else state.last
        if here is not None and at > here:
            return self._wait(snapshot)
        # Numbers below the floor: the book was further on, unless the stream itself keeps saying otherwise.
        reached = at if here is None else here
        if state.floor is not None and reached < state.floor and len(held) < MAX_PASSED:
            return [self._stale(at, reached, state.floor)]
        again = state.ahead is not None and state.ahead.sequence_id == at
        if here is None and not again:
            return self._wait(snapshot)
        place = next((place for place, delta in enumerate(held) if _follows(delta) == at), None)
        if place is None and here is not None and here != at:
            return [self._stale(at, at, _follows(held[0]) if held else reached)]
        self.state = JoinedState(last=reached, holding=False)
        return [snapshot, *([] if place is None else held[place:])]

    def _wait(self, snapshot: Snapshot) -> list[AnyEvent]:
        """Newer than all that is held, or nothing is: the stream has to reach it. Not believed for ever."""
        state = self.state
        if len(state.held) > MAX_UNJOINED:
            state.held = state.held[-1:]
            assert snapshot.sequence_id is not None
            return [self._stale(snapshot.sequence_id, snapshot.sequence_id, _follows(state.held[-1]))]
        state.ahead = snapshot
        return []

    def _keep(self, delta: Delta) -> None:
        """Hold an update. What is held is a sequence without a gap: one that doesn't follow begins it anew."""
        state = self.state
        held, last = state.held, delta.sequence_id
        if held and _follows(delta) != held[-1].sequence_id:
            end = held[-1].sequence_id
            assert end is not None
            assert last is not None
            state.passed += 1
            if last <= end and state.passed < MAX_PASSED:
                return  # come late, or twice
            held.clear()
        state.passed = 0
        held.append(delta)
        if len(held) > MAX_HELD:
            del held[: len(held) - MAX_HELD]


def _follows(delta: Delta) -> int:
    assert delta.first_id is not None
    return delta.first_id - 1
