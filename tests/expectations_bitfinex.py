"""Bitfinex's part of `expectations.LEFT_OUT`, and the subscription that a lone frame needs before it.

Their frames come without the events that say what an id stands for: some recorders put the subscription itself in the
id's place, of others the test says it.
"""

import json
import re
from typing import Any

from tests.expectation_reasons import CHANNEL, all_of

LEFT_OUT: dict[tuple[str, str], dict[int, tuple[str, str]]] = {
    ("bitfinex", "tardis_mappers"): {
        **all_of(CHANNEL, ',"ticker",', 6, 7, 8),
    },
    ("bitfinex", "cryptomsgparser_spot"): {
        1: (CHANNEL, '},"tu",['),  # the same trade as by te, again
        **all_of(CHANNEL, '"prec":"R0"', 5, 6),
        **all_of(CHANNEL, '"channel":"candles"', 7, 8),
        9: (CHANNEL, '"channel":"ticker"'),
        10: (CHANNEL, "[[23144,3,0.87789],"),  # a REST body
    },
    ("bitfinex", "cryptomsgparser_derivatives"): {
        1: (CHANNEL, '},"tu",['),
        **all_of(CHANNEL, '"prec":"R0"', 5, 6),
        7: (CHANNEL, "[[23143,5,0.4721613],"),  # a REST body
    },
}

TARDIS_IDS = {89: ("trades", "tBTCUSD"), 6957: ("trades", "tETHUSD"), 6959: ("book", "tETHUSD")}
ID = 1


def before(frame: list[Any]) -> list[dict[str, Any]]:
    """What was said before the frame: the flags, if it has a number and a time, and its subscription."""
    told = frame[0]
    if isinstance(told, dict):
        return [{"event": "subscribed", "chanId": ID, **told}]
    channel, symbol = TARDIS_IDS[told]
    book = {"prec": "P0", "freq": "F0", "len": "100"} if channel == "book" else {}
    subscribed = {"event": "subscribed", "channel": channel, "chanId": told, "symbol": symbol, **book}
    return [{"event": "conf", "status": "OK", "flags": 98304}, subscribed]


def is_history(frame: Any) -> bool:
    """Whether it is the last trades before a subscription."""
    return isinstance(frame[0], dict) and frame[0]["channel"] == "trades" and isinstance(frame[1], list)


def rows(text: str) -> list[dict[str, Any]]:
    """Rows of a recording that end with the frame, as if it had come after its subscription.

    A book's update needs a snapshot that it continues (an empty one, of the number before); history counts after the
    first trade only.
    """
    frame = json.loads(text)
    if isinstance(frame[0], list):
        return [{"dir": "http", "symbol": "BTCUSDT", "frame": text}]
    messages: list[Any] = before(frame) if isinstance(frame[0], dict) or frame[0] in TARDIS_IDS else []
    if isinstance(frame[1], list) and isinstance(frame[1][0], int | float):
        number, tail = (ID, []) if isinstance(frame[0], dict) else (frame[0], [frame[2] - 1, *frame[3:4]])
        messages.append([number, [], *tail])
    elif is_history(frame):
        messages.append([ID, "te", [1, frame[1][0][1], 1, 1]])
    sent = re.sub(r"^\[\{[^}]*\}", f"[{ID}", text)
    return [{"frame": json.dumps(message)} for message in messages] + [{"frame": sent}]
