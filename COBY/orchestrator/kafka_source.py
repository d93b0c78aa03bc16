"""Messages straight from Kafka: live topics, their newest records, and sessions of replay workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException

from COBY.config import Config
from COBY.orchestrator.cursors import Partition, cursor_of
from COBY.orchestrator.kafka_feed import KafkaFeed
from COBY.orchestrator.messages import Place, Update, channel_of, received_us
from COBY.orchestrator.replay_feed import OwnSession
from COBY.orchestrator.subscription import Feed, Open
from COBY.orchestrator.wanted import STATE_CHANNELS, Past, Wanted
from COBY.replays.manager import KafkaReplayManager
from COBY.runtime.kafka import broker_error, require_broker
from COBY.runtime.offsets import Offsets
from COBY.runtime.ranges import range_consumer, read_range
from COBY.runtime.reader import Reader
from COBY.runtime.reading import consumed
from COBY.topics import PARTITIONS, partition_of, topic_name
from COBY.utils.exceptions import BrokerError, ProcessingError, ReplayError
from COBY.values import key_parts

LOOKS = (200, 2_000, 20_000)
"""So many of a partition's last records are looked through for the newest of a kind: the next more where it fails."""
SILENCE_SECONDS = 10.0

Key = tuple[str, ...]


class KafkaSource:
    """A `Source` (interface.py) on the topics of a TOPIC_PREFIX."""

    def __init__(self, cfg: Config) -> None:
        """Connects when first used."""
        self._cfg = cfg
        self._manager = KafkaReplayManager(cfg)

    async def close(self) -> None:
        """End its clients."""
        await asyncio.to_thread(self._manager.close)

    def live(self, wanted: Wanted) -> Open:
        """Opens what comes from now on, the newest of each state first; with a cursor what comes after it."""

        async def open_(cursor: str | None) -> Feed:
            return await asyncio.to_thread(self._live, wanted, cursor)

        return open_

    def replay(self, past: Past) -> OwnSession:
        """A session of one's own, made when it is first opened."""
        return OwnSession(self._cfg, self._manager, past)

    async def latest(self, wanted: Wanted, fits: Callable[[Update], bool]) -> Update | None:
        """The newest record that fits, None where there is none among a partition's last 20,000."""
        found = await asyncio.to_thread(self._latest, wanted, fits)
        return max(found, key=lambda update: update.received_us, default=None)

    def _latest(self, wanted: Wanted, fits: Callable[[Update], bool]) -> list[Update]:
        return self._scene(
            wanted, self._ends(wanted), lambda update: (*_key(update), str(fits(update))), fits
        )

    def _live(self, wanted: Wanted, cursor: str | None) -> KafkaFeed:
        ends = self._ends(wanted)
        if cursor is None:
            states = wanted._replace(channels=tuple(one for one in wanted.channels if one in STATE_CHANNELS))
            scene = self._scene(states, {place: ends[place] for place in self._places(states)}, _key)
            return KafkaFeed(self._cfg, wanted, ends, {}, scene)
        offsets, taken = cursor_of(cursor)
        if set(offsets) != set(ends):
            allowed = "the cursor of a subscription to the same channels and symbols"
            raise ReplayError("replay.cursor", "a cursor of another subscription", allowed=allowed)
        return KafkaFeed(self._cfg, wanted, offsets, taken)

    def _places(self, wanted: Wanted) -> list[Partition]:
        """The partitions that hold what is wanted: all where no symbols are named."""
        numbers = {partition_of(symbol.encode(), PARTITIONS) for symbol in wanted.symbols}
        topics = [topic_name(self._cfg.topic_prefix, channel) for channel in wanted.channels]
        return [(topic, number) for topic in topics for number in sorted(numbers or range(PARTITIONS))]

    def _ends(self, wanted: Wanted) -> dict[Partition, int]:
        places = self._places(wanted)
        require_broker(self._cfg)
        try:
            return Offsets(self._cfg).ends(places)
        except KafkaException as error:
            raise broker_error("kafka.refused", error, where=places[0][0]) from error
        except TimeoutError as error:
            raise BrokerError("kafka.silent", "a broker does not answer", where=places[0][0]) from error

    def _scene(
        self,
        wanted: Wanted,
        ends: Mapping[Partition, int],
        key_of: Callable[[Update], Key],
        fits: Callable[[Update], bool] = lambda _update: True,
    ) -> list[Update]:
        """The newest of each key before these offsets, in order of receipt."""
        consumer = range_consumer(self._cfg, "newest")
        found: dict[Key, Update] = {}
        try:
            for place, end in ends.items():
                for look in LOOKS:
                    before = len(found)
                    self._look(consumer, place, max(0, end - look), end, wanted, key_of, fits, found)
                    if len(found) > before or look >= end:
                        break
        finally:
            consumer.close()
        return sorted(found.values(), key=lambda update: update.received_us)

    def _look(
        self,
        consumer: Consumer,
        place: Partition,
        first: int,
        end: int,
        wanted: Wanted,
        key_of: Callable[[Update], Key],
        fits: Callable[[Update], bool],
        found: dict[Key, Update],
    ) -> None:
        reader = Reader()
        for message in read_range(consumer, place, first, end, silence_seconds=SILENCE_SECONDS):
            update = _prelude(message, reader)
            if update is None or not wanted.has(update) or not fits(update):
                continue
            key = key_of(update)
            if key not in found or received_us(found[key].record) <= update.received_us:
                found[key] = update


def _prelude(message: Any, reader: Reader) -> Update | None:
    """What lay there before; what can't be used is none of it (the feed tells of those that come)."""
    try:
        one = consumed(message, reader)
    except ProcessingError:
        return None
    if one is None:
        return None
    place = Place(one.topic, one.partition, one.offset)
    return Update(channel_of(one.record), one.record, one.source, one.position, prelude=True, place=place)


def _key(update: Update) -> Key:
    return (update.channel, *key_parts(update.record))
