"""MEXC's frames: those encoded again from values of 2026, as their client expects, and those made from a capture."""

import gzip
import json
from base64 import b64decode
from collections import Counter
from datetime import UTC, datetime
from decimal import Decimal

from COBY.exchanges.base import Delta, Rejected, Trade
from COBY.exchanges.mexc import EXCHANGE
from COBY.processing import ConnectionProcessor, one_bucket

REST = "https://api.mexc.com/api/v3/depth?symbol=BTCUSDT&limit=5000"


def connection():
    return ConnectionProcessor(EXCHANGE, {}, one_bucket)


def rows_of(frames_dir, name):
    opened = gzip.open if name.endswith(".gz") else open
    with opened(frames_dir / "mexc" / name, "rt") as lines:
        return [json.loads(line, parse_float=Decimal) for line in lines]


def pairs(levels):
    return [(Decimal(price), Decimal(size)) for price, size in levels]


def test_the_values_of_2026_are_as_their_client_expects(frames_dir):
    rows, compared = rows_of(frames_dir, "tardis_protobuf_reencoded.jsonl"), Counter()
    for row in rows:
        decoded, one = row["expected"]["decoded"], connection()
        if "publicAggreDepths" in decoded:
            before = {
                "lastUpdateId": int(decoded["publicAggreDepths"]["fromVersion"]) - 1,
                "bids": [],
                "asks": [],
            }
            one.take(json.dumps(before).encode(), "http", decoded["symbol"], REST)
        for event, theirs in zip(
            one.take(b64decode(row["frame"]), "ws", None, None), values(decoded), strict=True
        ):
            assert shown(event) == theirs
            compared[type(event).__name__] += 1
        for theirs in row["expected"]["normalised"]:
            check_normalised(theirs, row, compared)
    assert compared == {"Trade": 2, "Delta": 5, "normalised": 4}


def shown(event):
    if isinstance(event, Trade):
        return event.symbol, event.price, event.size, event.side, event.trade_id, event.time_us
    assert isinstance(event, Delta)
    return (
        event.symbol,
        pairs(event.bids),
        pairs(event.asks),
        event.first_id,
        event.sequence_id,
        event.time_us,
    )


def values(decoded):
    """What the decoded message says, in our words."""
    symbol = decoded["symbol"]
    for deal in decoded.get("publicAggreDeals", {}).get("deals", []):
        side = {1: "buy", 2: "sell"}[deal["tradeType"]]
        yield symbol, deal["price"], deal["quantity"], side, deal["tradeId"], int(deal["time"]) * 1000
    if "publicAggreDepths" in decoded:
        body = decoded["publicAggreDepths"]
        sides = [
            pairs((level["price"], level["quantity"]) for level in body.get(name, []))
            for name in ("bids", "asks")
        ]
        versions = int(body["fromVersion"]), int(body["toVersion"])
        yield symbol, *sides, *versions, int(decoded["sendTime"]) * 1000


def check_normalised(theirs, row, compared):
    """Their own row of a trade or change: ours of the same price says the same."""
    one = connection()
    decoded = row["expected"]["decoded"]
    if theirs["type"] == "trade":
        events = one.take(b64decode(row["frame"]), "ws", None, None)
        (ours,) = [event for event in events if event.trade_id == theirs["id"]]
        assert (Decimal(ours.price), Decimal(ours.size), ours.side) == (
            theirs["price"], theirs["amount"], theirs["side"]
        )  # fmt: skip
    else:
        before = {
            "lastUpdateId": int(decoded["publicAggreDepths"]["fromVersion"]) - 1,
            "bids": [],
            "asks": [],
        }
        one.take(json.dumps(before).encode(), "http", decoded["symbol"], REST)
        (ours,) = one.take(b64decode(row["frame"]), "ws", None, None)
        for name in ("bids", "asks"):
            assert pairs(getattr(ours, name)) == [(level["price"], level["amount"]) for level in theirs[name]]
    time = datetime.fromtimestamp(ours.time_us / 1e6, UTC).isoformat(timespec="milliseconds")
    assert time.replace("+00:00", "Z") == theirs["timestamp"][:23] + "Z"
    compared["normalised"] += 1


def test_their_json_is_the_same_values_or_none_of_our_channels(frames_dir):
    """Each entry is a value encoded again, an acknowledgement, an empty message, or of another channel."""
    again = [row["expected"]["decoded"] for row in rows_of(frames_dir, "tardis_protobuf_reencoded.jsonl")]
    known = {(row["channel"], row["sendTime"]) for row in again}
    counts = Counter()
    for row in rows_of(frames_dir, "tardis_mappers.jsonl"):
        message = json.loads(row["frame"])
        assert connection().take(row["frame"].encode(), "ws", None, None) == []
        if "code" in message:
            counts["acknowledgement"] += 1
        elif "bookTicker" in message["channel"] or ".snapshot." in message["channel"]:
            counts["channel"] += 1  # the latter is the recorder's own
        elif "publicAggreDepths" not in message:
            counts["empty"] += 1
        else:
            counts["again" if (message["channel"], message["sendTime"]) in known else "alone"] += 1
    assert counts.total() == 12
    assert (counts["acknowledgement"], counts["empty"], counts["channel"]) == (1, 1, 6)
    assert counts["again"] + counts["alone"] == 4


def test_the_frames_made_from_a_capture_give_the_book_computed_apart(frames_dir):
    """3,770 rows; versions, levels and times are beside each frame."""
    rows, one, counts = rows_of(frames_dir, "derived_btcusdt_pb.jsonl.gz"), connection(), Counter()
    (body,) = [json.loads(row["frame"]) for row in rows if row["dir"] == "http"]
    book = {side: {Decimal(price): Decimal(size) for price, size in body[side]} for side in ("bids", "asks")}
    for row in rows:
        if row["dir"] == "http":
            events = one.take(row["frame"].encode(), "http", "BTCUSDT", REST)
        else:
            events = one.take(b64decode(row["frame"]), "ws", None, None)
            theirs = row["expected"]
            if int(theirs.get("toVersion", 0)) > body["lastUpdateId"]:
                for side in book:
                    book[side].update({Decimal(p): Decimal(s) for p, s in theirs[side]})
            elif "price" in theirs:
                (trade,) = events
                assert (Decimal(trade.price), Decimal(trade.size), trade.side, trade.trade_id, trade.time_us) == (
                    Decimal(theirs["price"]), Decimal(theirs["quantity"]), theirs["side"], None, theirs["time"] * 1000
                )  # fmt: skip
        counts.update("rejected" if isinstance(event, Rejected) else type(event).__name__ for event in events)
    assert set(counts) == {"Trade", "Snapshot", "Delta"}
    assert (counts["Trade"], counts["Snapshot"]) == (2571, 1)
    held = one.book("BTCUSDT")
    held.flush()
    assert held.reason is None
    for side, texts in (("bids", held.bids.texts), ("asks", held.asks.texts)):
        expected = {price: size for price, size in book[side].items() if size}
        assert {Decimal(price): Decimal(size) for price, size in texts.items()} == expected
