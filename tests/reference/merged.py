"""All exchanges at one tick: heatmap and consolidated book (schemas/heatmap.avsc, schemas/consolidated.avsc)."""

from decimal import Decimal

from tests.reference.book_tick import depth_range
from tests.reference.decimals import (
    STEP,
    bucket_of,
    edge_at_or_above,
    imbalance,
    mid_and_spread,
    ratio,
    total,
)
from tests.reference.settings import Settings

TOP_LEVELS = 50


def closed_ticks(ticks: list[dict], exchanges: tuple[str, ...]) -> list[int]:
    """The ticks T of one symbol with a record at T, where every exchange has one at T or later."""
    newest = {exchange: [] for exchange in exchanges}
    for tick in ticks:
        newest[tick["exchange"]].append(tick["timestamp"])
    if not all(newest.values()):
        return []
    reached = min(max(times) for times in newest.values())
    return sorted({tick["timestamp"] for tick in ticks if tick["timestamp"] <= reached})


def missing(records: dict[str, dict], exchanges: tuple[str, ...]) -> list[dict]:
    """The configured exchanges that are not in the sum, by name."""
    found = []
    for exchange in sorted(exchanges):
        if exchange not in records:
            found.append({"exchange": exchange, "reason": "no_tick"})
        elif not records[exchange]["live"]:
            found.append({"exchange": exchange, "reason": records[exchange]["reason"]})
    return found


def live_records(records: dict[str, dict]) -> list[dict]:
    """The records in the sum, by name of exchange."""
    return [records[exchange] for exchange in sorted(records) if records[exchange]["live"]]


def heatmap(symbol: str, tick_us: int, records: dict[str, dict], settings: Settings) -> dict:
    """records: exchange -> its book record of T."""
    size = settings.bucket_sizes[symbol]
    live = live_records(records)
    lowest, highest = heatmap_range(live, size, settings.heatmap_depth)
    bids = cells(live, "bid", lowest)
    asks = cells(live, "ask", highest)
    data = sorted(bids, key=lambda cell: -cell["price"]) + sorted(asks, key=lambda cell: cell["price"])
    largest = max((cell["volume"] for cell in data), default=None)
    for cell in data:
        cell["intensity"] = ratio(cell["volume"], largest)
    covered_low, covered_high = covered_range(live, size, lowest, highest)
    return {
        "symbol": symbol,
        "timestamp": tick_us,
        "bucket_size": size,
        "data": data,
        "covered_low": covered_low,
        "covered_high": covered_high,
        "exchanges": [
            {name: record[name] for name in ("exchange", "covered_low", "covered_high")} for record in live
        ],
        "missing": missing(records, settings.exchanges),
    }


def heatmap_range(live: list[dict], size: Decimal, depth: int) -> tuple:
    """((lowest, highest bid bucket), (lowest, highest ask bucket)) from the best prices of all; None for no side."""
    best_bids = [record["bids"][0]["price"] for record in live if record["bids"]]
    best_asks = [record["asks"][0]["price"] for record in live if record["asks"]]
    below = depth_range(max(best_bids), size, -depth) if best_bids else None
    above = depth_range(min(best_asks), size, depth) if best_asks else None
    return below, above


def cells(live: list[dict], side: str, limits: tuple[Decimal, Decimal] | None) -> list[dict]:
    """The cells of one side, still without intensity."""
    volumes: dict[Decimal, list[Decimal]] = {}
    for record in live:
        for bucket in record[f"{side}_buckets"]:
            if limits[0] <= bucket["price"] <= limits[1]:
                volumes.setdefault(bucket["price"], []).append(bucket["volume"])
    return [
        {
            "price": price,
            "volume": total(parts),
            "intensity": None,
            "side": side,
            "exchange_count": len(parts),
        }
        for price, parts in volumes.items()
    ]


def covered_range(live: list[dict], size: Decimal, below: tuple | None, above: tuple | None) -> tuple:
    """(low, high): where an empty cell means zero at every exchange. Choice: no bound at all gives null."""
    lows = [
        edge_at_or_above(record["covered_low"], size) for record in live if record["covered_low"] is not None
    ]
    highs = [
        bucket_of(record["covered_high"] + STEP, size)
        for record in live
        if record["covered_high"] is not None
    ]
    if below is not None:
        lows.append(below[0])
    if above is not None:
        highs.append(above[1] + size)
    return max(lows, default=None), min(highs, default=None)


def consolidated(
    symbol: str, tick_us: int, records: dict[str, dict], of_heatmap: dict, settings: Settings
) -> dict:
    """The books of all exchanges as one; `bucketed` is about the cells of the same tick's heatmap."""
    live = live_records(records)
    bids = sorted(merged_levels(live, "bids"), key=lambda level: -level["price"])[:TOP_LEVELS]
    asks = sorted(merged_levels(live, "asks"), key=lambda level: level["price"])[:TOP_LEVELS]
    best_bid, best_ask = (side[0]["price"] if side else None for side in (bids, asks))
    mid, spread = mid_and_spread(best_bid, best_ask)
    cell_volumes = {
        side: total(cell["volume"] for cell in of_heatmap["data"] if cell["side"] == side)
        for side in ("bid", "ask")
    }
    return {
        "symbol": symbol,
        "timestamp": tick_us,
        "bids": bids,
        "asks": asks,
        "mid_price": mid,
        "spread": spread,
        "top": imbalance_of_best(bids, asks, 1),
        "depth5": imbalance_of_best(bids, asks, 5),
        "depth20": imbalance_of_best(bids, asks, 20),
        "bucketed": imbalance(cell_volumes["bid"], cell_volumes["ask"]),
        "exchanges": [record["exchange"] for record in live],
        "missing": missing(records, settings.exchanges),
    }


def merged_levels(live: list[dict], side: str) -> list[dict]:
    """One level per price. Choice: "size at the price" is a size above 0."""
    sizes: dict[Decimal, list[Decimal]] = {}
    for record in live:
        for level in record[side]:
            sizes.setdefault(level["price"], []).append(level["size"])
    return [
        {"price": price, "size": total(parts), "exchange_count": sum(part > 0 for part in parts)}
        for price, parts in sizes.items()
    ]


def imbalance_of_best(bids: list[dict], asks: list[dict], levels: int) -> Decimal | None:
    """Imbalance of the best levels of both sides."""
    return imbalance(
        total(level["size"] for level in bids[:levels]), total(level["size"] for level in asks[:levels])
    )
