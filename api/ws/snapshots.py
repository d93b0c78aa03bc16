"""The first message of a subscription: the newest record of each key before the updates begin.

What was read from Kafka since the partition is read comes from the hub, all else from Redis; what Redis holds that the
hub has not reached yet comes as an update.
"""

from __future__ import annotations

import json

from redis import RedisError

from api.ws.channels import Selection
from api.ws.hub import Hub
from api.ws.items import Key
from COBY.config import Config
from COBY.ohlcv import TIMEFRAMES_US
from COBY.runtime.redis import AsyncClient, latest_key
from COBY.utils.logging import get_logger

log = get_logger(__name__)


def names_of(cfg: Config, selection: Selection) -> list[tuple[str, ...]]:
    """What follows the channel in the keys of Redis that a subscription's records can have."""
    symbol = selection.symbol
    if symbol is None:
        return []  # a status has its slot there; all of them are in the hub
    if selection.channel.narrowed_by is None:
        return [(symbol,)]
    values = TIMEFRAMES_US if selection.channel.narrowed_by == "timeframe" else cfg.exchanges
    return [(symbol, value) for value in values if not selection.only or value in selection.only]


async def cached(cfg: Config, redis: AsyncClient, selection: Selection) -> dict[tuple[str, ...], str] | None:
    """JSON of the newest record by key, as Redis has it; None while Redis does not answer."""
    names = names_of(cfg, selection)
    if not names:
        return {}
    keys = [latest_key(cfg.topic_prefix, selection.channel.name, *name) for name in names]
    try:
        values = await redis.mget(keys)
    except (RedisError, OSError) as error:
        log.warning("snapshot_without_redis", error=str(error))
        return None
    texts = (value.decode() if isinstance(value, bytes) else value for value in values)
    return {name: text for name, text in zip(names, texts, strict=True) if text is not None}


def composed(
    hub: Hub, selection: Selection, redis: dict[tuple[str, ...], str] | None
) -> tuple[list[str], bool]:
    """The records as JSON, and whether none can be missing. Belongs to `Hub.places` as they are at this moment."""
    found, complete = hub.latest(selection)
    texts: dict[Key, str] = {key: item.text() for key, item in found.items() if item.is_for(selection)}
    older: dict[Key, str] = {
        key: text
        for key, text in (redis or {}).items()
        if key not in found and _is_before(hub, selection, text)
    }
    texts |= older
    is_known = redis is not None or hub.is_whole(selection)
    return [texts[key] for key in sorted(texts, key=repr)], complete and is_known


def _is_before(hub: Hub, selection: Selection, text: str) -> bool:
    value = json.loads(text)
    offset, place = value.get("offset"), hub.places[selection.partitions()[0]]
    return isinstance(offset, int) and offset < place
