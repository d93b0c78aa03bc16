"""Bybit's part of `expectations.LEFT_OUT`. Frames of the protocols before v5 have no ``ts``."""

from tests.expectation_reasons import CHANNEL, DEAD, all_of

LEFT_OUT: dict[tuple[str, str], dict[int, tuple[str, str]]] = {
    ("bybit", "tardis_mappers"): {
        **all_of(DEAD, '"topic":"depth"', 0, 1),
        2: (DEAD, '"topic":"bookTicker"'),
        4: (CHANNEL, '"topic":"orderbook.1.'),  # half of what is expected is from the snapshot before it
    },
    ("bybit", "tardis_derivatives_mappers"): {
        0: (DEAD, '"args":["trade.BTCUSD"]'),
        **all_of(DEAD, '"topic":"orderBookL2_25.', 1, 8, 9, 11, 17),
        **all_of(DEAD, '"topic":"trade.', 2, 5, 6, 7),
        **all_of(DEAD, '"topic":"instrument_info.', 3, 13, 16, 18),
        **all_of(DEAD, '"topic":"orderBook_200.', 4, 10),
        **all_of(DEAD, '"topic":"liquidation.', 12, 14, 15),
        **all_of(CHANNEL, '"topic":"tickers.', 22, 23, 24),
        25: (CHANNEL, '"topic":"liquidation.'),
        26: (CHANNEL, '"topic":"allLiquidation.'),
    },
    ("bybit", "cryptomsgparser_derivatives"): {
        **all_of(DEAD, '"topic":"trade.', 0, 1, 2),
        **all_of(DEAD, '"ret_code":0', 3, 4, 5),
    },
}


def is_dead(frame: object) -> bool:
    """Whether it is of a protocol that is spoken no more."""
    return isinstance(frame, dict) and "ts" not in frame
