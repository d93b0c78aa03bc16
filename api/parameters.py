"""Parameters of a query that a route does not have, or that come twice: refused. Passed over in silence, a `limt` or
`form` gives another answer than was asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from COBY.utils.exceptions import ValidationError
from COBY.utils.logging import mask

SHOWN = 64
"""Characters of a name that are told."""
Known = Mapping[tuple[str, str], Mapping[str, bool]]
"""(method, path) -> the parameters of its query -> whether one may come several times."""


def known(made: Mapping[str, Any]) -> Known:
    """What an OpenAPI document knows, of our own paths: those of the registry and of health are others' to call."""
    return {
        (method.upper(), path): {
            one["name"]: _is_list(one["schema"])
            for one in operation.get("parameters", ())
            if one["in"] == "query"
        }
        for path, item in made["paths"].items()
        if path.startswith("/v1/")
        for method, operation in item.items()
    }


def _is_list(schema: Mapping[str, Any]) -> bool:
    return any(one.get("type") == "array" for one in schema.get("anyOf", (schema,)))


async def check(request: Request) -> None:
    """A dependency of every route. ValidationError `api.unknown_parameter`, `api.repeated_parameter`."""
    there = request.app.state.parameters.get((request.method, request.scope["route"].path))
    if there is None:
        return
    counts = Counter(name for name, _ in request.query_params.multi_items())
    for name, count in counts.items():
        where = f"query.{mask(name)[:SHOWN]}"
        if name not in there:
            allowed = ", ".join(sorted(there)) or "none"
            raise ValidationError(
                "api.unknown_parameter", "it has no such parameter", where=where, allowed=allowed
            )
        if count > 1 and not there[name]:
            raise ValidationError(
                "api.repeated_parameter", f"it came {count} times", where=where, allowed="once"
            )
