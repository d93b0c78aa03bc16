"""Plays a conversation written by hand (tests/unit/fixtures): what a session sends and a decoder says, row by row.

A row is as in a recording (`dir`, `frame`, `url`), with what must follow from it: `events` of a frame or body, each
[name, fields in order], and `commands` other than messages, the same. `at`: seconds of the session's clock. `dir`
`meta` is a step of ours: `timer`, or `resync` of a symbol. Each `out` row is the next message sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from COBY.exchanges.base import Command, Connect, Endpoints, Exchange, Send

FIXTURES = Path(__file__).parent / "unit" / "fixtures"


def conversation(exchange: str, name: str) -> list[dict[str, Any]]:
    """Its rows."""
    lines = (FIXTURES / exchange / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def shown(values: Iterable[Any]) -> list[list[Any]]:
    """Events or commands as a row has them."""
    named = [[type(value).__name__, *msgspec.structs.astuple(value)] for value in values]
    return list(msgspec.json.decode(msgspec.json.encode(named)))


class Player:
    """One session and decoder, taken through the rows; AssertionError at the first that differs."""

    def __init__(self, exchange: Exchange, symbols: Mapping[str, str], endpoints: Endpoints) -> None:
        self._session = exchange.session(symbols, endpoints)
        self._decoder = exchange.decoder(symbols)
        self._unsent: list[Any] = []
        self._commands: list[list[Any]] = []

    def play(self, rows: list[dict[str, Any]]) -> int:
        """The number of events compared."""
        compared = 0
        for number, row in enumerate(rows, 1):
            if row["dir"] == "out":
                assert self._unsent, f"row {number}: nothing is sent"
                assert self._unsent.pop(0) == json.loads(row["frame"]), f"row {number}"
                continue
            assert not self._unsent, f"before row {number}: {self._unsent}"
            events = self._step(row)
            assert events == row.get("events", []), f"row {number}"
            assert self._commands == row.get("commands", []), f"row {number}"
            compared += len(events)
        assert not self._unsent
        return compared

    def _step(self, row: dict[str, Any]) -> list[list[Any]]:
        now, self._commands = row["at"], []
        if row["dir"] == "connect":
            assert self._session.connect() == Connect(row["url"])
            self._obey(self._session.opened(now))
        elif row["dir"] == "meta":
            self._obey(self._session.timer(now))
            if "resync" in row:
                self._obey(self._session.resync(row["resync"], "sequence_gap", now))
        else:
            frame = row["frame"].encode()
            self._obey(self._session.received(frame, now))
            return shown(self._decoder.decode(frame, "ws", None, None))
        return []

    def _obey(self, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, Send):
                self._unsent.append(json.loads(command.text))
            else:
                self._commands += shown([command])
