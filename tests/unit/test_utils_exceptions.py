"""Errors: stable codes, one line, structured answers."""

import asyncio
import pickle
import threading

import pytest

from COBY.utils import exceptions
from COBY.utils.correlation import clear_correlation_id, get_correlation_id, set_correlation_id
from COBY.utils.exceptions import CobyError, ConfigurationError, StorageError


@pytest.fixture(autouse=True)
def no_correlation_id():
    clear_correlation_id()
    yield
    clear_correlation_id()


def families() -> list[type[CobyError]]:
    return [
        kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, CobyError)
    ]


def test_an_error_reads_as_one_line():
    error = StorageError(
        "db.unreachable", "no answer\nfrom the server", where="localhost:5432", allowed="one"
    )
    assert str(error) == "db.unreachable: no answer from the server (at localhost:5432; allowed: one)"
    assert str(CobyError("a.b", "plain")) == "a.b: plain"


def test_an_error_answers_with_structure_and_correlation_id():
    set_correlation_id("abc")
    error = CobyError("a.b", "message", where="here", allowed="that")
    assert error.to_response() == {
        "code": "a.b",
        "message": "message",
        "where": "here",
        "allowed": "that",
        "correlation_id": "abc",
    }
    clear_correlation_id()
    assert CobyError("a.b", "message").to_response() == {
        "code": "a.b",
        "message": "message",
        "where": None,
        "allowed": None,
        "correlation_id": None,
    }


def test_every_family_is_drawn_in_the_docstring():
    assert len(families()) >= 9
    for kind in families():
        assert kind.__name__ in (exceptions.__doc__ or "")


@pytest.mark.parametrize("kind", families())
def test_an_error_survives_pickling(kind):
    error = pickle.loads(pickle.dumps(kind("a.b", "message", where="here", allowed="that")))
    assert type(error) is kind
    assert error.to_response()["where"] == "here"
    assert str(error) == "a.b: message (at here; allowed: that)"


def test_several_problems_are_one_error_with_a_line_each():
    first, second = ConfigurationError("a.b", "one"), ConfigurationError("c.d", "two")
    both = pickle.loads(pickle.dumps(ConfigurationError.of([first, second])))
    assert both.code == "a.b"
    assert str(both) == "a.b: one\nc.d: two"
    assert both.to_response()["message"] == "one; two"
    assert ConfigurationError.of([first]) is first


def test_a_correlation_id_is_made_where_none_is_given():
    first, second = set_correlation_id(), set_correlation_id()
    assert get_correlation_id() == second != first
    assert set_correlation_id("abc") == "abc" == get_correlation_id()


def test_threads_and_tasks_have_correlation_ids_of_their_own():
    set_correlation_id("outer")
    seen: list[str | None] = []
    thread = threading.Thread(target=lambda: seen.append(get_correlation_id()))
    thread.start()
    thread.join()
    assert seen == [None]

    async def task(name: str) -> str | None:
        set_correlation_id(name)
        await asyncio.sleep(0)
        return get_correlation_id()

    async def both() -> list[str | None]:
        return list(await asyncio.gather(task("a"), task("b")))

    assert asyncio.run(both()) == ["a", "b"]
    assert get_correlation_id() == "outer"
