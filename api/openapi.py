"""The OpenAPI document, made from the routes: what they say, and what every one of them may answer besides.

The document is served without a key: it holds no data, and whoever writes a client reads it first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from api.problems import MEDIA_TYPE, Mistake, Problem

VERSION = "3.1.0"
TITLE = "COBY"
DESCRIPTION = """\
Order books and trades of crypto exchanges: proven, aggregated into cross-exchange heatmaps and candles, replayable.

Times are RFC 3339 with an offset, or integer milliseconds; `from` is inclusive, `to` exclusive; answers are in UTC with
microseconds. Prices and sizes are decimal strings. What is missing is said: `meta.complete` and `meta.gaps`. Errors are
`application/problem+json` (RFC 9457). Every answer has an `X-Correlation-Id`: the one that was sent, or a new one; our
logs have it, too. Live data also come by WebSocket: `/asyncapi.json`.
"""
TAGS = {
    "live": "What is now.",
    "history": "What was: ranges, by pages, as JSON, Arrow or CSV.",
    "replay": "What was, as if it were live.",
    "operation": "How it goes.",
    "registry": "The topics' schemas, as Confluent's schema registry tells them.",
}
METHODS = ("get", "post", "patch", "put", "delete")
REFUSALS = {
    400: "What was sent is no request.",
    403: "The origin, the host or the key's scopes do not allow it.",
    408: "The body did not come.",
    413: "The body is too large.",
    422: "A parameter or the body does not fit; it is named.",
    429: "Too many requests; Retry-After says when there is room again.",
    503: "Something that the answer needs is away.",
}
"""Status -> what it means, for every operation."""
KEYLESS = {401: "A key is missing, or the one sent is not in force."}
NOT_FOUND = {404: "No such symbol, exchange, session or group."}
NOT_ACCEPTABLE = {406: "None of the formats of the Accept header is there."}
CONFLICT: dict[int | str, dict[str, Any]] = {409: {"description": "The session is in no state for this."}}
_UNUSED = ("HTTPValidationError", "ValidationError")


def document(app: FastAPI) -> dict[str, Any]:
    """The document of an app's routes, as JSON has it."""
    made = get_openapi(
        title=TITLE,
        version=app.version,
        openapi_version=VERSION,
        description=DESCRIPTION,
        routes=app.routes,
        tags=[{"name": name, "description": text} for name, text in TAGS.items()],
    )
    schemas = made.setdefault("components", {}).setdefault("schemas", {})
    for name in _UNUSED:
        schemas.pop(name, None)
    for model in (Problem, Mistake):
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        schema.pop("$defs", None)
        schemas[model.__name__] = schema
    for operation in operations(made):
        _complete(operation)
    return made


def operations(made: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Each operation of a document."""
    for path in made["paths"].values():
        yield from (path[method] for method in METHODS if method in path)


def operation_id(route: APIRoute) -> str:
    """The name of the route's function: short, and what a generated client calls its method."""
    return route.name


def _complete(operation: dict[str, Any]) -> None:
    told = REFUSALS | (KEYLESS if "security" in operation else {})
    if operation.get("parameters"):
        told |= NOT_FOUND
    answers = operation["responses"]
    if len(answers.get("200", {}).get("content", {})) > 1:
        told |= NOT_ACCEPTABLE
    for status, text in told.items():
        former = answers.get(str(status))
        if former is None or "HTTPValidationError" in str(former):
            answers[str(status)] = problem_answer(text)
    for status, answer in answers.items():
        if int(status) >= 400 and "content" not in answer:
            answer["content"] = problem_answer("")["content"]
        answer.setdefault("headers", {})["X-Correlation-Id"] = {"schema": {"type": "string"}}
    answers["429"]["headers"]["Retry-After"] = {"schema": {"type": "integer"}}
    operation["responses"] = dict(sorted(answers.items()))


def problem_answer(text: str) -> dict[str, Any]:
    """An answer that is a problem, for `responses` of a route."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {MEDIA_TYPE: {"schema": schema}}}
