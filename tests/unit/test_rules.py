"""Each rule of `coby check-exchange`, held and broken, by counts made up for it."""

from collections import Counter
from types import SimpleNamespace

import pytest

from COBY.exchanges.base import Checksum
from COBY.records import Gap
from COBY.symbol_states import DeadLetter
from producers.rules import AFTER, FAILED, NOT_APPLICABLE, OK, Finding, Seen, findings

SYMBOLS = ("BTCUSDT", "ETHUSDT")
ALL = {(symbol, channel): 0.5 for symbol in SYMBOLS for channel in ("book", "trade")}
PLAIN = SimpleNamespace(checksum=None, symbols_per_slot=10)
CHECKED = SimpleNamespace(checksum=Checksum(10, lambda _bids, _asks: 0), symbols_per_slot=10)
GAP = Gap("BTCUSDT", "x", 2, 1, None, "sequence_gap", "c", "expected 2, got 4")


def watch(**changes):
    well = {
        "symbols": SYMBOLS,
        "snapshots": {"BTCUSDT": (0.25, 400, 399), "ETHUSDT": (0.75, 1000, 7)},
        "updates": Counter(BTCUSDT=1200, ETHUSDT=34),
        "checked": 0,
        "trades": Counter(BTCUSDT=60, ETHUSDT=40),
        "sides": Counter(buy=45, sell=55, fits=90, against=5),
        "ages_us": [1_000, 3_000, 2_000, 400_000, -5_000],
        "gaps": [],
        "rejected": [],
        "resynced": 0,
        "frames": 1337,
        "largest_bytes": 123_456,
        "oversize": 0,
    }
    return SimpleNamespace(**{**well, **changes})


def seen(**changes) -> Seen:
    return Seen("ws://x", 0.2, None, None, ALL, {}, SYMBOLS, 30.04)._replace(**changes)


def found(exchange=PLAIN, seen_changes=None, **changes) -> dict[str, Finding]:
    given = findings(exchange, watch(**changes), seen(**(seen_changes or {})))
    assert [one.rule for one in given] == ["endpoint", *AFTER]
    return {one.rule: one for one in given}


def test_all_is_well_with_its_figures():
    well = found()
    assert {rule: one.state for rule, one in well.items()} == {
        **dict.fromkeys(well, OK),
        "checksum": NOT_APPLICABLE,
    }
    assert well["endpoint"].figures == "ws://x open after 0.20 s"
    assert well["acknowledgement"].figures == "book and trades of BTCUSDT, ETHUSDT confirmed after 0.50 s"
    assert well["snapshot"].figures == (
        "BTCUSDT 400 + 399 levels after 0.25 s; ETHUSDT 1,000 + 7 levels after 0.75 s"
    )
    assert well["continuity"].figures.startswith("1,234 updates of 2 books, 0 snapshots asked for")
    assert well["trades"].figures == (
        "60 of BTCUSDT, 40 of ETHUSDT; 45 of 100 bought by the taker, 90 of 95 on that side of the book's middle"
    )
    assert (
        well["clock"].figures == "received 0.002 s after the exchange's time (median of 5; -0.005 to 0.400)"
    )
    assert well["limits"].figures.startswith(
        "2 symbols of 10 a connection; 1,337 frames, the largest 123,456"
    )


def test_without_a_connection_nothing_else_is_said():
    nothing = found(seen_changes={"unreachable": "ConnectionRefusedError"})
    assert nothing["endpoint"] == Finding("endpoint", FAILED, "ConnectionRefusedError")
    assert {one.state for rule, one in nothing.items() if rule != "endpoint"} == {NOT_APPLICABLE}


BROKEN = {
    "not confirmed": (
        "acknowledgement",
        {"acknowledged": {("BTCUSDT", "book"): 1.0}},
        {},
        "trade of BTCUSDT, book of",
    ),
    "refused": ("acknowledgement", {"refused": {"ETHUSDT": "60018"}}, {}, "ETHUSDT refused: 60018"),
    "refused whole": ("acknowledgement", {"refused": {None: "busy"}}, {}, "the request refused: busy"),
    "no snapshot": (
        "snapshot",
        {},
        {"snapshots": {"BTCUSDT": (1.0, 5, 5)}},
        "none of ETHUSDT; BTCUSDT 5 + 5",
    ),
    "one side": (
        "snapshot",
        {},
        {"snapshots": dict.fromkeys(SYMBOLS, (1.0, 5, 0))},
        "an empty side of BTCUSDT",
    ),
    "blind": ("continuity", {"live": ("ETHUSDT",)}, {}, "blind at the end: BTCUSDT"),
    "no update": ("continuity", {}, {"updates": Counter(BTCUSDT=1)}, "no update of ETHUSDT"),
    "gap": ("continuity", {}, {"gaps": [GAP]}, "1 gaps (BTCUSDT sequence_gap: expected 2, got 4)"),
    "rejected": (
        "continuity",
        {},
        {"rejected": [DeadLetter("frame.shape", str(number)) for number in range(4)]},
        "4 frames rejected (frame.shape: 0; frame.shape: 1; frame.shape: 2; …)",
    ),
    "no trade": ("trades", {}, {"trades": Counter(BTCUSDT=1)}, "none of ETHUSDT (a quiet market?"),
    "maker sides": ("trades", {}, {"sides": Counter(buy=50, sell=50, fits=9, against=41)}, "turned round"),
    "wrong unit": ("clock", {}, {"ages_us": [1_000, 6_000_000, 7_000_000]}, "6.000 s after"),
    "clock ahead": ("clock", {}, {"ages_us": [-5_000_001]}, "-5.000 s after"),
    "ended": ("limits", {"ended": "received 1008", "seconds": 12.0}, {}, "ended after 12.0 s: received 1008"),
    "giant": ("limits", {}, {"oversize": 2}, "2 frames too large"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_rule_that_is_broken_says_how_and_no_other_fails(case):
    rule, seen_changes, changes, words = BROKEN[case]
    given = found(PLAIN, seen_changes, **changes)
    assert given[rule].state == FAILED
    assert words in given[rule].figures
    assert [name for name, one in given.items() if one.state == FAILED] == [rule]


def test_a_checksum_counts_where_one_was_sent():
    assert found(CHECKED)["checksum"] == Finding("checksum", NOT_APPLICABLE, "none was sent")
    assert found(CHECKED, checked=2_000)["checksum"] == Finding("checksum", OK, "2,000 compared, 0 wrong")
    wrong = Gap("BTCUSDT", "x", 2, 1, None, "checksum", "c", "told 1, found 2")
    assert found(CHECKED, checked=5, gaps=[wrong])["checksum"] == Finding(
        "checksum", FAILED, "5 compared, 1 wrong"
    )


def test_of_few_trades_nothing_is_concluded_about_sides():
    assert found(sides=Counter(buy=49, fits=0, against=49))["trades"].state == OK


def test_without_times_there_is_no_clock():
    assert found(ages_us=[])["clock"].state == NOT_APPLICABLE


def test_a_line_has_its_columns_and_no_line_break():
    assert Finding("clock", OK, "a\nb").line() == "clock            ok              a b"
    assert Finding("checksum", NOT_APPLICABLE, "").line() == "checksum         not applicable"
