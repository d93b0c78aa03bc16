"""One exchange's book at a tick: levels, buckets, metrics, bars (schemas/book.avsc)."""

from decimal import Decimal

from tests.reference.decimals import STEP, bucket_of, imbalance, mid_and_spread, ratio, rounded, total

TOP_LEVELS = 50
QUALITY_LEVELS = 20
SECOND_US = 1_000_000


def blind_tick(reason: str, bucket_size: Decimal, trades: list[dict]) -> dict:
    """A book that is not proven states nothing but its trades."""
    return {
        "live": False,
        "reason": reason,
        "conn": None,
        "sequence_id": None,
        "bids": [],
        "asks": [],
        "bucket_size": bucket_size,
        "bid_buckets": [],
        "ask_buckets": [],
        "covered_low": None,
        "covered_high": None,
        "mid_price": None,
        "spread": None,
        "bid_volume": None,
        "ask_volume": None,
        "imbalance": None,
        "quality": Decimal(0),
        "bars": bars(trades),
    }


def live_tick(book: object, conn: str, bucket_size: Decimal, depth: int, trades: list[dict]) -> dict:
    """A proven book. Choice: the metrics speak of the levels stated, so of the best 50 a side."""
    low = None if book.covered_low is None else rounded(book.covered_low)
    high = None if book.covered_high is None else rounded(book.covered_high)
    best_bid, best_ask = max(book.bids, default=None), min(book.asks, default=None)
    if high is not None and best_bid is not None and rounded(best_bid) > high:
        low = high  # the price has left the covered range: nothing of it is known any more
    elif low is not None and best_ask is not None and rounded(best_ask) < low:
        high = low
    all_bids = covered(best_first(book.bids, descending=True), low, high)
    all_asks = covered(best_first(book.asks, descending=False), low, high)
    bids, asks = all_bids[:TOP_LEVELS], all_asks[:TOP_LEVELS]
    best_bid, best_ask = (side[0]["price"] if side else None for side in (bids, asks))
    mid, spread = mid_and_spread(best_bid, best_ask)
    bid_volume, ask_volume = (total(level["size"] for level in side) for side in (bids, asks))
    return {
        "live": True,
        "reason": None,
        "conn": conn,
        "sequence_id": book.last,
        "bids": bids,
        "asks": asks,
        "bucket_size": bucket_size,
        "bid_buckets": buckets(all_bids, bucket_size, -depth, low, None),
        "ask_buckets": buckets(all_asks, bucket_size, depth, None, high),
        "covered_low": low,
        "covered_high": high,
        "mid_price": mid,
        "spread": spread,
        "bid_volume": bid_volume,
        "ask_volume": ask_volume,
        "imbalance": imbalance(bid_volume, ask_volume),
        "quality": ratio(Decimal(min(len(bids), len(asks), QUALITY_LEVELS)), Decimal(QUALITY_LEVELS)),
        "bars": bars(trades),
    }


def best_first(side: dict[Decimal, Decimal], descending: bool) -> list[dict]:
    """Every level of a side, best first, rounded."""
    ordered = sorted(side.items(), reverse=descending)
    return [{"price": rounded(price), "size": rounded(size)} for price, size in ordered]


def covered(levels: list[dict], low: Decimal | None, high: Decimal | None) -> list[dict]:
    """The levels inside the covered range; none of a side whose best price is outside it."""

    def known(level: dict) -> bool:
        return (low is None or level["price"] >= low) and (high is None or level["price"] <= high)

    return [level for level in levels if known(level)] if levels and known(levels[0]) else []


def depth_range(best: Decimal, size: Decimal, depth: int) -> tuple[Decimal, Decimal]:
    """The lowest and highest bucket of |depth| contiguous ones from the best price on, downwards if negative."""
    first = bucket_of(best, size)
    if depth < 0:
        return first + (depth + 1) * size, first
    return first, first + (depth - 1) * size


def buckets(
    levels: list[dict], size: Decimal, depth: int, low: Decimal | None, high: Decimal | None
) -> list[dict]:
    """The buckets of one side that hold volume and lie wholly inside the covered range, best first."""
    if not levels:
        return []
    lowest, highest = depth_range(levels[0]["price"], size, depth)
    volumes: dict[Decimal, Decimal] = {}
    for level in levels:
        bucket = bucket_of(level["price"], size)
        if bucket < lowest or bucket > highest:
            break  # best first: all further levels are further away
        volumes[bucket] = volumes.get(bucket, Decimal(0)) + level["size"]
    found = []
    for bucket in sorted(volumes, reverse=depth < 0):
        below = low is not None and bucket < low
        above = high is not None and bucket + size - STEP > high
        if volumes[bucket] != 0 and not below and not above:
            found.append({"price": bucket, "volume": volumes[bucket]})
    return found


def by_time(trade: dict) -> tuple[int, str, int, int]:
    """What orders trades in candles: candle time, exchange, raw offset, index in the frame."""
    return trade["candle_time"], trade["exchange"], trade["offset"], trade["index"]


def bars(trades: list[dict]) -> list[dict]:
    """One bar per second of candle time, by second."""
    seconds = sorted({trade["candle_time"] // SECOND_US * SECOND_US for trade in trades})
    return [bar(second, trades) for second in seconds]


def bar(second: int, trades: list[dict]) -> dict:
    """The trades with candle times in [second, second + 1 s)."""
    inside = [trade for trade in trades if second <= trade["candle_time"] < second + SECOND_US]
    inside.sort(key=by_time)
    first, last = inside[0], inside[-1]
    return {
        "timestamp": second,
        "open": first["price"],
        "high": max(trade["price"] for trade in inside),
        "low": min(trade["price"] for trade in inside),
        "close": last["price"],
        "volume": total(trade["size"] for trade in inside),
        "trade_count": len(inside),
        "open_time": first["candle_time"],
        "open_offset": first["offset"],
        "close_time": last["candle_time"],
        "close_offset": last["offset"],
    }
