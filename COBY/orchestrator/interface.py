"""One client for live and replay, from Kafka or through the API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Protocol

from COBY.config import Config, load_config
from COBY.orchestrator.messages import Update
from COBY.orchestrator.subscription import Feed, Open, Subscription
from COBY.orchestrator.wanted import Past, Wanted, wanted

Names = str | Sequence[str]
FULL_SPEED = 0.0


class Session(Protocol):
    """A replay session of one's own."""

    async def open(self, cursor: str | None) -> Feed:
        """Its records, from a cursor on if there is one."""
        ...

    async def end(self) -> None:
        """Take it away."""
        ...


class Source(Protocol):
    """Where messages come from."""

    def live(self, wanted: Wanted) -> Open:
        """Opens what comes from now on, the newest of each state first; with a cursor what comes after it."""
        ...

    def replay(self, past: Past) -> Session:
        """A session of one's own, made when it is first opened."""
        ...

    async def latest(self, wanted: Wanted, fits: Callable[[Update], bool]) -> Update | None:
        """The newest that fits."""
        ...

    async def close(self) -> None:
        """End its clients."""
        ...


class OrchestratorInterface:
    """What a trading system asks of COBY. Use it as `async with`; it closes what is still open.

    Channels: trade, book, gap, quality, continuity, heatmap, consolidated, ohlcv. Symbols and exchanges: none for all.
    Errors: ReplayError (`replay.…`), BrokerError, with from_api ServiceError `api.…`; where a broker or the API is away
    for a while, a subscription waits and goes on.
    """

    def __init__(self, source: Source) -> None:
        """Made by `from_kafka` or `from_api`."""
        self._source = source
        self._open: set[Subscription] = set()

    @classmethod
    def from_kafka(cls, cfg: Config | None = None) -> OrchestratorInterface:
        """From the topics themselves; ``cfg``: KAFKA_… and TOPIC_PREFIX, without it those of the environment."""
        from COBY.orchestrator.kafka_source import KafkaSource  # who goes through the API has no Kafka

        return cls(KafkaSource(cfg or load_config()))

    @classmethod
    def from_api(cls, url: str, key: str | None = None) -> OrchestratorInterface:
        """Through the API at ``url`` (http://host:8080); ``key``: of the scope read, for replays of replay, too."""
        from COBY.orchestrator.api_source import ApiSource  # who reads Kafka needs no HTTP

        return cls(ApiSource(url, key))

    def subscribe(
        self, channels: Names, symbols: Names = (), exchanges: Names = (), *, cursor: str | None = None
    ) -> Subscription:
        """What comes from now on, the newest of each state first (`prelude`); with a ``cursor`` what comes after it.

        ReplayError `replay.channel` at once; `replay.cursor` by the iteration.
        """
        return self._subscription(self._source.live(wanted(channels, symbols, exchanges)), cursor)

    def replay(
        self,
        start: datetime,
        end: datetime,
        speed: float = 1.0,
        *,
        channels: Names,
        symbols: Names = (),
        exchanges: Names = (),
        source: str = "auto",
    ) -> Subscription:
        """Stream time [start, end) as if it were live, in one order over all topics, by a session of its own.

        ``speed``: 0.1 to 1,000, or 0: as fast as can be; ``source``: docs/replay.md. It ends with a `Missed` for each
        part that nobody has any more. The session is deleted when the subscription is closed. ReplayError replay.range,
        replay.empty, replay.speed, replay.no_worker … by the iteration.
        """
        past = Past(wanted(channels, symbols, exchanges), start, end, speed, source, with_prelude=True)
        return self._replay(past)

    def history(
        self,
        start: datetime,
        end: datetime,
        *,
        channels: Names,
        symbols: Names = (),
        exchanges: Names = (),
        source: str = "auto",
    ) -> Subscription:
        """The same as fast as can be and without what sets the scene: the records of the range alone."""
        asked = wanted(channels, symbols, exchanges)
        return self._replay(Past(asked, start, end, FULL_SPEED, source, with_prelude=False))

    async def latest(
        self, channel: str, symbol: str, *, exchange: str | None = None, timeframe: str | None = None
    ) -> Update | None:
        """The newest record of a channel, of that exchange, of candles of that timeframe; None where there is none."""
        asked = wanted(channel, symbol, () if exchange is None else exchange)
        return await self._source.latest(
            asked, lambda update: timeframe is None or getattr(update.record, "timeframe", None) == timeframe
        )

    async def aclose(self) -> None:
        """Close every subscription and the clients."""
        try:
            await asyncio.gather(*[one.aclose() for one in list(self._open)])
        finally:
            await self._source.close()

    async def __aenter__(self) -> OrchestratorInterface:
        """Itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closed."""
        await self.aclose()

    def _replay(self, past: Past) -> Subscription:
        session = self._source.replay(past)
        return self._subscription(session.open, None, session.end)

    def _subscription(
        self, open_: Open, cursor: str | None, end: Callable[[], Awaitable[None]] | None = None
    ) -> Subscription:
        async def ended(subscription: Subscription) -> None:
            self._open.discard(subscription)
            if end is not None:
                await end()

        made = Subscription(open_, cursor, ended)
        self._open.add(made)
        return made
