"""What every request may use: one object a process, made once and passed down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import psycopg
from confluent_kafka.admin import AdminClient
from psycopg_pool import PoolTimeout
from starlette.requests import HTTPConnection

from api.closing import closed
from api.keys import Keys
from api.lags import Lags
from api.onlooker import Onlooker
from api.places import PAGES, Places
from api.replayed import Ranges
from COBY.config import Config
from COBY.replays.manager import KafkaReplayManager
from COBY.runtime.database import AsyncPool, make_async_pool
from COBY.runtime.kafka import admin
from COBY.runtime.metrics import Metrics
from COBY.runtime.redis import AsyncClient, make_async_client
from COBY.utils.logging import get_logger

STATEMENT_SECONDS = 10
"""A query that takes longer is ended: ranges are limited so that none has to."""
RETRY_SECONDS = 2.0
POOL_CONNECTIONS = 8
REDIS_CONNECTIONS = 32
OPEN, ON_LOOPBACK, NOBODY = frozenset({"read"}), frozenset({"read", "replay"}), frozenset[str]()

log = get_logger(__name__)


@dataclass(frozen=True)
class Services:
    """The settings, the clients of each server, and who may what. All of it is used in one event loop."""

    cfg: Config
    metrics: Metrics
    pool: AsyncPool
    redis: AsyncClient
    replays: KafkaReplayManager
    """Its calls block: `await asyncio.to_thread(services.replays.get_session, …)`."""
    ranges: Ranges
    kafka: AdminClient
    lags: Lags
    onlooker: Onlooker
    keys: Keys
    pages: Places

    @property
    def open_to(self) -> frozenset[str]:
        """The scopes that everyone has, without a key: by API_OPEN they may read.

        Without it, as long as there is no key at all, whoever is on this machine may read and replay.
        """
        if self.cfg.api_open:
            return OPEN
        return ON_LOOPBACK if self.keys.none else NOBODY


@asynccontextmanager
async def open_services(cfg: Config, metrics: Metrics, stop: asyncio.Event) -> AsyncIterator[Services]:
    """The services, closed at the end; connections are made when first needed.

    Without API_OPEN the database is waited for, which knows whether there are keys; ``stop`` ends that wait.
    """
    pool = make_async_pool(cfg, max_size=POOL_CONNECTIONS, statement_seconds=STATEMENT_SECONDS)
    redis = make_async_client(cfg, REDIS_CONNECTIONS)
    replays, lags, onlooker = KafkaReplayManager(cfg), Lags(cfg), Onlooker(cfg)
    ranges = Ranges(replays)
    try:
        await pool.open()
        keys = Keys(pool)
        if not cfg.api_open:
            await _read_keys(keys, stop)
        pages = Places(PAGES)
        yield Services(cfg, metrics, pool, redis, replays, ranges, admin(cfg), lags, onlooker, keys, pages)
    finally:
        await closed(
            database=pool.close(),
            redis=redis.aclose(),
            replays=_close_replays(ranges, replays),
            lags=asyncio.to_thread(lags.close),
            onlooker=asyncio.to_thread(onlooker.close),
        )


async def _close_replays(ranges: Ranges, replays: KafkaReplayManager) -> None:
    try:
        await ranges.close()
    finally:
        await asyncio.to_thread(replays.close)  # whoever waits for a worker does no longer


async def _read_keys(keys: Keys, stop: asyncio.Event) -> None:
    while not stop.is_set():
        try:
            await keys.refresh()
            return
        except (psycopg.Error, PoolTimeout) as error:
            # Nothing is served while nobody can be told from anybody.
            log.warning("waiting_for_keys", error=str(error).strip())
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RETRY_SECONDS)


def services(connection: HTTPConnection) -> Services:
    """The dependency of a route, HTTP or WebSocket: ``Annotated[Services, Depends(services)]``."""
    found: Services = connection.app.state.services
    return found
