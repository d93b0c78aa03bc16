"""Bybit's recorded frames (frames/bybit), spot and others, through the decoder and into a second book."""

import json
from collections import Counter

import pytest

from COBY.exchanges.base import Delta, Rejected, Snapshot, Trade
from COBY.exchanges.bybit import EXCHANGE
from COBY.processing import ConnectionProcessor, one_bucket
from tests.naive_book import NaiveBook

FILES = {
    "barter-rs_frames": ({"Trade": 2, "frame.shape": 1}, {5}),
    "cryptomsgparser_derivatives": ({}, set()),
    # 2 and 3: a snapshot and the update after it; 12 and 13: a snapshot, and with its number an update
    "gocryptotrader_frames": ({"Snapshot": 2, "Delta": 1, "Trade": 1, "Lost": 1}, set()),
    "jkorf_subscriptions": ({"Trade": 1}, set()),
    "nautilus_ws_fixtures": ({"Snapshot": 1}, set()),
    # the other two are of level 1 and 50 of one connection: deltas without their snapshots
    "tardis_derivatives_mappers": ({"Trade": 3, "Snapshot": 2}, set()),
    "tardis_mappers": ({"Trade": 1}, set()),
    "xchange_frames": ({"Snapshot": 1, "Trade": 1, "frame.json": 1}, {0}),
}
"""File -> what its frames give, each file one connection; and the entries that are rejected."""


def received(frames_dir, file):
    lines = (frames_dir / "bybit" / f"{file}.jsonl").read_text().splitlines()
    rows = enumerate(map(json.loads, lines))
    return [(number, row["frame"].encode()) for number, row in rows if row.get("dir") != "out"]


@pytest.mark.parametrize("file", FILES)
def test_every_recorded_frame_gives_what_it_holds(frames_dir, file):
    assert {path.stem for path in (frames_dir / "bybit").iterdir()} == set(FILES), "no file is left out"
    expected, rejected = FILES[file]
    decoder, counts, refused = EXCHANGE.decoder({}), Counter(), set()
    for number, frame in received(frames_dir, file):
        for event in decoder.decode(frame, "ws", None, None):
            counts[event.code if isinstance(event, Rejected) else type(event).__name__] += 1
            refused |= {number} if isinstance(event, Rejected) else set()
    assert (dict(counts), refused) == (expected, rejected)


def test_the_recorded_snapshot_of_spot_is_the_book_level_by_level(frames_dir):
    frames = dict(received(frames_dir, "gocryptotrader_frames"))
    message = json.loads(frames[2])
    one = ConnectionProcessor(EXCHANGE, {"BTCUSDT": "BTCUSDT"}, one_bucket)
    (snapshot,) = one.take(frames[2], "ws", None, None)
    assert isinstance(snapshot, Snapshot)
    assert (snapshot.depth, snapshot.sequence_id) == (50, message["data"]["u"])
    assert snapshot.time_us == message["cts"] * 1000
    follows = json.loads(frames[3])
    (delta,) = one.take(frames[3], "ws", None, None)
    assert isinstance(delta, Delta)
    naive = NaiveBook(50)
    for each in (message, follows):
        naive.take(each["data"]["b"], each["data"]["a"], fresh=each is message)
    book = one.book("BTCUSDT")
    book.flush()
    for name, side in (("bids", book.bids), ("asks", book.asks)):
        assert {(float(price), float(size)) for price, size in side.texts.items()} == {
            (float(price), float(size)) for price, size in naive.levels(name)
        }
    assert len(book.bids.texts) >= 48


def test_the_recorded_trade_of_spot_in_our_words(frames_dir):
    frames = dict(received(frames_dir, "gocryptotrader_frames"))
    assert EXCHANGE.decoder({}).decode(frames[4], "ws", None, None) == [
        Trade("BTCUSDT", "3.6279", "1.3637", "sell", "2200000000067341890", 1_690_720_953_111_000)
    ]
