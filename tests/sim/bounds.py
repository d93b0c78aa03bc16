"""Floods and growth: what a producer may ask of an exchange, and what a slot may keep, whatever happens."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from tests.sim.producer import most

if TYPE_CHECKING:
    from tests.sim.virtual import World

SECOND_US = 1_000_000
WEIGHTS = {"binance": (250, 6000)}
"""A book's weight, and how much an address may use in a minute (EXCHANGES.md 1)."""
FETCHES_PER_MINUTE_MAX = 60
"""Where no limit of REST is documented: one a second."""
REQUESTS = {
    "binance": (5, 1),
    "coinbase": (8, 1),
    "huobi": (15, 1),
    "kucoin": (100, 10),
    "okx": (480, 3600),
}
"""Messages to an exchange on one connection, in so many seconds; HTX counts ten subscriptions and five snapshots."""
REQUESTS_PER_MINUTE_MAX = 240
STATE_BYTES_MAX = 8_000_000
RECORDS_PER_SECOND_MAX = 200
CONNECTIONS_MAX = 3


def bounds(world: World) -> list[str]:
    """What is more than allowed."""
    name, producer, wrong = world.name, world.producer, []
    minute = 60 * SECOND_US
    fetches = most([at for at, _ in producer.fetches_us], minute)
    weight, allowed = WEIGHTS.get(name, (1, FETCHES_PER_MINUTE_MAX))
    if fetches * weight > allowed:
        wrong.append(f"{fetches} REST requests in a minute, as {urlsplit(producer.fetches_us[0][1]).path}")
    count, seconds = REQUESTS.get(name, (REQUESTS_PER_MINUTE_MAX, 60))
    sent = max((most(link.sent_us, seconds * SECOND_US) for link in producer.ever), default=0)
    if sent > count:
        wrong.append(f"{sent} requests in {seconds} s on one connection, allowed: {count}")
    limits = world.venue.limits
    attempts = most(producer.attempts_us, round(limits.connects_window_seconds * SECOND_US))
    if limits.connects_max and attempts > limits.connects_max:
        wrong.append(f"{attempts} connection attempts, allowed: {limits.connects_max}")
    state = world.slot.save()
    if len(state.connections) > CONNECTIONS_MAX:
        wrong.append(f"{len(state.connections)} connections kept")
    if (size := len(msgspec.json.encode(state))) > STATE_BYTES_MAX:
        wrong.append(f"a state of {size} bytes")
    if len(world.records) > RECORDS_PER_SECOND_MAX * (world.seconds + 1):
        wrong.append(f"{len(world.records)} records")
    return wrong
