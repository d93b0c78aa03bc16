"""`coby symbols`: what exchanges list for trading, from their own lists."""

from __future__ import annotations

import asyncio
import os
import random
import sys

import aiohttp
import click

from COBY.config import Config, load_config
from COBY.exchanges import load
from COBY.utils.exceptions import ExchangeError
from producers.__main__ import endpoints
from producers.rest import REQUEST_SECONDS, Rest


@click.command()
@click.argument("name", metavar="[EXCHANGE]", required=False)
@click.option("--match", default="", help="Only symbols that hold this text, by either name, in any case.")
def symbols(name: str | None, match: str) -> None:
    """List what an exchange has for trading, or each of EXCHANGES: exchange, symbol, the exchange's own name.

    \b
    Example:
      coby symbols --match btc
    """
    cfg = load_config({**os.environ, "EXCHANGES": name} if name else None)
    failed = False
    for exchange, found in asyncio.run(listings(cfg)).items():
        if isinstance(found, ExchangeError):
            click.echo(f"{exchange}: {found.detail()}", err=True)
            failed = True
            continue
        for symbol, own in sorted(found.items()):
            if match.lower() in symbol.lower() or match.lower() in own.lower():
                click.echo(f"{exchange:10} {symbol:16} {own}")
    sys.exit(1 if failed else 0)


async def listings(cfg: Config) -> dict[str, dict[str, str] | ExchangeError]:
    """Of each of EXCHANGES: symbol -> exchange symbol, or why that is not known."""
    async with aiohttp.ClientSession(trust_env=True) as http:
        rest = Rest(http, random.random)
        found = await asyncio.gather(*(_listing(cfg, name, rest) for name in cfg.exchanges))
    return dict(zip(cfg.exchanges, found, strict=True))


async def _listing(cfg: Config, name: str, rest: Rest) -> dict[str, str] | ExchangeError:
    exchange = load(name)
    url = exchange.listing(endpoints(cfg, exchange).rest_url)
    try:
        return exchange.listed(await rest.ask(url, seconds=REQUEST_SECONDS))
    except ExchangeError as error:
        return error
    except ValueError as error:
        return ExchangeError("exchange.unusable_answer", str(error), where=url)
