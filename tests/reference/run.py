"""Raw records -> everything derived from them."""

from decimal import localcontext

from tests.reference.candles import candles
from tests.reference.decimals import CONTEXT
from tests.reference.merged import closed_ticks, consolidated, heatmap
from tests.reference.partition import Partition
from tests.reference.settings import Settings

# Those computed to the last field. Beside them `gap`, but for its `detail`, and of `continuity` which intervals have
# ended: when they began, why and on which connection they ended.
TOPICS = ("trade", "book", "heatmap", "consolidated", "ohlcv")


def compute(records: list[dict], settings: Settings) -> dict[str, list[dict]]:
    """Topic -> its records as dicts with the schema's field names, in order per symbol (and exchange).

    records: dicts with topic, partition, offset, key, value, received_ns, conn, seq, kind, url, symbol, of any number
    of raw partitions, those of one partition in its order; marks and events among them.
    """
    with localcontext(CONTEXT):
        partitions = read_partitions(records, settings)
        results = {name: [] for name in (*TOPICS, "gap", "continuity")}
        trades_of_ticks = {}
        for partition in partitions:
            results["trade"] += partition.trades
            results["book"] += partition.ticks
            results["gap"] += partition.gaps.rows
            results["continuity"] += partition.gaps.intervals
            trades_of_ticks |= partition.trades_of_ticks
        for symbol in settings.symbols:
            aggregate(symbol, results, trades_of_ticks, settings)
    return results


def read_partitions(records: list[dict], settings: Settings) -> list[Partition]:
    """Every raw partition, read to its end."""
    found: dict[tuple[str, int], Partition] = {}
    for record in records:
        exchange = exchange_of(record["topic"])
        place = (exchange, record["partition"])
        if exchange not in settings.exchanges:
            continue
        if place not in found:
            found[place] = Partition(settings, *place)
        found[place].take(record)
    return list(found.values())


def exchange_of(topic: str) -> str:
    """`<prefix>.raw.<exchange>.v1` -> exchange."""
    return topic.rsplit(".", 2)[-2]


def aggregate(symbol: str, results: dict[str, list[dict]], trades_of_ticks: dict, settings: Settings) -> None:
    """Add one symbol's heatmaps, consolidated books and candles to the results."""
    ticks = [tick for tick in results["book"] if tick["symbol"] == symbol]
    at: dict[int, dict[str, dict]] = {}
    for tick in ticks:
        at.setdefault(tick["timestamp"], {})[tick["exchange"]] = tick
    for_candles = []
    for tick_us in closed_ticks(ticks, settings.exchanges):
        records = at[tick_us]
        of_heatmap = heatmap(symbol, tick_us, records, settings)
        results["heatmap"].append(of_heatmap)
        results["consolidated"].append(consolidated(symbol, tick_us, records, of_heatmap, settings))
        trades = []
        for exchange in sorted(records):
            trades += trades_of_ticks[exchange, symbol, tick_us]
        all_live = all(exchange in records and records[exchange]["live"] for exchange in settings.exchanges)
        for_candles.append((tick_us, all_live, trades))
    results["ohlcv"] += candles(symbol, for_candles, settings.update_frequency_us)
