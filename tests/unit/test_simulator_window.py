"""Windows by hand, and by a client that knows only the rule: apply, then hold the best."""

import random

import pytest

from simulator.market import Depth, MarketBook
from simulator.sides import Side
from simulator.window import Told

START = MarketBook(10, [(99, 1), (98, 2), (97, 3), (95, 4)], [(101, 1), (103, 2), (104, 3)])


def update(bids: list[tuple[int, int]], asks: list[tuple[int, int]]) -> Depth:
    return Depth("BTCUSDT", 0, 11, 20, tuple(bids), tuple(asks))


@pytest.mark.parametrize(
    ("changes", "silent", "spoken"),
    [
        # A change inside; one outside is nobody's.
        ([(98, 7)], [(98, 7)], [(98, 7)]),
        ([(95, 7)], [], []),
        ([(90, 7)], [], []),
        # A better level pushes the third out.
        ([(100, 7)], [(100, 7)], [(100, 7), (97, 0)]),
        # One goes: the fourth comes in with the size it has.
        ([(98, 0)], [(98, 0), (95, 4)], [(98, 0), (95, 4)]),
        # It comes in changed: said once.
        ([(98, 0), (95, 8)], [(98, 0), (95, 8)], [(98, 0), (95, 8)]),
        # Pushed out and changed in the same update.
        ([(100, 7), (97, 8)], [(100, 7)], [(100, 7), (97, 0)]),
        # Pushed out and removed.
        ([(100, 7), (97, 0)], [(100, 7), (97, 0)], [(100, 7), (97, 0)]),
        # Two words on one price, the last one true.
        ([(98, 5), (98, 0)], [(98, 5), (98, 0), (95, 4)], [(98, 5), (98, 0), (95, 4)]),
        # An unknown price is removed, inside and outside.
        ([(100, 0), (90, 0)], [(100, 0)], [(100, 0)]),
    ],
)
def test_a_window_of_three(
    changes: list[tuple[int, int]], silent: list[tuple[int, int]], spoken: list[tuple[int, int]]
) -> None:
    for says_leaving, expected in ((False, silent), (True, spoken)):
        cuts = Told(START, (3,), says_leaving=says_leaving).apply(update(changes, []))
        assert sorted(cuts[3].bids) == sorted(expected)
        assert cuts[3].asks == ()


def test_a_book_thinner_than_the_window_is_whole_in_it() -> None:
    told = Told(START, (3, 5), says_leaving=True)
    cuts = told.apply(update([(90, 7)], [(101, 0), (120, 7)]))
    assert cuts[5].bids == ((90, 7),)
    assert sorted(cuts[5].asks) == [(101, 0), (120, 7)]
    assert sorted(cuts[3].asks) == [(101, 0), (120, 7)]
    assert told.book(2) == MarketBook(20, [(99, 1), (98, 2)], [(103, 2), (104, 3)])


@pytest.mark.parametrize("says_leaving", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_a_client_of_any_depth_holds_the_best_of_the_book(seed: int, says_leaving: bool) -> None:
    """Random changes on a small book, against a plain dict sorted anew each time."""
    draw = random.Random(seed).randrange
    depths = (1, 3, 10)
    whole = (
        {price: draw(1, 9) for price in range(60, 100, 3)},
        {price: draw(1, 9) for price in range(101, 140, 3)},
    )
    start = MarketBook(1, sorted(whole[0].items(), reverse=True), sorted(whole[1].items()))
    told = Told(start, depths, says_leaving=says_leaving)
    clients = {depth: (dict(start.bids[:depth]), dict(start.asks[:depth])) for depth in depths}
    for _ in range(300):
        sides = [[(draw(low, low + 60), draw(3) * draw(9)) for _ in range(draw(6))] for low in (40, 101)]
        cuts = told.apply(update(*sides))
        for side, changes in zip(whole, sides, strict=True):
            follow(side, changes)
        for depth, client in clients.items():
            cut = cuts[depth]
            for is_asks, (mine, rows, true) in enumerate(
                zip(client, (cut.bids, cut.asks), whole, strict=True)
            ):
                follow(mine, rows)
                best = dict(sorted(true.items(), reverse=not is_asks)[:depth])
                if not says_leaving:
                    for price in set(mine) - set(sorted(mine, reverse=not is_asks)[:depth]):
                        del mine[price]
                assert mine == best


def follow(side: dict[int, int], changes: list[tuple[int, int]] | tuple[tuple[int, int], ...]) -> None:
    for price, size in changes:
        if size:
            side[price] = size
        else:
            side.pop(price, None)


def test_a_side_knows_its_edge_and_what_lies_beyond() -> None:
    bids, asks = Side(is_bid=True), Side(is_bid=False)
    bids.fill([(5, 1), (9, 1), (7, 1), (3, 1)])
    asks.fill([(5, 1), (9, 1), (7, 1), (3, 1)])
    assert (bids.edge(2), asks.edge(2), bids.edge(5)) == (7, 5, None)
    assert (bids.between(7, 5), bids.between(7, None), bids.between(7, 4)) == ([5], [3, 5], [5])
    assert (asks.between(5, 7), asks.between(5, None), asks.between(4, 8)) == ([7], [7, 9], [5, 7])
    assert bids.pairs(3) == [(9, 1), (7, 1), (5, 1)]
    assert asks.pairs(3) == [(3, 1), (5, 1), (7, 1)]
