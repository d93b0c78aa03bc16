"""KuCoin's part of `expectations.LEFT_OUT`."""

from tests.expectation_reasons import CHANNEL, all_of

LEFT_OUT: dict[tuple[str, str], dict[int, tuple[str, str]]] = {
    ("kucoin", "tardis_mappers"): {
        3: (CHANNEL, '"topic":"/market/ticker:'),
        6: (CHANNEL, '"topic":"/market/level2Snapshot:'),  # a stream that the recorder made itself
    },
    ("kucoin", "cryptomsgparser_spot"): {
        3: (CHANNEL, '"topic":"/spotMarket/level2Depth5:'),
        **all_of(CHANNEL, '"topic":"/market/ticker:', 4, 5),
        6: (CHANNEL, '"topic":"/spotMarket/level3:'),
        7: (CHANNEL, '"topic":"/market/candles:'),
        8: (CHANNEL, '"topic":"/market/snapshot:'),
    },
    ("kucoin", "cryptomsgparser_derivatives"): {
        **all_of(CHANNEL, '"topic":"/contractMarket/', *range(15)),
        **all_of(CHANNEL, '"data":{"symbol":"XBT', 15, 16, 17),
    },
}


def is_body(frame: object) -> bool:
    """Whether it is a REST book."""
    return isinstance(frame, dict) and "code" in frame and "sequence" in frame.get("data", {})


def before(data: dict) -> dict:
    """A made body that the update continues."""
    return {"code": "200000", "data": {"sequence": str(data["sequenceStart"] - 1), "bids": [], "asks": []}}
