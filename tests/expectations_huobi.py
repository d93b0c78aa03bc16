"""HTX's part of `expectations.LEFT_OUT`: of books we read ``mbp.400`` alone, of markets the spot market."""

from tests.expectation_reasons import CHANNEL, all_of

LEFT_OUT: dict[tuple[str, str], dict[int, tuple[str, str]]] = {
    ("huobi", "tardis_mappers"): {
        **all_of(CHANNEL, '.depth.step0"', 1, 2, 4, 6),
        7: (CHANNEL, ".depth.size_150."),
        # Half of what is expected of the reply is in no frame of the file.
        **all_of(CHANNEL, '.mbp.150"', 8, 9, 10),
        11: (CHANNEL, '.bbo"'),
    },
    ("huobi", "cryptomsgparser_spot"): {
        **all_of(CHANNEL, '.mbp.20"', 1, 2),
        3: (CHANNEL, '.depth.step1"'),
        4: (CHANNEL, '.bbo"'),
        5: (CHANNEL, '.kline.1min"'),
        6: (CHANNEL, '"market.btcusdt.detail"'),
        7: (CHANNEL, '.depth.step0"'),
    },
    ("huobi", "cryptomsgparser_derivatives"): {
        **all_of(CHANNEL, '.trade.detail"', *range(8)),
        **all_of(CHANNEL, ".depth.size_150.", 8, 9, 11, 12, 13, 14),
        10: (CHANNEL, ".depth.size_20."),
        **all_of(CHANNEL, '.depth.step7"', 15, 16, 17, 18, 19),
        **all_of(CHANNEL, '.bbo"', 20, 21, 22),
        **all_of(CHANNEL, '.depth.step0"', 23, 24, 25),
    },
}
