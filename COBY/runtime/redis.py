"""Redis: the client made from Config, and the names of our keys, which the sink writes and the API reads.

Redis is a cache: everything in it comes from topics and can be lost at any time.
"""

from __future__ import annotations

import redis
import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry

from COBY.config import Config
from COBY.utils.exceptions import StorageError

TIMEOUT_SECONDS = 5.0
_FULL = "command not allowed when used memory"
_BROKEN_DISK = "MISCONF"
_PASSING = (
    redis.OutOfMemoryError,
    redis.ReadOnlyError,
    redis.exceptions.MasterDownError,
    redis.exceptions.TryAgainError,
)

Client = redis.Redis
AsyncClient = redis.asyncio.Redis


def make_client(cfg: Config) -> Client:
    """A client that connects when first used; every answer within five seconds, else redis.TimeoutError."""
    return redis.Redis.from_url(
        cfg.get_redis_url(),
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_keepalive=True,
        health_check_interval=15,
        # Errors come to the one place of retries, which stays in its consumer group meanwhile.
        retry=Retry(NoBackoff(), 0),
    )


def make_async_client(cfg: Config, max_connections: int) -> AsyncClient:
    """The same for asyncio, with at most so many connections; a command waits up to five seconds for a free one."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        cfg.get_redis_url(),
        max_connections=max_connections,
        timeout=TIMEOUT_SECONDS,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        socket_keepalive=True,
        health_check_interval=15,
        retry=AsyncRetry(NoBackoff(), 0),
    )
    return redis.asyncio.Redis.from_pool(pool)


def require_redis(cfg: Config, client: Client) -> None:
    """StorageError `redis.unreachable` unless Redis answers."""
    try:
        client.ping()
    except redis.RedisError as error:
        raise StorageError(
            "redis.unreachable",
            str(error) or type(error).__name__,
            where=f"{cfg.redis_host}:{cfg.redis_port}",
            allowed="a Redis that answers (REDIS_HOST, REDIS_PORT, REDIS_PASSWORD, REDIS_TLS)",
        ) from error


def latest_key(prefix: str, channel: str, *parts: str) -> str:
    """`<prefix>:latest:<channel>:<symbol>[:<exchange>]`; of candles `:<symbol>:<timeframe>`, of status the slot.

    A string: JSON of the newest record. ``channel`` is a topic's name without prefix and version.
    """
    return ":".join((prefix, "latest", channel, *parts))


def feed_key(prefix: str, channel: str, symbol: str) -> str:
    """`<prefix>:feed:<channel>:<symbol>`: a capped stream; each entry's field `value` is JSON of one record."""
    return f"{prefix}:feed:{channel}:{symbol}"


def positions_key(prefix: str, topic: str, partition: int) -> str:
    """`<prefix>:positions:<topic>:<partition>`: a hash, newest position written by (key, source); the sink's own."""
    return f"{prefix}:positions:{topic}:{partition}"


def built_key(prefix: str) -> str:
    """`<prefix>:built`: a hash with a field per `<topic>/<partition>` whose tail is here; gone after a flush."""
    return f"{prefix}:built"


def is_passing(error: redis.RedisError) -> bool:
    """Whether the same command may succeed a little later: no connection, no memory, still loading, read-only."""
    if not isinstance(error, redis.ResponseError) or isinstance(error, _PASSING):
        return True
    return _FULL in str(error) or _BROKEN_DISK in str(error)
