"""A slot's state that is given up is gone at once: a worker gives up some at each rebalance, and they are large."""

import gc
import weakref

import pytest

from COBY.exchanges import load, names
from COBY.exchanges.base import Slot
from COBY.records import UNITS
from COBY.slot import SlotState
from COBY.slot_state import Frame


class Watched(SlotState):
    """Of a class of its own, so that weak references to it are sure to be allowed."""


@pytest.mark.parametrize("exchange", names())
def test_a_slot_given_up_needs_no_search_for_cycles(exchange):
    one = load(exchange)
    slot = Slot(f"{exchange}-0", exchange, {one.exchange_symbol("BTCUSDT"): "BTCUSDT"})
    state = Watched(one, slot, lambda _symbol: 10 * UNITS, 50)
    state.take(Frame(1, "conn-1", 1, "event", b'{"event": "connected"}', None, None), 1, lambda _record: None)
    state.tick(2, 2, lambda _record: None)
    watched = weakref.ref(state)
    gc.disable()
    try:
        del state
        assert watched() is None
    finally:
        gc.enable()
