"""The ledger counts what was sent, a trade once."""

import msgspec

from simulator.ledger import Ledger
from simulator.wire import Frame, SentTrade


def trade(number: int, size: str) -> Frame:
    sent = SentTrade(str(number), "1.00", size, "buy", 1)
    return Frame("BTCUSDT", "trade", "btcusdt@trade", "{}", trade=sent)


def depth(first: int, last: int) -> Frame:
    return Frame("BTCUSDT", "depth", "btcusdt@depth@100ms", "{}", first, last)


def ledger(kept: int = 10) -> Ledger:
    return Ledger(("BTCUSDT",), kept)


def test_a_frame_counts_for_each_connection_and_a_trade_once() -> None:
    log = ledger()
    log.of("BTCUSDT").add(trade(1, "0.10000000"), 2)
    log.of("BTCUSDT").add(trade(1, "0.10000000"), 1)
    log.of("BTCUSDT").add(trade(2, "0.00000001"), 1)
    totals = log.totals()["symbols"]["BTCUSDT"]
    assert (totals["frames_sent"], totals["trades"], totals["trade_size"]) == (4, 2, "0.10000001")


def test_all_trades_of_a_message_are_counted() -> None:
    log = ledger()
    others = (SentTrade("2", "1.00", "0.2", "buy", 1), SentTrade("3", "1.00", "0.3", "sell", 1))
    log.of("BTCUSDT").add(msgspec.structs.replace(trade(1, "0.1"), more_trades=others), 2)
    totals = log.totals()["symbols"]["BTCUSDT"]
    assert (totals["frames_sent"], totals["trades"], totals["trade_size"]) == (2, 3, "0.6")


def test_what_nobody_asked_for_was_not_sent() -> None:
    log = ledger()
    log.of("BTCUSDT").add(trade(1, "1.0"), 0)
    log.of("BTCUSDT").add(depth(1, 2), 0)
    totals = log.totals()
    assert totals["frames_sent"] == 0
    assert totals["symbols"]["BTCUSDT"]["trades"] == 0
    assert totals["symbols"]["BTCUSDT"]["last_update_id"] is None


def test_a_dropped_frame_moves_the_sequence_but_was_not_sent() -> None:
    log = ledger()
    log.of("BTCUSDT").add(depth(5, 7), 1)
    log.drop(depth(8, 9))
    totals = log.totals()["symbols"]["BTCUSDT"]
    assert (totals["depth_frames"], totals["frames_dropped"]) == (1, 1)
    assert (totals["first_update_id"], totals["last_update_id"]) == (5, 9)


def test_only_the_newest_trades_are_kept_but_all_are_summed() -> None:
    log = ledger(kept=2)
    for number in range(5):
        log.of("BTCUSDT").add(trade(number, "0.1"), 1)
    assert [one.id for one in log.of("BTCUSDT").kept] == ["3", "4"]
    assert log.totals()["symbols"]["BTCUSDT"]["trades"] == 5
    assert log.totals()["symbols"]["BTCUSDT"]["trade_size"] == "0.5"


def test_sums_of_sizes_are_never_rounded() -> None:
    log = ledger()
    log.of("BTCUSDT").add(trade(1, "123456789012345678901.00000001"), 1)
    log.of("BTCUSDT").add(trade(2, "0.00000000000000000001"), 1)
    assert log.totals()["symbols"]["BTCUSDT"]["trade_size"] == "123456789012345678901.00000001000000000001"


def test_connections_are_counted_with_the_reason_they_closed_for() -> None:
    log = ledger()
    first, second = log.open("/ws", 1), log.open("/ws", 2)
    log.close(first, "fault", 3)
    assert log.totals()["connections"] == {"open": 1, "opened": 2, "closed": {"fault": 1}}
    assert (first.reason, second.reason) == ("fault", None)
