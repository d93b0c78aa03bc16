"""Conversations with exchanges that answer by REST, too: `conversation.py` with bodies, what is asked first, bytes.

Besides its rows: a `connect` row may have `ask` ([url, method] of what is asked before) and `answer`; an `http` row is
a body, with `symbol` and `url`; `encoding` is base64 for a binary frame.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any

from COBY.exchanges.base import Ask, Connect
from tests.conversation import Player, shown


class RestPlayer(Player):
    """See `Player`."""

    def _step(self, row: dict[str, Any]) -> list[list[Any]]:
        self._commands = []
        if row["dir"] == "connect":
            self._connect(row)
            return []
        if row["dir"] == "http":
            return shown(self._decoder.decode(row["frame"].encode(), "http", row["symbol"], row["url"]))
        if row["dir"] == "in":
            frame = b64decode(row["frame"]) if row.get("encoding") else row["frame"].encode()
            self._obey(self._session.received(frame, row["at"]))
            return shown(self._decoder.decode(frame, "ws", None, None))
        return super()._step(row)

    def _connect(self, row: dict[str, Any]) -> None:
        answer = None
        if "ask" in row:
            assert self._session.connect() == Ask(*row["ask"])
            answer = row["answer"].encode()
        assert self._session.connect(answer) == Connect(row["url"])
        self._obey(self._session.opened(row["at"]))
