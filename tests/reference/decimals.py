"""Decimal arithmetic: exact sums, one rounding (half-even, 8th decimal)."""

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation

STEP = Decimal("0.00000001")
BEYOND_TOPICS = 10**22  # decimal(30,8)
# decimal(30,8) has 30 digits; 60 keep every sum and product here exact, and quotients far beyond the 8th decimal.
CONTEXT = Context(prec=60, rounding=ROUND_HALF_EVEN)


def rounded(value: Decimal) -> Decimal:
    """The value at the 8th decimal, half-even."""
    return value.quantize(STEP, context=CONTEXT)


def ratio(part: Decimal, whole: Decimal) -> Decimal:
    """part / whole at the 8th decimal."""
    return rounded(CONTEXT.divide(part, whole))


def total(values) -> Decimal:
    """The exact sum, with 8 decimals."""
    result = Decimal("0.00000000")
    for value in values:
        result = CONTEXT.add(result, value)
    return result


def imbalance(bid_volume: Decimal, ask_volume: Decimal) -> Decimal | None:
    """(bids - asks) / (bids + asks); None where both are 0."""
    if bid_volume + ask_volume == 0:
        return None
    return ratio(bid_volume - ask_volume, bid_volume + ask_volume)


def mid_and_spread(
    best_bid: Decimal | None, best_ask: Decimal | None
) -> tuple[Decimal | None, Decimal | None]:
    """((bid + ask) / 2, ask - bid); None, None where a side is empty."""
    if best_bid is None or best_ask is None:
        return None, None
    return ratio(best_bid + best_ask, Decimal(2)), rounded(best_ask - best_bid)


def bucket_of(price: Decimal, size: Decimal) -> Decimal:
    """floor(price / size) * size."""
    return (price // size) * size  # prices are positive, so truncation is floor


def edge_at_or_above(price: Decimal, size: Decimal) -> Decimal:
    """The lowest bucket edge that is not below the price."""
    edge = bucket_of(price, size)
    return edge if edge == price else edge + size


def positive(text: object) -> Decimal:
    """A price or traded size from the wire's text; ValueError unless it is a finite number above 0."""
    return above_zero(not_negative(text))


def not_negative(text: object) -> Decimal:
    """A level's size from the wire's text; ValueError unless it is a finite number of 0 or more."""
    if not isinstance(text, str):
        raise ValueError(f"not a decimal's text: {text!r}")
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"not a number: {text!r}") from None
    return zero_or_more(value)


def positive_number(number: object) -> Decimal:
    """The same as positive, for a number of JSON read by json.loads(…, parse_float=Decimal)."""
    return above_zero(not_negative_number(number))


def not_negative_number(number: object) -> Decimal:
    """The same as not_negative, for a number of JSON: NaN and Infinity come as floats, true and false as bools."""
    if isinstance(number, bool) or not isinstance(number, int | Decimal):
        raise ValueError(f"not a number of JSON: {number!r}")
    return zero_or_more(Decimal(number))


def above_zero(value: Decimal) -> Decimal:
    """The value; ValueError for 0."""
    if value == 0:
        raise ValueError(f"not above 0: {value}")
    return value


def zero_or_more(value: Decimal) -> Decimal:
    """The value; ValueError where it is negative, not finite, or more than any topic can hold."""
    if not value.is_finite() or not 0 <= value < BEYOND_TOPICS:
        raise ValueError(f"out of range: {value}")
    return value
