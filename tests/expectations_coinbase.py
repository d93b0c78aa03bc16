"""Coinbase's part of `expectations.LEFT_OUT`: all of it is of the Exchange feed, not of Advanced Trade."""

from tests.expectation_reasons import CHANNEL, all_of

LEFT_OUT: dict[tuple[str, str], dict[int, tuple[str, str]]] = {
    ("coinbase", "tardis_mappers"): {
        0: (CHANNEL, '"type":"match"'),
        **all_of(CHANNEL, '"type":"l2update"', 1, 2),
        **all_of(CHANNEL, '"type":"ticker"', 3, 4),
    },
    ("coinbase", "cryptomsgparser_spot"): {
        0: (CHANNEL, '"type":"last_match"'),
        1: (CHANNEL, '"type":"snapshot"'),
        2: (CHANNEL, '"type":"l2update"'),
        3: (CHANNEL, '"type":"open"'),
        4: (CHANNEL, '"type":"ticker"'),
        5: (CHANNEL, '"auction_mode"'),
    },
}
