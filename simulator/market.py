"""A seeded market of several symbols on one exchange: integer arithmetic, its own time from zero, no clock.

Frame j belongs to symbol j mod n; each second has exactly `rate` frames, evenly or in a burst (path.py). Of a
symbol's frames as many are depth updates as make ten a second (at most every second one), the others are trades.
Same seed, exchange, symbols and rate: same events, whatever the wall does. Prices are ticks of the exchange,
sizes 1e-8, times microseconds.
"""

import random

import msgspec

from simulator.path import PRICE_ONE, Bursts, Path
from simulator.sides import Side

DEPTH_PER_SECOND = 10
SPAN_PERCENT = 2
SPREAD_TICKS_MAX = 5
# The most levels the walk eats in one update: a burst takes the book some updates to follow.
REMOVED_MAX = 50
# Makers who want to be near the best price come within this part of it (half a basis point), or 60 ticks.
NEAR_PART, NEAR_TICKS = 20_000, 60
# An exchange's own deviation from the fair price: this part of it (0.1 basis points).
NOISE_PART = 100_000
# Sizes have five decimals mostly, sometimes six, seven or eight.
STEPS = (1_000, 1_000, 1_000, 1_000, 1_000, 100, 10, 1)
MAGNITUDES = (10**5, 10**6, 10**7, 10**8)

Change = tuple[int, int]


class Listing(msgspec.Struct, frozen=True):
    """How an exchange trades a symbol. `price_decimals` of its tick (one unit of the last decimal); `levels` a
    side; `fills_max`: of so many fills at most one trade message is made.
    """

    price_decimals: int
    levels: int
    fills_max: int = 1


class Depth(msgspec.Struct, frozen=True):
    """Changes (price, new absolute size) from update `first_id` to `last_id`, in the order to apply."""

    symbol: str
    time_us: int
    first_id: int
    last_id: int
    bids: tuple[Change, ...]
    asks: tuple[Change, ...]


class Trade(msgspec.Struct, frozen=True):
    """One trade; a taker that sells hits the bid. `fills` were summed into it and `id` is the last one's;
    `update_id` is the book's change that it made.
    """

    symbol: str
    time_us: int
    id: int
    price: int
    size: int
    taker_sells: bool
    fills: int = 1
    update_id: int = 0


class MarketBook(msgspec.Struct, frozen=True):
    """A whole book, (price, size) best first, as of update `sequence`."""

    sequence: int
    bids: list[Change]
    asks: list[Change]


