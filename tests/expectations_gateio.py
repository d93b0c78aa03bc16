"""Gate.io's part of `expectations.LEFT_OUT`. Frames of v3 name a ``method``; futures have channels of their own."""

from tests.expectation_reasons import CHANNEL, DEAD, all_of

LEFT_OUT: dict[tuple[str, str], dict[int, tuple[str, str]]] = {
    ("gateio", "tardis_mappers"): {
        0: (DEAD, '"method":"trades.update"'),
        1: (DEAD, '"method":"ticker.update"'),
        2: (DEAD, '"method":"depth.update"'),
        4: (CHANNEL, '"channel":"spot.order_book_update"'),
    },
    ("gateio", "cryptomsgparser_spot"): {
        0: (DEAD, '"method":"trades.update"'),
        **all_of(DEAD, '"method":"depth.update"', 2, 3),
        4: (CHANNEL, '"channel":"spot.order_book_update"'),
        5: (CHANNEL, '"channel":"spot.order_book"'),
        6: (CHANNEL, '"channel":"spot.book_ticker"'),
        7: (CHANNEL, '"channel":"spot.candlesticks"'),
        8: (CHANNEL, '"channel":"spot.tickers"'),
        9: (DEAD, '"method":"ticker.update"'),
        10: (CHANNEL, '{"current":'),
    },
    ("gateio", "cryptomsgparser_derivatives"): {
        **all_of(CHANNEL, '"channel":"futures.trades"', 0, 1, 2, 3, 4),
        **all_of(CHANNEL, '"channel":"futures.order_book_update"', 5, 6),
        **all_of(CHANNEL, '"channel":"futures.order_book"', 7, 8, 9, 10, 11),
        **all_of(CHANNEL, '"channel":"futures.book_ticker"', 12, 13),
        **all_of(CHANNEL, '{"current":', 14, 15, 16, 17),
    },
}


def is_dead(frame: object) -> bool:
    """Whether it is of a protocol that is spoken no more."""
    return isinstance(frame, dict) and "method" in frame
