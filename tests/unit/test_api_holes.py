"""What a range lacks, from rows by hand: ticks, gaps, candles, chunks."""

import pytest

from api.history import candles, holes
from api.history.candles import CANDLES
from api.history.heatmap import aligned, page_span, resolution_us
from api.history.holes import Hole
from api.times import Span
from COBY.utils.exceptions import ValidationError
from COBY.utils.intervals import from_us

S = 1_000_000
BTC = "BTCUSDT"


def at(seconds):
    return from_us(round(seconds * S))


def us(*seconds):
    return Span(*(round(one * S) for one in seconds))


def shown(found):
    return [
        (hole.exchange, hole.from_us / S, hole.until_us and hole.until_us / S, hole.reason) for hole in found
    ]


@pytest.mark.parametrize(
    ("span", "moments", "around"),
    [
        ((0, 10), (0, 9), (0, 10)),
        ((0.5, 9.5), (1, 9), (0, 10)),
        ((3, 3.000001), (3, 3), (3, 4)),
        ((3.2, 3.4), (4, 3), (3, 4)),
    ],
)
def test_the_ticks_that_have_to_be_there(span, moments, around):
    found = [grid(us(*span), S) for grid in (holes.moments, holes.around)]
    assert [(grid.first_us / S, grid.last_us / S) for grid in found] == [moments, around]


def test_ticks_at_both_ends_lack_nothing():
    span = us(0.5, 9.5)
    assert holes.from_ticks(BTC, span, holes.around(span, S), [(None, None, at(0), at(10))]) == []
    span = us(0, 10)
    assert holes.from_ticks(BTC, span, holes.moments(span, S), [(None, None, at(0), at(9))]) == []


def test_what_lacks_before_between_and_after():
    span = us(0.5, 9.5)
    rows = [("kraken", "stale", at(3), at(4)), (None, "not_stored", at(6), at(7)), (None, None, at(2), at(8))]
    found = holes.from_ticks(BTC, span, holes.around(span, S), rows)
    # A tick T tells of (T - 1 s, T]: the first that is there, 2, of what was from 1 on.
    assert shown(found) == [
        ("kraken", 2, 4, "stale"), ("*", 5, 7, "not_stored"), ("*", 0.5, 1, "not_stored"), ("*", 8, 9.5, "not_stored"),
    ]  # fmt: skip
    found = holes.from_ticks(BTC, us(0, 10), holes.moments(us(0, 10), S), rows)
    assert shown(found) == [
        ("kraken", 3, 5, "stale"), ("*", 6, 8, "not_stored"), ("*", 0, 2, "not_stored"), ("*", 9, 10, "not_stored"),
    ]  # fmt: skip


def test_no_tick_at_all_is_all_of_the_range():
    span = us(3.2, 3.4)
    assert shown(holes.from_ticks(BTC, span, holes.around(span, S), [(None, None, None, None)])) == [
        ("*", 3.2, 3.4, "not_stored")
    ]


def test_what_a_gap_says_is_not_said_again_and_what_it_does_not_say_is():
    grid = holes.around(us(0, 20), S)
    gap = Hole(BTC, "kraken", round(2.5 * S), round(6.2 * S), "stale")
    seen = holes.from_ticks(BTC, us(0, 20), grid, [
        ("kraken", "stale", at(3), at(6)),  # within the gap
        ("binance", "stale", at(3), at(6)),  # of another exchange
        ("kraken", "stale", at(3), at(7)),  # longer
        ("kraken", "no_tick", at(2), at(2)),  # before
    ])  # fmt: skip
    assert shown(holes.merged([gap], seen, grid)) == [
        ("kraken", 1, 2, "no_tick"),
        ("binance", 2, 6, "stale"),
        ("kraken", 2, 7, "stale"),
        ("kraken", 2.5, 6.2, "stale"),
    ]
    still = gap._replace(until_us=None)
    assert shown(holes.merged([still], seen[2:3], grid)) == [("kraken", 2.5, None, "stale")]


@pytest.mark.parametrize(
    ("chunks", "lost", "kept"),
    [
        ([], [], [(0, 10)]),  # nothing was ever stored: the ticks tell
        ([(0, 5), (5, 10)], [], [(0, 5), (5, 10)]),
        ([(-5, 20)], [], [(0, 10)]),
        ([(4, 20)], [(0, 4)], [(4, 10)]),
        ([(0, 3), (6, 9)], [(3, 6)], [(0, 3), (6, 9), (9, 10)]),
        ([(40, 50)], [(0, 10)], []),
        ([(0, 3), (40, 50)], [(3, 10)], [(0, 3)]),
    ],
)
def test_where_a_chunk_is_gone_nothing_is_kept(chunks, lost, kept):
    found = holes.from_chunks(us(0, 10), [(at(first), at(last)) for first, last in chunks])
    assert found == ([us(*part) for part in lost], [us(*part) for part in kept])


