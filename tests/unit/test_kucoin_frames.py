"""KuCoin's recorded frames: books beside those computed apart, and the examples of other clients."""

import gzip
import json
from collections import Counter
from decimal import Decimal

from COBY.exchanges.kucoin import EXCHANGE
from COBY.processing import ConnectionProcessor, one_bucket
from tests.decoded import codes

REST = "https://api.kucoin.com/api/v1/market/orderbook/level2_100?symbol=BTC-USDT"


def connection():
    return ConnectionProcessor(EXCHANGE, {}, one_bucket)


def recorded(frames_dir):
    """Socket frames and bodies of 2021 in the order in which they were received."""
    with gzip.open(frames_dir / "kucoin" / "cryptofeed_ws_1_0.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    bodies = (frames_dir / "kucoin" / "cryptofeed_rest_snapshots.jsonl").read_text().splitlines()
    rows = [row for row in rows if row.get("dir") == "in"] + [json.loads(line) for line in bodies]
    return sorted(rows, key=lambda row: row["received_at"])


def by_hand(rows, name):
    """The book of one symbol, computed apart: the body, then every change beyond its number but those of price 0."""
    data = next(
        json.loads(row["frame"])["data"] for row in rows if row.get("url", "").endswith(f"symbol={name}")
    )
    sides = {side: {Decimal(price): Decimal(size) for price, size in data[side]} for side in ("bids", "asks")}
    for row in rows:
        message = json.loads(row["frame"])
        if message.get("topic") != f"/market/level2:{name}":
            continue
        for side, changes in message["data"]["changes"].items():
            for price, size, number in changes:
                if int(number) > int(data["sequence"]) and Decimal(price):
                    sides[side][Decimal(price)] = Decimal(size)
    return {side: {price: size for price, size in held.items() if size} for side, held in sides.items()}


def test_the_recorded_books_are_those_computed_apart(frames_dir):
    rows, one, counts = recorded(frames_dir), connection(), Counter()
    for row in rows:
        kind = "ws" if row["dir"] == "in" else "http"
        counts.update(codes(one.take(row["frame"].encode(), kind, None, row.get("url"))))
    # Three bodies hold prices below half of the smallest unit, 1e-8: those books stay blind.
    assert counts.pop("frame.number") == 3
    assert set(counts) == {"Snapshot", "Delta", "Trade"}
    assert counts["Trade"] == 12
    live_books = [name for name, book in one.books.items() if book.reason is None]
    assert len(live_books) == counts["Snapshot"] == 6
    names = {name.replace("-", ""): name for name in ("BCHSV-USDT", "SNX-BTC", "ANKR-BTC", "FET-BTC", "NRG-BTC",
             "COV-BTC", "EQZ-BTC", "CAPP-BTC", "DAPPT-BTC")}  # fmt: skip
    for symbol in live_books:
        book, expected = one.books[symbol], by_hand(rows, names[symbol])
        book.flush()
        for side, held in (("bids", book.bids.texts), ("asks", book.asks.texts)):
            assert {Decimal(price): Decimal(size) for price, size in held.items()} == expected[side]


def test_the_examples_of_later_years_are_of_our_shapes(frames_dir):
    found = Counter()
    for name in ("gocryptotrader_frames", "jkorf_subscriptions", "kucoin-universal-sdk_frames"):
        for line in (frames_dir / "kucoin" / f"{name}.jsonl").read_text().splitlines():
            frame = json.loads(line)["frame"] or ""
            if '"trade.l2update"' in frame or '"trade.l3match"' in frame:
                one = connection()
                body = {"code": "200000", "data": {"sequence": "1", "bids": [], "asks": []}}
                one.take(json.dumps(body).encode(), "http", None, REST)
                found.update(codes(one.take(frame.encode(), "ws", None, None)))
    assert set(found) == {"Lost", "Trade"}, "they begin far beyond the made snapshot"
    assert found["Lost"] >= 3
    assert found["Trade"] >= 3
