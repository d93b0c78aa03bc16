"""Candles of one symbol over all exchanges, from the trades of the closed ticks (schemas/ohlcv.avsc)."""

from tests.reference.book_tick import SECOND_US, by_time
from tests.reference.decimals import total

TIMEFRAMES = {"1s": 1, "1m": 60, "5m": 300, "15m": 900, "1h": 3600, "4h": 14_400, "1d": 86_400}
EMITTED_AFTER_US = 2 * SECOND_US
DROPPED_AFTER_US = 120 * SECOND_US


class Candle:
    """The trades of one candle, and how often it was emitted."""

    def __init__(self, timeframe: str, start: int) -> None:
        self.timeframe = timeframe
        self.start = start
        self.end = start + TIMEFRAMES[timeframe] * SECOND_US
        self.trades: list[dict] = []
        self.emitted = 0


def candles(symbol: str, ticks: list[tuple[int, bool, list[dict]]], update_frequency_us: int) -> list[dict]:
    """ticks: (T, whether every configured exchange was live at T, trades that the records of T bring), by T."""
    kept: dict[tuple[str, int], Candle] = {}
    live_at: set[int] = set()
    came: set[int] = set()
    rows = []
    for tick_us, all_live, trades in ticks:
        came.add(tick_us)
        if all_live:
            live_at.add(tick_us)
        changed = add(kept, trades, tick_us)
        for place in sorted(kept, key=lambda place: (TIMEFRAMES[place[0]], place[1])):
            candle = kept[place]
            if tick_us >= candle.end + EMITTED_AFTER_US and (candle.emitted == 0 or place in changed):
                complete = is_complete(candle, came, live_at, update_frequency_us)
                rows.append({"symbol": symbol} | row(candle, complete, tick_us))
                candle.emitted += 1
            if tick_us >= candle.end + DROPPED_AFTER_US:
                del kept[place]
    return rows


def add(kept: dict[tuple[str, int], Candle], trades: list[dict], tick_us: int) -> set[tuple[str, int]]:
    """Put the trades into their candles of every timeframe; returns which candles they changed."""
    changed = set()
    for trade in trades:
        second = second_of(trade, tick_us)
        for timeframe, seconds in TIMEFRAMES.items():
            place = (timeframe, second // (seconds * SECOND_US) * (seconds * SECOND_US))
            if place not in kept:
                kept[place] = Candle(*place)
            kept[place].trades.append(trade)
            changed.add(place)
    return changed


def second_of(trade: dict, tick_us: int) -> int:
    """The second to which a trade counts.

    Choices: too old is a second that ended more than two minutes before T; it then counts to the last second that
    ended at or before T, but keeps its own candle time in the order of trades.
    """
    second = trade["candle_time"] // SECOND_US * SECOND_US
    if tick_us - (second + SECOND_US) > DROPPED_AFTER_US:
        return tick_us // SECOND_US * SECOND_US - SECOND_US
    return second


def is_complete(candle: Candle, came: set[int], live_at: set[int], update_frequency_us: int) -> bool:
    """The ticks of a candle are the grid points T with start < T <= end; one that never came was not live.

    The tick before the first of them must have come too: else the candle's beginning was not seen.
    """
    before = candle.start // update_frequency_us * update_frequency_us
    first = before + update_frequency_us
    return before in came and all(
        tick_us in live_at for tick_us in range(first, candle.end + 1, update_frequency_us)
    )


def row(candle: Candle, complete: bool, tick_us: int) -> dict:
    """The candle as it stands at T."""
    trades = sorted(candle.trades, key=by_time)
    prices = [trade["price"] for trade in trades]
    return {
        "timestamp": candle.start,
        "timeframe": candle.timeframe,
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "close": prices[-1],
        "volume": total(trade["size"] for trade in trades),
        "trade_count": len(trades),
        "revision": candle.emitted,
        "complete": complete,
        "received_at": tick_us,
    }
