"""`/_sim/…`: the ledger, the books and trades, and faults on demand. Not part of any exchange."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from simulator.errors import SimulatorError
from simulator.faults import CLOSE_CODE, STATUS, Faults
from simulator.hub import Hub, now_ms
from simulator.mishaps import KINDS, SECOND_US, Mishap
from simulator.runner import Runner
from simulator.sources import Source
from simulator.wire import Book, cut


class Instance(msgspec.Struct, frozen=True):
    """One simulated exchange: its connections and ledger, its market, its pace."""

    name: str
    hub: Hub
    source: Source
    runner: Runner
    faults: Faults


class Fault(msgspec.Struct, forbid_unknown_fields=True):
    """The body of `POST /_sim/fault`."""

    kind: str
    exchange: str | None = None
    symbol: str | None = None
    channel: str | None = None
    count: int = 1
    code: int | None = None
    seconds: float = 0.0

    def mishap(self) -> Mishap:
        """What it asks for; without a channel of frames, those of the book."""
        channel = "depth" if self.channel is None else self.channel
        code = STATUS.get(self.kind, CLOSE_CODE) if self.code is None else self.code
        lasts_us = round(self.seconds * SECOND_US)
        return Mishap(0, self.kind, self.symbol, channel, self.count, code, lasts_us)


SEQUENCE_DIGITS_MAX = 19
MOVES: dict[str, Callable[[Runner], None]] = {
    "pause": Runner.pause,
    "resume": Runner.resume,
    "stop": Runner.stop,
}


class Control:
    """Routes over all instances; without `exchange` a question goes to the first."""

    def __init__(self, instances: dict[str, Instance]) -> None:
        self._instances = instances

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_sim/ledger", self._ledger),
            web.get("/_sim/book", self._book),
            web.get("/_sim/trades", self._trades),
            web.post("/_sim/fault", self._fault),
            web.post("/_sim/{move:pause|resume|stop}", self._move),
        ]

    async def _ledger(self, request: web.Request) -> web.Response:
        return web.json_response(
            {
                "at_ms": now_ms(),
                "exchanges": {
                    name: {"market": one.source.kind, **one.hub.ledger.everything()}
                    for name, one in self._instances.items()
                },
            }
        )

    async def _book(self, request: web.Request) -> web.Response:
        """The book at present, sequence number and all. With `sequence`: as of then, however long ago that is;
        409 with the present one for a number that has not come yet or was before the first.
        """
        instance, symbol = self._named(request)
        book = instance.source.book(symbol)
        if book is None:
            raise SimulatorError("book_unknown", f"nothing is known of {symbol} yet")
        asked = request.query.get("sequence")
        if asked:
            then = await _book_at(instance.source, book, asked)
            if then is None:
                message = f"the book is at {book.sequence}, and was never at {asked}"
                return _error("simulator.sequence_unknown", message, 409, sequence=book.sequence)
            book = then
        return web.json_response(_written(instance.name, book, request.query.get("limit")))

    async def _trades(self, request: web.Request) -> web.Response:
        """All trades sent, oldest first; `complete` is false when more were sent than are kept."""
        instance, symbol = self._named(request)
        log = instance.hub.ledger.of(symbol)
        return web.json_response(
            {
                "exchange": instance.name,
                "symbol": symbol,
                "count": log.trades,
                "size": f"{log.trade_size:f}",
                "complete": len(log.kept) == log.trades,
                "trades": [msgspec.to_builtins(trade) for trade in log.kept],
            }
        )

    async def _fault(self, request: web.Request) -> web.Response:
        try:
            fault = msgspec.json.decode(await request.read(), type=Fault)
        except msgspec.MsgspecError as error:
            raise SimulatorError("fault_invalid", str(error), allowed=KINDS) from error
        instance, mishap = self._instance(fault.exchange), fault.mishap()
        instance.faults.check(mishap)
        effect = await instance.faults.deal(mishap)
        instance.hub.ledger.event("fault", now_ms(), kind=fault.kind, **effect)
        return web.json_response({"kind": fault.kind, "exchange": instance.name, **effect})

    async def _move(self, request: web.Request) -> web.Response:
        asked = request.query.get("exchange")
        moved = [self._instance(asked)] if asked else list(self._instances.values())
        for instance in moved:
            MOVES[request.match_info["move"]](instance.runner)
        return web.json_response({"exchanges": [instance.name for instance in moved]})

    def _named(self, request: web.Request) -> tuple[Instance, str]:
        instance = self._instance(request.query.get("exchange"))
        symbol = request.query.get("symbol") or instance.source.symbols[0]
        if symbol not in instance.source.symbols:
            raise SimulatorError("symbol_unknown", symbol, allowed=instance.source.symbols)
        return instance, symbol

    def _instance(self, name: str | None) -> Instance:
        if not name:
            return next(iter(self._instances.values()))
        if name not in self._instances:
            raise SimulatorError("exchange_unknown", name, allowed=self._instances)
        return self._instances[name]


@web.middleware
async def errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> Any:
    """A wrong question to `/_sim` is answered with its code, not with a trace."""
    try:
        return await handler(request)
    except SimulatorError as error:
        return _error(error.code, error.message, 400, error.allowed)


def _error(code: str, message: str, status: int, allowed: tuple[str, ...] = (), **more: Any) -> web.Response:
    body = {"code": code, "message": message, "allowed": list(allowed), **more}
    return web.json_response(body, status=status)


async def _book_at(source: Source, now: Book, asked: str) -> Book | None:
    if not (asked.isascii() and asked.isdecimal() and len(asked) <= SEQUENCE_DIGITS_MAX):
        raise SimulatorError("sequence_invalid", asked, allowed=["a whole number"])
    sequence = int(asked)
    if sequence == now.sequence:
        return now
    # An old one is made by running the market again from its start: not in the way of what is sent meanwhile.
    return await asyncio.to_thread(source.book_at, now.symbol, sequence)


def _written(exchange: str, book: Book, limit: str | None) -> dict[str, Any]:
    count = int(limit) if limit and limit.isdecimal() else max(len(book.bids), len(book.asks))
    return {
        "exchange": exchange,
        "symbol": book.symbol,
        "sequence": book.sequence,
        "bids": cut(book.bids, count),
        "asks": cut(book.asks, count),
    }
