"""Offsets asked of brokers: a client that was refused is not asked again."""

from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from COBY.config import load_config
from COBY.runtime import offsets


class Client:
    """Answers every partition alike: with an offset, or with an error."""

    def __init__(self, answer):
        self.answer = answer

    def list_offsets(self, asked, request_timeout):
        assert request_timeout > 0
        found = {}
        for item in asked:
            found[item] = Future()
            if isinstance(self.answer, Exception):
                found[item].set_exception(self.answer)
            else:
                found[item].set_result(SimpleNamespace(offset=self.answer))
        return found


@pytest.fixture
def clients(monkeypatch):
    """The clients that are made one after the other."""
    made = []
    monkeypatch.setattr(offsets, "admin", lambda _cfg: made.pop(0))
    return made


FENCED = KafkaException(KafkaError(KafkaError.FENCED_LEADER_EPOCH))


@pytest.mark.parametrize("error", [FENCED, TimeoutError()])
def test_after_a_refusal_the_next_question_goes_out_from_a_fresh_client(clients, error):
    clients += [Client(error), Client(41)]
    asking = offsets.Offsets(load_config({}))
    with pytest.raises(type(error)):
        asking.ends([("book", 3)])
    assert asking.ends([("book", 3)]) == {("book", 3): 41}
    assert asking.oldest([("book", 3), ("book", 4)]) == {("book", 3): 41, ("book", 4): 41}, "the same client"


@pytest.mark.parametrize("error", [FENCED, TimeoutError()])
def test_when_a_client_that_answered_before_is_refused_a_fresh_one_asks_at_once(clients, error):
    former = Client(40)
    clients += [former, Client(41), Client(error)]
    asking = offsets.Offsets(load_config({}))
    assert asking.ends([("book", 3)]) == {("book", 3): 40}
    former.answer = error
    assert asking.ends([("book", 3)]) == {("book", 3): 41}
    asking._client.answer = error
    with pytest.raises(type(error)):
        asking.ends([("book", 3)])


def test_without_partitions_nobody_is_asked(clients):
    assert offsets.Offsets(load_config({})).ends([]) == {}
    assert clients == []
