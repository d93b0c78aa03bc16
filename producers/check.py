"""`coby check-exchange`: one connection to an exchange, without Kafka, and whether it keeps the rules."""

from __future__ import annotations

import asyncio
import os
import platform
import random
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from uuid import uuid4

import aiohttp
import click

from COBY.config import Config, load_config
from COBY.exchanges import load
from COBY.exchanges.base import Endpoints, Exchange, Slot, slots
from COBY.slots import NOT_LISTED
from COBY.utils.exceptions import ConfigurationError, ExchangeError
from COBY.utils.timing import WallClock, format_us
from producers.__main__ import endpoints
from producers.connection import Connection, Wiring
from producers.rest import Rest
from producers.rules import FAILED, Finding, Seen, findings
from producers.watch import Looking, Watch

TURN_SECONDS = 0.1
TURNS_PER_TICK = 5


@click.command(name="check-exchange")
@click.argument("name", metavar="EXCHANGE")
@click.option(
    "--symbol",
    "symbols",
    multiple=True,
    help="Canonical, as BTCUSDT; several times for several.  [default: SYMBOLS]",
)
@click.option(
    "--seconds", type=click.IntRange(1, 3600), default=30, show_default=True, help="How long to listen."
)
@click.option("--ws-url", help="Where its WebSocket is.  [default: <EXCHANGE>_WS_URL, or its own]")
@click.option("--rest-url", help="Where its REST is.  [default: <EXCHANGE>_REST_URL, or its own]")
def check_exchange(
    name: str, symbols: tuple[str, ...], seconds: int, ws_url: str | None, rest_url: str | None
) -> None:
    """Connect to an exchange, subscribe, listen, and say of each rule whether it holds. Needs no server of ours.

    The output is made to be pasted into a report. Exit code 1 if a rule failed.

    \b
    Example:
      coby check-exchange "$EXCHANGES" --symbol BTCUSDT --seconds 30
    """
    cfg = _settings(name, ws_url, rest_url)
    exchange = load(name)
    where = endpoints(cfg, exchange)
    slot = _slot(cfg, exchange, symbols or cfg.symbols)
    for line in _head(name, slot, where, seconds):
        click.echo(line)
    found = asyncio.run(examine(exchange, slot, where, seconds))
    for finding in found:
        click.echo(finding.line())
    failed = [finding.rule for finding in found if finding.state == FAILED]
    click.echo(f"failed: {', '.join(failed)}" if failed else "all rules hold")
    sys.exit(1 if failed else 0)


async def examine(
    exchange: Exchange,
    slot: Slot,
    where: Endpoints,
    seconds: float,
    enough: Callable[[Watch], bool] = lambda _watch: False,
) -> list[Finding]:
    """Listen on one connection for so long, or until it ends or has shown ``enough``; what was found."""
    async with aiohttp.ClientSession(trust_env=True) as http:
        return await _listen(exchange, slot, where, Rest(http, random.random), seconds, enough)


async def _listen(
    exchange: Exchange,
    slot: Slot,
    where: Endpoints,
    rest: Rest,
    seconds: float,
    enough: Callable[[Watch], bool],
) -> list[Finding]:
    clock = WallClock()
    watch = Watch(exchange, slot, time.monotonic)
    acknowledged: dict[tuple[str, str], float] = {}
    names = {name: symbol for name, symbol in slot.symbols.items() if not name.startswith("!")}
    wiring = Wiring(
        Looking(clock),
        rest,
        watch.take,
        lambda: acknowledged.update(
            dict.fromkeys(connection.acknowledged - acknowledged.keys(), watch.seconds)
        ),
        clock.now_seconds,
    )
    connection = Connection(f"{slot.name}-{uuid4().hex[:12]}", slot, exchange.session(names, where), wiring)

    def seen(opened: float, *, unreachable: str | None = None, ended: str | None = None) -> Seen:
        known = (dict(acknowledged), dict(connection.refused), watch.live(), watch.seconds - opened)
        return Seen(connection.url, opened, unreachable, ended, *known)

    try:
        await connection.open()
    except ExchangeError as error:
        return findings(exchange, watch, seen(watch.seconds, unreachable=error.detail()))
    opened = watch.seconds
    reader = asyncio.create_task(connection.run())
    await connection.start()
    await _follow(
        connection, watch, reader, clock, lambda: watch.seconds >= opened + seconds or enough(watch)
    )
    result = seen(opened, ended=reader.result() if reader.done() else None)
    watch.is_over = True
    await connection.close("checked")
    await reader
    return findings(exchange, watch, result)


async def _follow(
    connection: Connection,
    watch: Watch,
    reader: asyncio.Task[str],
    clock: WallClock,
    is_over: Callable[[], bool],
) -> None:
    """Serve the requests for snapshots, judge the books at each tick, until it is over or the connection ends."""
    turn = 0
    while not is_over() and not reader.done():
        await asyncio.wait([reader], timeout=TURN_SECONDS)
        asked, watch.resyncs = watch.resyncs, []
        for one in asked:
            age_us = clock.now_us() - one.timestamp
            await connection.resync(one.symbol, one.reason, max(0.0, age_us / 1e6))
        turn += 1
        if turn % TURNS_PER_TICK == 0 and not reader.done():
            watch.tick(clock.now_us())


def _settings(name: str, ws_url: str | None, rest_url: str | None) -> Config:
    """The environment's, with this exchange and these addresses. ConfigurationError."""
    own = {f"{name.upper()}_WS_URL": ws_url, f"{name.upper()}_REST_URL": rest_url}
    return load_config({**os.environ, "EXCHANGES": name, **{key: url for key, url in own.items() if url}})


def _slot(cfg: Config, exchange: Exchange, symbols: tuple[str, ...]) -> Slot:
    """All symbols on one connection. ConfigurationError ``config.invalid`` for too many, or none listed."""
    named = {
        symbol: cfg.exchange_symbol(exchange.name, symbol) or exchange.exchange_symbol(symbol)
        for symbol in symbols
    }
    listed: dict[str, str | None] = {symbol: name for symbol, name in named.items() if name != NOT_LISTED}
    if not 0 < len(listed) <= exchange.symbols_per_slot:
        allowed = f"1 to {exchange.symbols_per_slot}, which share a connection"
        raise ConfigurationError(
            "config.invalid", f"{len(listed)} symbols", where="--symbol", allowed=allowed
        )
    (slot,) = slots(exchange, listed, 1)
    return slot


def _head(name: str, slot: Slot, where: Endpoints, seconds: int) -> list[str]:
    symbols = ", ".join(f"{symbol} as {own}" for own, symbol in slot.symbols.items())
    return [
        f"coby {version('coby')} check-exchange {name}, {format_us(time.time_ns() // 1000)}, {seconds} s",
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        f"WebSocket {where.ws_url}, REST {where.rest_url}",
        f"symbols {symbols}",
    ]
