"""The read side of Confluent's schema registry, for stock deserializers: `schema.registry.url=http://<host>:<API_PORT>`.

Paths, bodies and error codes are Confluent's
(https://docs.confluent.io/platform/current/schema-registry/develop/api.html), and its own error form instead of a
problem. Clients of a registry send a key as the password of `basic.auth.user.info=<anything>:<key>`. What a client may
ask for beside (`normalize`, `deleted`, `format`) changes nothing here: nothing is ever deleted or registered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from api.callers import require
from api.openapi import REFUSALS, problem_answer
from api.problems import status_of
from api.registry import COMPATIBILITY, SchemaRegistry
from api.services import Services, services
from COBY.utils.exceptions import CobyError

MEDIA_TYPE = "application/vnd.schemaregistry.v1+json"
ERROR_CODES = {
    "registry.unknown_subject": 40401,
    "registry.unknown_version": 40402,
    "registry.unknown_schema": 40403,
    "registry.invalid_schema": 42201,
    "registry.invalid_version": 42202,
}
"""Ours -> the registry's, whose first three digits are the HTTP status; of any other error its status is the code."""
ID_MAX = 2**31 - 1


class RegistryAnswer(JSONResponse):
    """JSON under the registry's own media type."""

    media_type = MEDIA_TYPE


class RegistryError(BaseModel):
    """An error as the registry tells it."""

    error_code: int = Field(description="The registry's code.", examples=[40403])
    message: str = Field(description="What happened.", examples=["Schema 99 not found"])


class SchemaText(BaseModel):
    """A schema."""

    schema_: str = Field(alias="schema", description="The Avro schema as JSON text.")


class SubjectVersion(BaseModel):
    """Where a schema belongs."""

    subject: str = Field(examples=["coby.trade.v1-value"])
    version: int = Field(examples=[1])


class RegisteredSchema(SubjectVersion, SchemaText):
    """One version of a subject."""

    id: int = Field(description="The id on the wire.", examples=[1])


class Compatibility(BaseModel):
    """How a schema may change."""

    compatibilityLevel: str = Field(examples=[COMPATIBILITY])  # noqa: N815 - the registry's word


class Mode(BaseModel):
    """What may be done here."""

    mode: str = Field(description="READONLY: nothing can be registered.", examples=["READONLY"])


class RegistryRoute(APIRoute):
    """A route whose errors are told in the registry's form."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, its errors turned."""
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except CobyError as error:
                return _told(ERROR_CODES.get(error.code) or status_of(error.code), error.detail())
            except RequestValidationError as error:
                first = error.errors()[0]
                return _told(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")

        return answer


def _told(code: int, message: str) -> Response:
    status = code // 100 if code >= 1_000 else code
    headers = {"WWW-Authenticate": 'Basic realm="coby", Bearer'} if status == 401 else None
    return RegistryAnswer({"error_code": code, "message": message}, status, headers)


@cache
def _registry(prefix: str) -> SchemaRegistry:
    return SchemaRegistry(prefix)


def registry(found: Annotated[Services, Depends(services)]) -> SchemaRegistry:
    """The dependency: what the topics of this process have for schemas."""
    return _registry(found.cfg.topic_prefix)


Known = Annotated[SchemaRegistry, Depends(registry)]
Id = Annotated[int, Path(alias="id", ge=0, le=ID_MAX, description="The id on the wire.", examples=[1])]
Subject = Annotated[str, Path(description="A topic's name and `-value`.", examples=["coby.trade.v1-value"])]
Version = Annotated[str, Path(description="1, 2, 3 … or `latest`.", examples=["latest"])]

router = APIRouter(
    tags=["registry"],
    route_class=RegistryRoute,
    default_response_class=RegistryAnswer,
    dependencies=[require("read")],
    responses={
        401: {"model": RegistryError, "description": "No key, or none that is in force."},
        # Problems are the guard's (origin, host), and the router's (no such path).
        403: problem_answer(REFUSALS[403]) | {"model": RegistryError},
        404: problem_answer("There is no such schema, subject or version.") | {"model": RegistryError},
        503: problem_answer(REFUSALS[503]) | {"model": RegistryError},
        422: {"model": RegistryError, "description": "A parameter that can't be; it is named."},
    },
)


@router.get("/schemas/ids/{id}")
async def schema_by_id(number: Id, known: Known) -> SchemaText:
    """The schema that records with this id were written with, former ones included."""
    return SchemaText(schema=known.by_id(number).schema)


@router.get("/schemas/ids/{id}/versions")
async def versions_of_id(number: Id, known: Known) -> list[SubjectVersion]:
    """Which version of which subject an id is."""
    found = known.by_id(number)
    return [SubjectVersion(subject=found.subject, version=found.version)]


@router.get("/schemas/types")
async def schema_types() -> list[str]:
    """The kinds of schemas."""
    return ["AVRO"]


@router.get("/subjects")
async def subjects(known: Known) -> list[str]:
    """Every subject, sorted."""
    return list(known.subjects)


@router.get("/subjects/{subject}/versions")
async def versions_of_subject(subject: Subject, known: Known) -> list[int]:
    """The versions of a subject."""
    return [found.version for found in known.versions(subject)]


@router.get("/subjects/{subject}/versions/{version}")
async def version_of_subject(subject: Subject, version: Version, known: Known) -> RegisteredSchema:
    """One version of a subject, with its id and schema."""
    return RegisteredSchema(**known.version(subject, version)._asdict())


@router.get("/subjects/{subject}/versions/{version}/schema")
async def schema_of_version(subject: Subject, version: Version, known: Known) -> dict[str, Any]:
    """The schema of one version, by itself."""
    found: dict[str, Any] = json.loads(known.version(subject, version).schema)
    return found


@router.post("/subjects/{subject}")
async def look_up_schema(subject: Subject, asked: SchemaText, known: Known) -> RegisteredSchema:
    """Which version of a subject a schema is, however it is written; nothing is registered."""
    return RegisteredSchema(**known.lookup(subject, asked.schema_)._asdict())


@router.get("/config")
async def compatibility() -> Compatibility:
    """How schemas may change here."""
    return Compatibility(compatibilityLevel=COMPATIBILITY)


@router.get("/mode")
async def registry_mode() -> Mode:
    """What may be done here."""
    return Mode(mode="READONLY")
