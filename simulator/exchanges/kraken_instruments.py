"""Kraken's `instrument` channel, assets and pairs with their precisions, and REST's list of pairs. Pure.

Source: the exchange's pages "Instruments" (WebSocket v2) and "Get Tradable Asset Pairs" (REST, which still calls BTC
XBT); fields and their order as in their examples.
"""

import json
from collections.abc import Iterable

from simulator.wire import Wire, base_and_quote

SIZE_DECIMALS = 8
V1_NAMES = {"BTC": "XBT", "DOGE": "XDG"}


def instruments_text(places: dict[str, int], pairs: dict[str, str], kind: str = "snapshot") -> str:
    """places: symbol -> decimals of its prices; pairs: symbol -> the exchange's name of it."""
    assets = dict.fromkeys(asset for pair in pairs.values() for asset in _parts(pair))
    listed = ",".join(_pair(pair, places[symbol]) for symbol, pair in pairs.items())
    return f'{{"channel":"instrument","type":"{kind}","data":{{"assets":[{_assets(assets)}],"pairs":[{listed}]}}}}'


def pairs_body(wire: Wire, symbols: Iterable[str]) -> str:
    """The answer to GET /0/public/AssetPairs, without fees and leverage."""
    pairs = {}
    for symbol in symbols:
        base, quote = (V1_NAMES.get(part, part) for part in base_and_quote(symbol))
        decimals = wire.listing(symbol).price_decimals
        pairs[base + quote] = {
            "altname": base + quote,
            "wsname": f"{base}/{quote}",
            "aclass_base": "currency",
            "base": base,
            "aclass_quote": "currency",
            "quote": quote,
            "lot": "unit",
            "cost_decimals": 5,
            "pair_decimals": decimals,
            "lot_decimals": SIZE_DECIMALS,
            "lot_multiplier": 1,
            "tick_size": _step(decimals),
            "status": "online",
        }
    return json.dumps({"error": [], "result": pairs}, separators=(",", ":"))


def _assets(names: Iterable[str]) -> str:
    return ",".join(
        f'{{"id":"{name}","status":"enabled","precision":10,"precision_display":5,"borrowable":true,'
        '"collateral_value":1.0,"margin_rate":0.015}'
        for name in names
    )


def _pair(pair: str, price_decimals: int) -> str:
    base, quote = _parts(pair)
    tick = _step(price_decimals)
    return (
        f'{{"symbol":"{pair}","base":"{base}","quote":"{quote}","status":"online",'
        f'"qty_precision":{SIZE_DECIMALS},"qty_increment":{_step(SIZE_DECIMALS)},'
        f'"price_precision":{price_decimals},"cost_precision":5,"marginable":true,"has_index":true,'
        '"cost_min":0.5,"margin_initial":0.2,"position_limit_long":250,"position_limit_short":200,'
        f'"tick_size":{tick},"price_increment":{tick},"qty_min":0.0001}}'
    )


def _parts(pair: str) -> tuple[str, str]:
    base, mark, quote = pair.partition("/")
    return (base, quote) if mark else base_and_quote(pair)


def _step(decimals: int) -> str:
    """One unit of the last decimal."""
    return f"0.{1:0{decimals}d}"
