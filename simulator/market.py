"""A seeded market of several symbols: integer arithmetic, its own time from zero, no clock.

Frame j of all is at j / rate seconds and belongs to symbol j mod n; of a symbol's frames as many are depth
updates as make one each 100 ms (at most every second one), the others are trades. Same seed, symbols and
rate: same events, whatever the wall does. Prices are ticks of 0.01, sizes 1e-8, times microseconds.
"""

import random

import msgspec

from simulator.sides import Side

DEPTH_PER_SECOND = 10
# Starting price in ticks and levels a side. The first has more levels than a REST answer may hold (5,000),
# so that a book cut by its snapshot is the normal case.
KNOWN = {"BTCUSDT": (6_000_000, 5_600), "ETHUSDT": (300_000, 1_800)}
SPAN_PERCENT = 2
DRIFT_PERCENT = 1
SPREAD_TICKS_MAX = 5
REMOVED_MAX = 15

Change = tuple[int, int]


class Depth(msgspec.Struct, frozen=True):
    """Changes (price, new absolute size) from update `first_id` to `last_id`, in the order to apply."""

    symbol: str
    time_us: int
    first_id: int
    last_id: int
    bids: tuple[Change, ...]
    asks: tuple[Change, ...]


class Trade(msgspec.Struct, frozen=True):
    """One trade; a taker that sells hits the bid."""

    symbol: str
    time_us: int
    id: int
    price: int
    size: int
    taker_sells: bool


class Ticker(msgspec.Struct, frozen=True):
    """Best prices and sizes after the depth update that ends with `update_id`."""

    symbol: str
    update_id: int
    bid: Change
    ask: Change


class MarketBook(msgspec.Struct, frozen=True):
    """A whole book, (price, size) best first, as of update `sequence`."""

    sequence: int
    bids: list[Change]
    asks: list[Change]