class SymbolMarket:
    """One symbol. Its book changes with every trade and order; a depth update tells what changed since the last.

    So a snapshot of it lies amid a later update, as on a real exchange.
    """

    def __init__(self, seed: int, exchange: str, symbol: str, listing: Listing) -> None:
        self.symbol = symbol
        # A string seeds by SHA-512, so neither hash randomisation nor the order of symbols matters.
        self._random = random.Random(f"{seed}:{exchange}:{symbol}")
        self._bits = self._random.getrandbits
        self._path = Path(seed, symbol)
        self._unit = PRICE_ONE // 10**listing.price_decimals
        self._start = self._path.start // self._unit
        self._near = max(self._start // NEAR_PART, NEAR_TICKS)
        self._levels, self._fills_max = listing.levels, listing.fills_max
        self._bids, self._asks = Side(is_bid=True), Side(is_bid=False)
        draw = self._random.randrange
        self._update_id = self._told_id = 10_000_000_000 + draw(1_000_000_000)
        self._trade_id = 1_000_000_000 + draw(1_000_000_000)
        self._changed: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.grid = 1
        """New orders are placed at multiples of so many ticks."""
        for side in (self._bids, self._asks):
            self._fill(side)

    def run(self, begin_us: int, lasts_us: int, thousandths: int) -> None:
        """See `Path.run`."""
        self._path.run(begin_us, lasts_us, thousandths)

    def live(self) -> MarketBook:
        return MarketBook(self._update_id, self._bids.pairs(), self._asks.pairs())

    def trade(self, time_us: int) -> Trade:
        """A taker takes a small part of the best level, one time in sixty-four all of it."""
        # One draw, cut into fields: this is the hot path of a busy market.
        bits = self._bits(24)
        sells = bits & 1 == 1
        side = self._bids if sells else self._asks
        price = side.prices[-1] if sells else side.prices[0]
        held = side.sizes[price]
        size = held
        if bits & 126 or len(side.prices) <= 2:
            size = held * (1 + (bits >> 7 & 63)) >> 10
            step = STEPS[bits >> 13 & 7]
            size = min(held, max(size - size % step, step))
        if size == held:
            side.set(price, 0)
        else:
            side.sizes[price] = held - size
        self._changed[0 if sells else 1][price] = held - size
        self._update_id += 1
        fills = 1 if self._fills_max == 1 else max(1, (bits >> 16) % self._fills_max)
        self._trade_id += fills
        return Trade(self.symbol, time_us, self._trade_id, price, size, sells, fills, self._update_id)

    def depth(self, time_us: int) -> Depth:
        """Tell all changes since the last update, after some more by makers; the book is never crossed."""
        draw = self._random.randrange
        self._follow(time_us)
        self._narrow()
        for side in (self._bids, self._asks):
            self._set(side, side.best(), self._order_size())
        wanted = draw(10, 41)
        for _ in range(wanted):
            if sum(map(len, self._changed)) >= wanted:
                break
            self._order(self._bids if draw(2) else self._asks)
        bids = self._told(self._bids, self._changed[0])
        asks = self._told(self._asks, self._changed[1])
        first, self._told_id = self._told_id + 1, self._update_id
        self._changed = ({}, {})
        return Depth(self.symbol, time_us, first, self._update_id, bids, asks)

    def _fill(self, side: Side) -> None:
        """Half of the levels lie in the nearest quarter of the span, the others anywhere in it."""
        draw = self._random.randrange
        span = self._start * SPAN_PERCENT // 100
        near = max(span // 4, 4)
        sign = -1 if side.is_bid else 1
        count = min(self._levels, span // 2)
        offsets = {1}
        while len(offsets) < count:
            offsets.add(draw(1, near) if len(offsets) < min(count // 2, near // 2) else draw(1, span))
        side.fill([(self._start + sign * offset, self._order_size()) for offset in sorted(offsets)])

    def _set(self, side: Side, price: int, size: int) -> None:
        if self.grid > 1 and price not in side.sizes:
            price += -price % self.grid if not side.is_bid else -(price % self.grid)
        side.set(price, size)
        self._update_id += 1
        self._changed[0 if side.is_bid else 1][price] = size

    def _order_size(self) -> int:
        bits = self._bits(32)
        magnitude, step = MAGNITUDES[bits & 3], STEPS[bits >> 2 & 7]
        size = magnitude + 9 * magnitude * (bits >> 5) // (1 << 27)
        return max(size - size % step, step)

    def _follow(self, time_us: int) -> None:
        """Go after the fair price: eat into one side, follow with the other."""
        fair = self._path.at(time_us) // self._unit
        noise = max(fair // NOISE_PART, 1)
        goal = fair + self._random.randrange(-noise, noise + 1)
        step = goal - (self._bids.best() + self._asks.best()) // 2
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
            far = draw(1, self._near) if kind < 80 else draw(1, span)
            self._set(side, max(side.away(far), 1), self._order_size())
        else:
            self._set(side, side.at(draw(1, min(len(side), 200)) if kind < 80 else draw(1, len(side))), 0)

    def _told(self, side: Side, changed: dict[int, int]) -> tuple[Change, ...]:
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
        return tuple(changes)


class Market:
    """All symbols of one exchange in one order of events.

    listings: how it trades each symbol; rate: frames a second over all symbols; seconds: how long (market time),
    None without end.
    """

    def __init__(
        self, seed: int, exchange: str, listings: dict[str, Listing], rate: int, seconds: int | None = None
    ) -> None:
        assert rate > 0
        assert listings
        self.symbols = tuple(listings)
        self._rate = rate
        self._last = None if seconds is None else seconds * rate
        self._count = 0
        self._late_us = 0
        self._bursts = Bursts(seed)
        self._markets = [SymbolMarket(seed, exchange, *item) for item in listings.items()]
        self._by_symbol = {market.symbol: market for market in self._markets}
        self._depth_share = min(DEPTH_PER_SECOND * 2 * len(self._markets), rate)
        self._next_us: int | None = self._due_us()

    def peek_us(self) -> int | None:
        """When the next event is due, microseconds of market time; None after the last."""
        return self._next_us

    def take(self) -> Depth | Trade:
        """The next event; it is in the books from now on."""
        time_us = self._next_us
        assert time_us is not None, "the market has ended"
        turn, place = divmod(self._count, len(self._markets))
        self._count += 1
        self._next_us = self._due_us()
        market = self._markets[place]
        return market.depth(time_us) if self._is_depth(turn) else market.trade(time_us)

    def live(self, symbol: str) -> MarketBook:
        """The book with everything that happened, also what no depth update has told yet."""
        return self._by_symbol[symbol].live()

    def quiet(self, lasts_us: int) -> None:
        """Nothing happens for so long; then all goes on as if nothing had been."""
        self._late_us += lasts_us
        if self._next_us is not None:
            self._next_us += lasts_us

    def symbol(self, name: str) -> SymbolMarket:
        """One symbol's market."""
        return self._by_symbol[name]

    def _due_us(self) -> int | None:
        if self._last is not None and self._count >= self._last:
            return None
        return self._bursts.frame_us(self._count, self._rate) + self._late_us

    def _is_depth(self, turn: int) -> bool:
        """Ten of a second's frames, evenly; at low rates every second frame."""
        share, whole = self._depth_share, 2 * self._rate
        return (turn + 1) * share // whole > turn * share // whole
