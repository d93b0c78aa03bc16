"""API keys: how one is made and stored, and who a request comes from.

A key is 256 random bits. Stored is its SHA-256 alone: a slow hash is for what people choose themselves, and nobody
guesses one of 2^256; a quick one costs a request nothing. All keys are held in memory and read anew every
REFRESH_SECONDS, so that no request waits for the database, a wrong key costs no query, a revoked one is refused that
soon, and the first one of all closes that soon what was open without any. While the database is away the keys known
last go on for KNOWN_SECONDS: nobody could revoke one meanwhile.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import NamedTuple

import psycopg
from psycopg_pool import PoolTimeout

from COBY.runtime.database import AsyncPool
from COBY.utils.exceptions import ServiceError
from COBY.utils.logging import get_logger
from COBY.utils.timing import utc_now

SCOPES = ("read", "replay", "admin")
"""read: data; replay: sessions, which make topics and load; admin: both, and whatever else there will be."""
PREFIX = "coby_"
KEY_BYTES = 32
REFRESH_SECONDS = 5.0
LOOK_SECONDS = 0.1
"""An unknown key may have just been made: who sends one waits for the next look, and looks are so far apart."""
KNOWN_SECONDS = 3600.0

_READ = "SELECT hash, id, name, scopes, expires_at, revoked_at IS NULL FROM api_keys"
# Once a minute is enough to know, whatever the number of requests and processes.
_USED = (
    "UPDATE api_keys SET last_used_at = now()"
    " WHERE id = ANY(%s) AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')"
)

log = get_logger(__name__)


class Key(NamedTuple):
    """One stored key; times in UTC."""

    id: str
    name: str
    scopes: frozenset[str]
    expires_at: datetime | None


def make_key() -> str:
    """A new key, `coby_` and 43 characters."""
    return PREFIX + secrets.token_urlsafe(KEY_BYTES)


def hash_of(key: str) -> str:
    """What of a key is stored: 64 hexadecimal digits."""
    return hashlib.sha256(key.encode()).hexdigest()


class Keys:
    """The keys of the database, as known here."""

    def __init__(self, pool: AsyncPool) -> None:
        """Knows none before the first `refresh`."""
        self._pool = pool
        self._keys: Mapping[str, Key] = {}
        self._none = False
        self._read: float | None = None
        self._tried = -LOOK_SECONDS
        self._reading = asyncio.Lock()
        self._used: set[str] = set()

    @property
    def none(self) -> bool:
        """Whether it is known that there is no key, also none that was revoked. What has once been false stays so."""
        return self._none

    async def verify(self, text: str) -> Key | None:
        """The key of that text, None if there is none in force. ServiceError `api.keys_unknown`.

        The comparison is a look-up of a hash: how long it takes says nothing of the key.
        """
        hashed = hash_of(text)
        if hashed not in self._keys:
            await self._look()
        self._require_known()
        key = self._keys.get(hashed)
        if key is None or (key.expires_at is not None and key.expires_at <= utc_now()):
            return None
        self._used.add(key.id)
        return key

    def in_force(self, name_id: str) -> bool:
        """Whether the key of that id is still in force, as far as is known."""
        now = utc_now()
        found = next((key for key in self._keys.values() if key.id == name_id), None)
        return found is not None and (found.expires_at is None or found.expires_at > now)

    async def run(self) -> None:
        """Keep them fresh, and write down which were used, until cancelled."""
        while True:
            await self._try_refresh()
            await self._note_used()
            await asyncio.sleep(REFRESH_SECONDS)

    async def refresh(self) -> None:
        """Read all keys anew. psycopg.Error, PoolTimeout."""
        async with self._pool.connection() as connection:
            rows = await (await connection.execute(_READ)).fetchall()
        self._keys = {str(row[0]): _key(row) for row in rows if row[5]}
        if self._none and rows:
            log.warning("closed", reason="there is a key now: nothing is open without one any more")
        self._none = not rows and (self._none or self._read is None)
        self._read = monotonic()

    async def _look(self) -> None:
        """Read them unless somebody has begun to since this was called."""
        asked = monotonic()
        async with self._reading:
            if self._tried < asked:
                await asyncio.sleep(self._tried + LOOK_SECONDS - monotonic())
                await self._try_refresh()

    async def _try_refresh(self) -> None:
        self._tried = monotonic()
        try:
            await self.refresh()
        except (psycopg.Error, PoolTimeout) as error:
            log.warning("keys_not_read", error=str(error).strip())

    def _require_known(self) -> None:
        if self._read is None or monotonic() > self._read + KNOWN_SECONDS:
            message = "the database, which knows the keys, does not answer"
            raise ServiceError("api.keys_unknown", message)

    async def _note_used(self) -> None:
        used, self._used = self._used, set()
        if not used:
            return
        try:
            async with self._pool.connection() as connection:
                await connection.execute(_USED, [sorted(used)])
        except (psycopg.Error, PoolTimeout) as error:
            self._used |= used
            log.warning("use_of_keys_not_noted", error=str(error).strip())


def _key(row: tuple[object, ...]) -> Key:
    _, name_id, name, scopes, expires_at, _ = row
    assert isinstance(scopes, list)
    assert expires_at is None or isinstance(expires_at, datetime)
    return Key(str(name_id), str(name), frozenset(scopes), expires_at and expires_at.astimezone(UTC))
