"""The two apps of a process: REST on API_PORT and WebSocket on WS_PORT."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pkgutil import iter_modules

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute

from api import built, parameters, routes
from api.guard import Guard
from api.openapi import TITLE, document, operation_id
from api.problems import HANDLERS
from api.routes.health import router as health_router
from api.services import Services
from api.ws.route import router as ws_router
from api.ws.sockets import Sockets


def make_app(services: Services, sockets: Sockets | None = None) -> FastAPI:
    """Every route of api/routes, and the dashboard, as `uvicorn` serves it; without ``sockets`` no WebSocket."""
    app = _bare(services, sockets, [*routers(), built.make_router(built.read())], title=TITLE)
    app.state.parameters = _parameters()
    for route in app.state.routes:
        for method in route.methods or ():
            services.metrics.init_route(method, route.path)
    return app


def routers() -> Iterator[APIRouter]:
    """Each `router` of api/routes, by the names of their files."""
    for module in sorted(iter_modules(routes.__path__), key=lambda module: module.name):
        yield import_module(f"{routes.__name__}.{module.name}").router


@cache
def _parameters() -> parameters.Known:
    """What the document has, which is the same for every app of a process."""
    app = FastAPI(openapi_url=None)
    for part in routers():
        app.include_router(part)
    return parameters.known(document(app))


def make_ws_app(services: Services, sockets: Sockets) -> FastAPI:
    """What is served on WS_PORT: the WebSocket, and health."""
    return _bare(services, sockets, [health_router], title=f"{TITLE} WebSocket")


def _bare(services: Services, sockets: Sockets | None, parts: list[APIRouter], title: str) -> FastAPI:
    app = FastAPI(
        title=title,
        version="1",
        docs_url=None,  # both pages load their scripts from elsewhere
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
        generate_unique_id_function=operation_id,
        exception_handlers=HANDLERS,
    )
    app.state.services, app.state.sockets = services, sockets
    app.state.routes = [route for part in parts for route in part.routes if isinstance(route, APIRoute)]
    app.state.parameters = {}
    for part in parts:
        app.include_router(part, dependencies=[Depends(parameters.check)])
    if sockets is not None:
        app.include_router(ws_router)
    app.add_middleware(Guard, services=services)
    return app
