"""The dashboard's built files (`make dashboard`), served at `/` with a policy that lets nothing else in.

They are read once at start and held in memory, compressed too: a few hundred kilobytes. No path of a request ever
becomes a path of a file: what is not in the table is not there.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from fastapi import APIRouter, Request, Response

FOLDER = Path(__file__).parent / "dashboard"
"""Where `npm run build` writes, in a checkout and in a wheel."""
PAGES = ("/", "/quality", "/pipeline")
"""Addresses of one document: its script shows what belongs to each."""
LOGO_STYLE = "sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY="
"""The one style that lightweight-charts brings as an element: that of its attribution, which its licence asks for.
dashboard/tests/unit/policy.test.ts holds it against the library."""
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        f"style-src 'self' '{LOGO_STYLE}'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types default",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>COBY</title>
<h1>The dashboard is not built</h1>
<p>This is COBY's API. Its pictures come with <code>make dashboard</code> (Node.js 20.19 or newer) and a restart.</p>
<p>What there is without them: <a href="/openapi.json">/openapi.json</a>,
<a href="/asyncapi.json">/asyncapi.json</a>, <a href="/health/ready">/health/ready</a>.</p></html>
"""
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
UNCHANGING = "/assets/"
"""Below it names hold a hash of what is in them."""


class File(NamedTuple):
    """One answer. ``packed``: gzip."""

    body: bytes
    packed: bytes
    etag: str
    kind: str
    lasts: str


def read(folder: Path = FOLDER) -> dict[str, File]:
    """Path of a request -> what it is answered with; empty where nothing was built."""
    files = {
        f"/{path.relative_to(folder)}": _file(path) for path in folder.rglob("*") if path.suffix in TYPES
    }
    document = files.pop("/index.html", None)
    if document is None:
        return {}
    return dict.fromkeys(PAGES, document) | {
        name: file._replace(lasts="public, max-age=31536000, immutable")
        if name.startswith(UNCHANGING)
        else file
        for name, file in files.items()
    }


def make_router(files: Mapping[str, File]) -> APIRouter:
    """Routes of the files; open to everyone, as they hold no data."""
    router = APIRouter(include_in_schema=False)

    async def file(request: Request) -> Response:
        found = files.get(request.scope["path"])
        if found is not None:
            return _answer(found, request)
        if request.scope["path"] in PAGES:
            return Response(NOT_BUILT, 503, HEADERS | {"Cache-Control": "no-store"}, TYPES[".html"])
        return Response("no such file", 404, HEADERS, "text/plain")

    for path in (*PAGES, "/favicon.svg", "/assets/{name}"):
        router.add_api_route(path, file, methods=["GET", "HEAD"], name="dashboard", response_model=None)
    return router


def _answer(file: File, request: Request) -> Response:
    headers = HEADERS | {"Cache-Control": file.lasts, "ETag": file.etag, "Vary": "Accept-Encoding"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.body, headers=headers, media_type=file.kind)
    return Response(file.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=file.kind)


def _file(path: Path) -> File:
    body = path.read_bytes()
    # The same file has the same tag in each API process.
    etag = f'W/"{hashlib.sha256(body).hexdigest()[:16]}"'
    return File(body, gzip.compress(body, 9, mtime=0), etag, TYPES[path.suffix], "no-cache")