class SymbolMarket:
    """One symbol. The live book changes with every trade and order; the told one is what depth updates made
    known. A snapshot shows the live one, so it lies amid a later update, as on a real exchange.
    """

    def __init__(self, seed: int, symbol: str) -> None:
        self.symbol = symbol
        # A string seeds by SHA-512, so neither hash randomisation nor the order of symbols matters.
        self._random = random.Random(f"{seed}:{symbol}")
        draw = self._random.randrange
        self._start, self._levels = KNOWN.get(symbol) or (draw(200_000, 1_000_000), draw(1_000, 6_000))
        self._bids, self._asks = Side(is_bid=True), Side(is_bid=False)
        self._told_bids, self._told_asks = Side(is_bid=True), Side(is_bid=False)
        self._update_id = self._told_id = 10_000_000_000 + draw(1_000_000_000)
        self._trade_id = 1_000_000_000 + draw(1_000_000_000)
        self._changed: tuple[dict[int, int], dict[int, int]] = ({}, {})
        for side, told in ((self._bids, self._told_bids), (self._asks, self._told_asks)):
            self._fill(side, told)

    def live(self) -> MarketBook:
        return MarketBook(self._update_id, self._bids.pairs(), self._asks.pairs())

    def told(self) -> MarketBook:
        return MarketBook(self._told_id, self._told_bids.pairs(), self._told_asks.pairs())

    def ticker(self) -> Ticker:
        bid, ask = self._told_bids.best(), self._told_asks.best()
        return Ticker(
            self.symbol, self._told_id, (bid, self._told_bids.sizes[bid]), (ask, self._told_asks.sizes[ask])
        )

    def trade(self, time_us: int) -> Trade:
        """A taker takes a small part of the best level, one time in fifty all of it."""
        draw = self._random.randrange
        sells = draw(2) == 0
        side = self._bids if sells else self._asks
        price = side.best()
        held = side.sizes[price]
        size = held
        if draw(50) or len(side) <= 2:
            size = min(held, self._rounded(held * draw(1, 65) // 1024))
        self._set(side, price, held - size)
        self._trade_id += 1
        return Trade(self.symbol, time_us, self._trade_id, price, size, sells)

    def depth(self, time_us: int) -> Depth:
        """Tell all changes since the last update, after some more by makers; the book is never crossed."""
        draw = self._random.randrange
        self._drift()
        self._narrow()
        for side in (self._bids, self._asks):
            self._set(side, side.best(), self._order_size())
        wanted = draw(10, 41)
        for _ in range(wanted):
            if sum(map(len, self._changed)) >= wanted:
                break
            self._order(self._bids if draw(2) else self._asks)
        bids = self._told(self._bids, self._told_bids, self._changed[0])
        asks = self._told(self._asks, self._told_asks, self._changed[1])
        first, self._told_id = self._told_id + 1, self._update_id
        self._changed = ({}, {})
        return Depth(self.symbol, time_us, first, self._update_id, bids, asks)

    def _fill(self, side: Side, told: Side) -> None:
        """Half of the levels lie in the nearest quarter of the span, the others anywhere in it."""
        draw = self._random.randrange
        span = self._start * SPAN_PERCENT // 100
        near = max(span // 4, 4)
        sign = -1 if side.is_bid else 1
        count = min(self._levels, span // 2)
        offsets = {1}
        while len(offsets) < count:
            offsets.add(draw(1, near) if len(offsets) < min(count // 2, near // 2) else draw(1, span))
        for offset in sorted(offsets):
            price, size = self._start + sign * offset, self._order_size()
            side.set(price, size)
            told.set(price, size)

    def _set(self, side: Side, price: int, size: int) -> None:
        side.set(price, size)
        self._update_id += 1
        self._changed[0 if side.is_bid else 1][price] = size

    def _rounded(self, size: int) -> int:
        """Down to 5 decimals mostly, sometimes to 6, 7 or 8; never to nothing."""
        step = self._random.choice((1_000, 1_000, 1_000, 100, 10, 1))
        return max(size - size % step, step)

    def _order_size(self) -> int:
        magnitude: int = 10 ** self._random.randrange(5, 9)
        return self._rounded(self._random.randrange(magnitude, 10 * magnitude))

    def _drift(self) -> None:
        """A step of the random walk, within 1 % of the start: eat into one side, follow with the other."""
        reach = max(self._start // 100_000, 2)
        step = self._random.randrange(-reach, reach + 1)
        middle = (self._bids.best() + self._asks.best()) // 2
        if abs(middle - self._start) * 100 > self._start * DRIFT_PERCENT:
            step = -abs(step) if middle > self._start else abs(step)
        eaten, follower = (self._asks, self._bids) if step > 0 else (self._bids, self._asks)
        target = follower.away(-abs(step))
        for _ in range(REMOVED_MAX):
            if len(eaten) <= 2 or (target < eaten.best() if step > 0 else target > eaten.best()):
                break
            self._set(eaten, eaten.best(), 0)
        if step:
            limit = eaten.best() - 1 if step > 0 else eaten.best() + 1
            target = min(target, limit) if step > 0 else max(target, limit)
            self._set(follower, target, self._order_size())

    def _narrow(self) -> None:
        """Either side moves closer when the spread is wide; always the same one would be a trend."""
        bid, ask = self._bids.best(), self._asks.best()
        if ask - bid > SPREAD_TICKS_MAX:
            ticks = self._random.randrange(1, SPREAD_TICKS_MAX + 1)
            if self._random.randrange(2):
                self._set(self._asks, bid + ticks, self._order_size())
            else:
                self._set(self._bids, ask - ticks, self._order_size())

    def _order(self, side: Side) -> None:
        """One maker's change: mostly near the best price, sometimes far; the number of levels stays put."""
        draw = self._random.randrange
        kind = draw(100)
        if kind < 45 and len(side) > self._levels // 2:
            near = side.at(draw(draw(1, min(len(side), 200)) + 1) % len(side))
            self._set(side, near, self._order_size())
        elif len(side) < self._levels:
            span = self._start * SPAN_PERCENT // 100
            self._set(
                side, max(side.away(draw(1, 60) if kind < 80 else draw(1, span)), 1), self._order_size()
            )
        else:
            self._set(side, side.at(draw(1, min(len(side), 200)) if kind < 80 else draw(1, len(side))), 0)

    def _told(self, side: Side, told: Side, changed: dict[int, int]) -> tuple[Change, ...]:
        """The changes in no order, at times with one to an unknown price, or with two to the same price."""
        draw = self._random.randrange
        changes = list(changed.items())
        self._random.shuffle(changes)
        if changes and draw(4) == 0:
            # Not the last word on this price: the true size comes later in the same update.
            self._update_id += 1
            changes.insert(0, (changes[draw(len(changes))][0], self._order_size()))
        if draw(3) == 0:
            unknown = side.away(draw(1, self._start * SPAN_PERCENT // 100))
            if unknown > 0 and unknown not in side.sizes and unknown not in changed:
                self._update_id += 1
                changes.append((unknown, 0))
        for price, size in changes:
            told.set(price, size)
        return tuple(changes)


class Market:
    """All symbols in one order of events.

    rate: frames a second over all symbols; seconds: how long (market time), None without end.
    """

    def __init__(self, seed: int, symbols: tuple[str, ...], rate: int, seconds: int | None = None) -> None:
        assert rate > 0
        assert symbols
        assert len(set(symbols)) == len(symbols)
        self.symbols = symbols
        self._rate = rate
        self._last = None if seconds is None else seconds * rate
        self._count = 0
        self._markets = [SymbolMarket(seed, symbol) for symbol in symbols]
        self._by_symbol = {market.symbol: market for market in self._markets}

    def peek_us(self) -> int | None:
        """When the next event is due, microseconds of market time; None after the last."""
        if self._last is not None and self._count >= self._last:
            return None
        return self._count * 1_000_000 // self._rate

    def take(self) -> Depth | Trade:
        """The next event; it is in the books from now on."""
        time_us = self.peek_us()
        assert time_us is not None, "the market has ended"
        turn, place = divmod(self._count, len(self._markets))
        self._count += 1
        market = self._markets[place]
        return market.depth(time_us) if self._is_depth(turn) else market.trade(time_us)

    def live(self, symbol: str) -> MarketBook:
        """The book with everything that happened, also what no depth update has told yet."""
        return self._by_symbol[symbol].live()

    def told(self, symbol: str) -> MarketBook:
        """The book as told by the depth updates so far."""
        return self._by_symbol[symbol].told()

    def ticker(self, symbol: str) -> Ticker:
        return self._by_symbol[symbol].ticker()

    def _is_depth(self, turn: int) -> bool:
        """Ten of a second's frames, evenly; at low rates every second frame."""
        count = len(self._markets)
        share, whole = min(DEPTH_PER_SECOND * 2 * count, self._rate), 2 * self._rate
        return (turn + 1) * share // whole > turn * share // whole
