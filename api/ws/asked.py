"""What a client asks to subscribe to, as subscriptions; every part that can't be is told by itself. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from api.ws.channels import CHANNELS, Selection
from api.ws.protocol import Asked
from COBY.utils.exceptions import ValidationError

MAX_SUBSCRIPTIONS = 200


class Known(NamedTuple):
    """The names that may be asked for."""

    symbols: Collection[str]
    exchanges: Collection[str]
    timeframes: Collection[str]


class Answer(NamedTuple):
    """The subscriptions, and what can't be: (subscription or None, why)."""

    selections: list[Selection]
    refused: list[tuple[str | None, ValidationError]]


def subscriptions(asked: Iterable[Asked], known: Known, there: Collection[str]) -> Answer:
    """Subscriptions to begin; ``there``: names of those there are.

    Codes: ws.unknown_channel, .unknown_symbol, .unknown_exchange, .unknown_timeframe, .not_narrowed,
    .already_subscribed, .too_many_subscriptions.
    """
    answer = Answer([], [])
    names = set(there)
    for number, one in enumerate(asked):
        try:
            found = selections_of(one, known, f"channels[{number}]")
        except ValidationError as error:
            answer.refused.append((None, error))
            continue
        for selection in found:
            problem = _refusal(selection, names)
            if problem is not None:
                answer.refused.append((selection.name, problem))
                continue
            names.add(selection.name)
            answer.selections.append(selection)
    return answer


def _refusal(selection: Selection, names: set[str]) -> ValidationError | None:
    if selection.name in names:
        return ValidationError(
            "ws.already_subscribed", "it is there", where=selection.name, allowed="once each"
        )
    if len(names) >= MAX_SUBSCRIPTIONS:
        message = f"there are {len(names)}"
        allowed = f"{MAX_SUBSCRIPTIONS} a connection"
        return ValidationError("ws.too_many_subscriptions", message, where=selection.name, allowed=allowed)
    return None


def selections_of(asked: Asked, known: Known, where: str) -> list[Selection]:
    """One channel as asked for: a subscription for each symbol. The codes of `subscriptions` but the last two."""
    channel = CHANNELS.get(asked.name)
    if channel is None:
        raise _unknown("channel", asked.name, f"{where}.name", CHANNELS)
    narrowed = {"exchange": asked.exchanges, "timeframe": asked.timeframes}
    for name, values in narrowed.items():
        if values and channel.narrowed_by != name:
            message = f"{channel.name} has no {name}s"
            raise ValidationError(
                "ws.not_narrowed", message, where=f"{where}.{name}s", allowed="without them"
            )
    only = frozenset(narrowed.get(channel.narrowed_by or "", ()))
    for name, there in (("exchange", known.exchanges), ("timeframe", known.timeframes)):
        for value in narrowed[name]:
            if value not in there:
                raise _unknown(name, value, f"{where}.{name}s", there)
    if not channel.has_symbols:
        if asked.symbols:
            raise _unknown("symbol", asked.symbols[0], f"{where}.symbols", ("none",))
        return [Selection(channel, None, only)]
    symbols = known.symbols if asked.symbols is None else asked.symbols
    for symbol in symbols:
        if symbol not in known.symbols:
            raise _unknown("symbol", symbol, f"{where}.symbols", known.symbols)
    return [Selection(channel, symbol, only) for symbol in dict.fromkeys(symbols)]


def ended(asked: Iterable[Asked], there: Mapping[str, Selection]) -> Answer:
    """Subscriptions to end. ws.not_subscribed for one that is not there."""
    answer = Answer([], [])
    for number, one in enumerate(asked):
        of_channel = [selection for selection in there.values() if selection.channel.name == one.name]
        found = [
            selection for selection in of_channel if one.symbols is None or selection.symbol in one.symbols
        ]
        missing = set(one.symbols or ()) - {selection.symbol for selection in found}
        answer.selections.extend(selection for selection in found if selection not in answer.selections)
        if missing or not found:
            name = ":".join([one.name, *sorted(missing)[:1]])
            allowed = " ".join(there)[:500] or "none is there"
            problem = ValidationError(
                "ws.not_subscribed", f"no subscription {name}", where=f"channels[{number}]", allowed=allowed
            )
            answer.refused.append((name, problem))
    return answer


def _unknown(kind: str, value: str, where: str, allowed: Iterable[str]) -> ValidationError:
    codes = {
        "channel": "ws.unknown_channel",
        "symbol": "ws.unknown_symbol",
        "exchange": "ws.unknown_exchange",
        "timeframe": "ws.unknown_timeframe",
    }
    return ValidationError(codes[kind], f"no {kind} {value[:80]!r}", where=where, allowed=" ".join(allowed))
