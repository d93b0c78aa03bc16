"""What there is: /v1/exchanges, /v1/symbols, /v1/status."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends

from api import live
from api.callers import require
from api.history.holes import NOT_LISTED
from api.ranges import documented_live, now_us, whole
from api.services import Services, services
from api.standing import books_of, slot_rows
from COBY.config import Config
from COBY.slots import slots_of

router = APIRouter(prefix="/v1", tags=["live"], dependencies=[require("read")])

Use = Annotated[Services, Depends(services)]
_WHOLE = {"complete": True, "gaps": [], "more_gaps": False}


def _named(*names: str) -> dict[str, Any]:
    return {"type": "object", "required": list(names)}


@router.get("/exchanges", responses=documented_live("All exchanges.", _named("exchange", "symbols", "slots")))
async def exchanges(use: Use) -> dict[str, Any]:
    """The exchanges that are read, each with its own names of our symbols (null: not listed there) and its slots."""
    data = []
    for name in use.cfg.exchanges:
        slots = slots_of(use.cfg, name)
        names = {symbol: own for slot in slots for own, symbol in slot.symbols.items()}
        listed = {symbol: None if own.startswith("!") else own for symbol, own in sorted(names.items())}
        data.append({"exchange": name, "symbols": listed, "slots": [slot.name for slot in slots]})
    return whole(data, _WHOLE)


@router.get(
    "/symbols", responses=documented_live("All symbols.", _named("symbol", "bucket_size", "exchanges"))
)
async def symbols(use: Use) -> dict[str, Any]:
    """The symbols that are followed, each with who lists it, and what its heatmap is made of.

    That is the height of a cell, how many of them a side, and milliseconds between ticks and between stored ticks.
    """
    listing: dict[str, list[str]] = {symbol: [] for symbol in use.cfg.symbols}
    for exchange in use.cfg.exchanges:
        for slot in slots_of(use.cfg, exchange):
            for own, symbol in slot.symbols.items():
                if not own.startswith("!"):
                    listing[symbol].append(exchange)
    data = [_symbol(use.cfg, symbol, sorted(listed)) for symbol, listed in listing.items()]
    return whole(data, _WHOLE)


@router.get("/status", responses=documented_live("All slots.", _named("exchange", "slot", "state", "books")))
async def status(use: Use) -> dict[str, Any]:
    """How each slot of each exchange stands: its connection, how old its last frame is, and its books with reasons.

    What was told more than 5 s ago is `unknown`: `told` then has what it was. `complete` is false, and `gaps` has the
    reason, while any book is not live.
    """
    prefix = use.cfg.topic_prefix
    slots = [slot for exchange in use.cfg.exchanges for slot in slots_of(use.cfg, exchange)]
    wanted = [(symbol, slot.exchange) for slot in slots for symbol in slot.symbols.values()]
    told = await live.statuses(use.redis, prefix)
    ticks = await live.all_newest(use.redis, prefix, "book", wanted)
    now = now_us()
    books = books_of(dict(zip(wanted, ticks, strict=True)), now)
    data = slot_rows(slots, told, books, now)
    gaps = [
        {
            "symbol": one["symbol"],
            "exchange": exchange,
            "from": one["timestamp"],
            "to": None,
            "reason": one["reason"],
        }
        for (_, exchange), one in books.items()
        if one["state"] != "live" and one["reason"] != NOT_LISTED
    ]
    return whole(data, {"complete": not gaps, "gaps": gaps, "more_gaps": False})


def _symbol(cfg: Config, symbol: str, exchanges: list[str]) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "bucket_size": f"{cfg.get_bucket_size(symbol):.2f}",
        "heatmap_depth": cfg.heatmap_depth,
        "tick_ms": cfg.update_frequency_us / 1_000,
        "store_interval_ms": cfg.store_interval_us / 1_000,
        "exchanges": exchanges,
    }
