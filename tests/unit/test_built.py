"""The dashboard's files over HTTP: their types, headers and forms; nothing but what was built."""

import gzip

import httpx
import pytest
from fastapi import FastAPI

from api import built

SCRIPT = "console.log('Größe')\n" * 50


@pytest.fixture
def folder(tmp_path):
    """A build as Vite makes it, with a file beside it that is none of ours to show."""
    (tmp_path / "dist" / "assets").mkdir(parents=True)
    (tmp_path / "dist" / "index.html").write_text("<!doctype html><title>COBY</title>")
    (tmp_path / "dist" / "favicon.svg").write_text("<svg/>")
    (tmp_path / "dist" / "assets" / "index-1a2b.js").write_text(SCRIPT)
    (tmp_path / "secret.js").write_text("secret")
    return tmp_path / "dist"


def client(files):
    app = FastAPI(openapi_url=None)
    app.include_router(built.make_router(files))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


async def test_each_page_is_the_same_document_under_a_policy_without_exceptions(folder):
    async with client(built.read(folder)) as http:
        for path in built.PAGES:
            answer = await http.get(path, params={"symbol": "BTCUSDT"})
            assert (answer.status_code, answer.text) == (200, "<!doctype html><title>COBY</title>")
            assert answer.headers["Cache-Control"] == "no-cache"
            policy = answer.headers["Content-Security-Policy"]
            assert "unsafe" not in policy
            assert "http" not in policy
            assert "*" not in policy
            assert policy.startswith("default-src 'none'; script-src 'self';")


async def test_assets_are_kept_for_ever_and_sent_compressed_to_those_who_take_it(folder):
    async with client(built.read(folder)) as http:
        packed = await http.get("/assets/index-1a2b.js")
        assert (packed.headers["Content-Encoding"], packed.text) == ("gzip", SCRIPT)
        assert int(packed.headers["Content-Length"]) < 200
        assert packed.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        plain = await http.get("/assets/index-1a2b.js", headers={"Accept-Encoding": "identity"})
        assert ("Content-Encoding" in plain.headers, plain.text) == (False, SCRIPT)
        assert plain.headers["Content-Type"] == "text/javascript; charset=utf-8"


async def test_what_has_not_changed_is_not_sent_again(folder):
    async with client(built.read(folder)) as http:
        first = await http.get("/")
        again = await http.get("/", headers={"If-None-Match": first.headers["ETag"]})
        assert (again.status_code, again.content) == (304, b"")
        (folder / "index.html").write_text("<!doctype html><title>newer</title>")
    async with client(built.read(folder)) as http:
        newer = await http.get("/", headers={"If-None-Match": first.headers["ETag"]})
        assert newer.text == "<!doctype html><title>newer</title>"


@pytest.mark.parametrize(
    "path", ["/assets/..%2fsecret.js", "/assets/%2e%2e/secret.js", "/assets/other.js", "/assets/"]
)
async def test_nothing_else_of_the_disk_is_shown(folder, path):
    async with client(built.read(folder)) as http:
        answer = await http.get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text


async def test_where_it_is_not_built_a_plain_page_says_how(tmp_path):
    async with client(built.read(tmp_path)) as http:
        answer = await http.get("/quality")
        assert answer.status_code == 503
        assert "make dashboard" in answer.text
        assert (await http.get("/assets/index.js")).status_code == 404


def test_compressed_files_are_the_files(folder):
    file = built.read(folder)["/assets/index-1a2b.js"]
    assert gzip.decompress(file.packed) == file.body == SCRIPT.encode()
