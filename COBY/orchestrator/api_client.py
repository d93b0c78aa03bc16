"""HTTP and WebSocket to the API (`docs/api.md`), errors as they were there."""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec

from COBY.utils.exceptions import CobyError, ServiceError, error_of

CONNECT_SECONDS = 10.0
ANSWER_SECONDS = 60.0
"""An order to a replay session may wait half a minute for its worker."""
SILENCE_SECONDS = 10.0
"""There is a heartbeat each second: a connection that is silent for so long is dead."""
MAX_MESSAGE_BYTES = 64 * 1024 * 1024


class Connection:
    """One WebSocket. Reads no further than it is asked to, so a slow reader is slow to the server, too."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Made by `Client.connect`."""
        self._socket = socket

    async def send(self, **operation: Any) -> None:
        """One operation. ServiceError `api.closed`."""
        try:
            await self._socket.send_str(msgspec.json.encode(operation).decode())
        except (aiohttp.ClientError, ConnectionError) as error:
            raise ServiceError("api.closed", str(error) or "the connection broke") from error

    async def receive(self) -> dict[str, Any]:
        """The next message. ServiceError `api.closed`: the connection is at its end, or silent."""
        try:
            message = await self._socket.receive(SILENCE_SECONDS)
        except TimeoutError as error:
            raise ServiceError("api.closed", f"nothing came for {SILENCE_SECONDS:g} s") from error
        if message.type is not aiohttp.WSMsgType.TEXT:
            raise ServiceError("api.closed", f"closed by the server ({self._socket.close_code})")
        found: dict[str, Any] = msgspec.json.decode(message.data)
        return found

    async def close(self) -> None:
        """End it."""
        await self._socket.close()


class Client:
    """Of one API. Errors: ServiceError `api.unreachable`, and those that the API answers with."""

    def __init__(self, url: str, key: str | None) -> None:
        """Connects when first used."""
        self._url = url.rstrip("/")
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._opened: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """End its connections."""
        if self._opened is not None:
            await self._opened.close()

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON of an answer; None of one without."""
        try:
            async with self._session().request(method, self._url + path, json=body) as answer:
                content = await answer.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error
        if answer.status >= 400:
            raise _problem(answer.status, content)
        return msgspec.json.decode(content) if content else None

    async def connect(self) -> Connection:
        """A WebSocket."""
        try:
            socket = await self._session().ws_connect(
                f"{self._url}/v1/ws",
                max_msg_size=MAX_MESSAGE_BYTES,
                timeout=aiohttp.ClientWSTimeout(ws_close=CONNECT_SECONDS),
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status in (401, 403):
                code = "api.key_wrong" if error.status == 401 else "api.scope"
                raise ServiceError(code, f"the API refused the connection ({error.status})") from error
            raise self._unreachable(error) from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from error
        return Connection(socket)

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            timeout = aiohttp.ClientTimeout(ANSWER_SECONDS, sock_connect=CONNECT_SECONDS)
            self._opened = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        return self._opened

    def _unreachable(self, error: Exception) -> ServiceError:
        text = str(error) or type(error).__name__
        return ServiceError("api.unreachable", text, where=self._url, allowed="an API that answers")


def _problem(status: int, content: bytes) -> CobyError:
    """What the API answered (RFC 9457)."""
    try:
        told = msgspec.json.decode(content)
        return error_of(
            told["code"],
            told.get("detail") or told["title"],
            where=told.get("where"),
            allowed=told.get("allowed"),
        )
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError):
        return ServiceError("api.unreachable", f"status {status}, and no problem+json")