def test_a_thousand_holes_are_listed_and_that_there_are_more():
    many = [Hole(BTC, "kraken", n, n + 1, "stale") for n in range(1_001)]
    told = holes.meta(us(0, 1), many)
    assert (told["complete"], len(told["gaps"]), told["more_gaps"]) == (False, 1_000, True)
    assert holes.meta(us(0, 1), many[:1_000])["more_gaps"] is False
    assert holes.meta(us(0, 1), [])["complete"] is True


# --- candles --------------------------------------------------------------------------------------------------


def rows(*starts, incomplete=()):
    names = [column.name for column in CANDLES.columns]
    return [
        tuple({"timestamp": at(start), "complete": start not in incomplete}.get(name) for name in names)
        for start in starts
    ]


def asked(since, until, timeframe="1m"):
    return candles.Asked(BTC, timeframe, us(since, until))


@pytest.mark.parametrize(
    ("span", "there", "lacking"),
    [
        ((0, 240), (0, 60, 120, 180), []),
        ((0, 240), (60, 180), [(0, 60), (120, 180)]),
        ((0, 240), (), [(0, 240)]),
        ((1, 239), (60, 120, 180), []),  # those that begin in the range
        ((1, 181), (60, 120), [(180, 240)]),
    ],
)
def test_absent_candles(span, there, lacking):
    found = candles.absent(asked(*span), rows(*there))
    assert [(hole.from_us // S, hole.until_us // S) for hole in found] == lacking


def test_a_longer_complete_candle_says_that_there_was_no_trade():
    here = asked(0, 1_200)
    lacking = candles.absent(here, rows(0, 60))
    whole = [(at(0), "5m"), (at(600), "5m")]
    assert shown(candles.without(lacking, here, whole)) == [
        ("*", 300, 600, "no_candle"),
        ("*", 900, 1_200, "no_candle"),
    ]
    assert candles.without(lacking, here, [(at(0), "15m"), (at(0), "5m"), (at(900), "5m")]) == []
    assert candles.without(lacking, here, []) == lacking


def test_runs_of_incomplete_candles_are_one_hole():
    found = candles.incomplete(asked(0, 600), rows(0, 60, 120, 180, 300, incomplete={60, 120, 300}))
    assert shown(found) == [("*", 60, 180, "incomplete"), ("*", 300, 360, "incomplete")]


def test_longer_candles_are_looked_for_from_where_the_longest_begins():
    _, values = candles.whole(asked(90_000, 90_060, "1h"))
    assert (values["since"], values["timeframes"]) == (at(86_400), ["4h", "1d"])


# --- columns of a heatmap -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("text", "length"), [(None, 1), ("1s", 1), ("15s", 15), ("1m", 60), ("1h", 3_600)])
def test_a_resolution(text, length):
    assert resolution_us(text, S) == length * S


@pytest.mark.parametrize(
    ("text", "code"), [("500ms", "api.resolution"), ("2h", "api.resolution"), ("x", "interval.invalid")]
)
def test_no_resolution(text, code):
    with pytest.raises(ValidationError) as caught:
        resolution_us(text, S)
    assert (caught.value.code, caught.value.where) == (code, "query.resolution")


def test_a_page_has_so_many_columns_that_its_cells_and_rows_stay_few():
    hour = us(0, 3_600)
    assert page_span(hour, S, S, depth=50, limit=1_000) == us(0, 1_000), "100 cells each"
    assert page_span(hour, S, S, depth=50, limit=7) == us(0, 7)
    assert page_span(hour, S, S, depth=5_000, limit=1_000) == us(0, 10), "10,000 cells each"
    assert page_span(us(0, 604_800), 3_600 * S, S, depth=50, limit=1_000) == us(0, 7_200), "360,000 rows each"
    assert page_span(hour, 60 * S, S, depth=10_000, limit=10) == us(0, 60), "one at least"


def test_columns_begin_in_the_range():
    assert aligned(us(1, 19), 3 * S) == us(3, 21)
    assert aligned(us(3, 6), 3 * S) == us(3, 6)
    with pytest.raises(ValidationError, match=r"^api\.range_empty"):
        aligned(us(4, 5), 3 * S)
