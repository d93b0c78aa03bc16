"""Recorded frames: what their first bytes say of the channel is what the decoders read in them."""

import gzip
from collections import Counter
from itertools import islice

import pytest

from COBY.exchanges import load
from COBY.exchanges.base import Delta, Snapshot, Trade
from COBY.recordings import parse_recording
from COBY.utils.exceptions import ConfigurationError
from tests.frames import frames_folder
from tests.virtual_producers import ENDPOINTS

FOLDER = frames_folder()
FRAMES_EACH = 400
# Of the exchanges whose books come by REST no update stands alone, and of some the captures have another book channel.
BOOKS = {"bybit", "kraken", "okx"}
# In an example of its documents the data are another symbol's than the channel's.
DISAGREES = b'"instId":"ETH-USDT"},"data":[{"instId":"BTC-'


def lines(path):
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        yield from file


def exchange_symbol(exchange, symbol):
    """Its name there; None for what is no spot market."""
    try:
        return exchange.exchange_symbol(symbol)
    except ConfigurationError:
        return None


def unlike(frame):
    """Examples of documents, in which stream and data disagree, and channels that the pipeline does not subscribe."""
    text = b"".join(frame.split())
    return text.startswith(b'{"e":') or b'"stream":"btcusdt@trade"' in text or DISAGREES in text


def recorded(name):
    """(frame, symbol, channel) of the frames with one book or trades of one symbol."""
    exchange = load(name)
    for path in sorted((FOLDER / name).iterdir()):
        if "derivatives" in path.name or path.name.endswith("README.md"):
            continue
        decoder = exchange.decoder({})
        for row in islice(parse_recording(lines(path)), FRAMES_EACH):
            if row.kind != "ws":
                continue
            events = decoder.decode(row.frame, "ws", None, None)
            told = {
                (one.symbol, "trade" if isinstance(one, Trade) else "book")
                for one in events
                if isinstance(one, Delta | Snapshot | Trade)
            }
            if len(told) == 1:
                yield row.frame, *told.pop()


@pytest.mark.skipif(FOLDER is None, reason="no recorded frames: COBY_FRAMES")
@pytest.mark.parametrize(
    "name", ["binance", "bybit", "coinbase", "gateio", "huobi", "kraken", "kucoin", "mexc", "okx"]
)
def test_the_head_of_a_recorded_frame_says_what_the_decoder_reads(name):
    exchange, found, missed = load(name), Counter(), []
    for frame, symbol, channel in recorded(name):
        if exchange_symbol(exchange, symbol) is None:
            continue
        session = exchange.session({exchange_symbol(exchange, symbol): symbol}, ENDPOINTS)
        heard = session.heard(frame)
        assert heard in (None, (symbol, channel)), frame[:200]
        found[channel, heard is not None] += 1
        if heard is None:
            missed.append(frame[:200])
    assert [one for one in missed if not unlike(one)] == []
    assert found["trade", True] > 0
    assert name not in BOOKS or found["book", True] > 0
