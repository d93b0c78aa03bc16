"""Each exchange of the simulator against the pipeline, in memory: every update, every trade. `make sim-test`: more."""

import gzip

import pytest

from simulator.exchanges import EXCHANGES
from tests.sim.verdict import judge, wire_of
from tests.sim.virtual import World

NAMES = sorted(EXCHANGES)
GZIP = b"\x1f\x8b"
REASON_OF_LOSS = {
    "binance": "sequence_gap",
    "bitfinex": "sequence_gap",
    "bybit": "sequence_gap",
    "gateio": "sequence_gap",
    "coinbase": "sequence_gap",
    "huobi": "sequence_gap",
    "kraken": "checksum",
    "kucoin": "sequence_gap",
    "mexc": "sequence_gap",
    "okx": "sequence_gap",
}


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("exchange", NAMES)
def test_each_book_equals_the_simulators_after_every_update(exchange, seed):
    verdict = judge(exchange, seed, seconds=6)
    assert verdict.faults == ()
    assert verdict.updates > 60


class Loss:
    """One depth update of BTCUSDT is lost, or another's best size changed by a digit, some seconds after the start."""

    def __init__(self, spoil):
        self._spoil = spoil
        self._seen = 0

    def __call__(self, frame, text):
        self._seen += frame.symbol == "BTCUSDT" and bool(frame.last_id)
        if self._seen == 40:
            self._seen += 1
            return self._spoil(frame, text)
        return text


@pytest.mark.parametrize("exchange", NAMES)
def test_a_lost_update_blinds_the_book_until_it_is_proven_again(exchange):
    world = World(exchange, 1, spoil=Loss(lambda _frame, _text: None)).run()
    if exchange != "kraken":  # its checksum covers ten levels: a loss below them shows when it comes up there
        assert world.differences == []
    named = [gap for gap in world.gaps() if gap.symbol == "BTCUSDT"]
    # Which count the messages of all symbols together.
    assert exchange in ("bitfinex", "coinbase") or named == world.gaps()
    opened, closed = named
    assert (opened.symbol, opened.reason, opened.until_time) == (
        "BTCUSDT",
        REASON_OF_LOSS[exchange],
        None,
    )
    assert 0 < closed.until_time - opened.from_time < 2_000_000
    assert 0 < world.updates["blind"] < 20 < world.updates["live"]
    assert world.trades() == world.sent_trades


def other_digit(frame, message):
    """A message with the size of a level changed: what only a checksum can notice, or the comparison here."""
    if isinstance(message, str):
        return digit_changed(frame, message)
    if message.startswith(GZIP):
        return gzip.compress(digit_changed(frame, gzip.decompress(message).decode()).encode())
    return digit_changed(frame, message.decode("latin-1")).encode(
        "latin-1"
    )  # texts of the same length among bytes


def digit_changed(frame, text):
    price, size = next(
        level for level in (*frame.bids, *frame.asks) if level[1].strip("0.") and text.count(level[0]) == 1
    )
    at = text.index(price) + len(price)
    end = text.index(size.rstrip("0").rstrip("."), at)
    digit = "1" if text[end] != "1" else "2"
    return text[:end] + digit + text[end + 1 :]


@pytest.mark.parametrize("exchange", NAMES)
def test_the_comparison_notices_a_wrong_digit_that_no_checksum_covers(exchange):
    world = World(exchange, 1, wire=None, spoil=Loss(other_digit)).run()
    assert world.differences or world.gaps()[0].reason == "checksum"


def test_the_checksum_notices_a_wrong_digit_where_there_is_one():
    world = World("okx", 1, wire=wire_of("okx", 1), spoil=Loss(best_size_changed)).run()
    assert [gap.reason for gap in world.gaps()] == ["checksum", "checksum"]
    assert world.differences == []


def best_size_changed(frame, text):
    """The size of the best bid told is changed by a digit."""
    price, size = max(
        ((price, size) for price, size in frame.bids if size.strip("0.")), key=lambda level: float(level[0])
    )
    at = text.index(f'"{price}","{size}"') + len(price) + 4
    digit = "1" if text[at] != "1" else "2"
    return text[:at] + digit + text[at + 1 :]
