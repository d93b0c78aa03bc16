"""Requests one at a time. Times are seconds of a clock that the test holds."""

from COBY.asking import InTurn, Key, Request
from COBY.exchanges.base import Send
from COBY.pacing import Paced

A, B = Key("book", "A"), Key("book", "B")


def asking(*keys, most=100):
    one = InTurn(lambda request: f"{request.operation} {request.key.name}", Paced(most, 1.0))
    for key in keys:
        one.subscribe(key, 0.0)
    return one


def sent(one, now):
    return [command.text for command in one.due(now) if isinstance(command, Send)]


def test_the_next_request_waits_for_the_answer_to_the_last():
    one = asking(A, B)
    assert sent(one, 0.0) == ["subscribe A"]
    assert sent(one, 1.0) == []
    assert one.listed({A}, True, 1.0) == [A]
    assert sent(one, 1.0) == ["subscribe B"]
    assert one.listed({A, B}, True, 2.0) == [B]
    assert (sent(one, 2.0), one.asked, one.confirmed) == ([], None, {A, B})


def test_a_request_is_queued_once():
    one = asking(A, A, B)
    one.subscribe(B, 0.0)
    assert [sent(one, at) for at in (0.0, 5.0, 10.0)] == [["subscribe A"], ["subscribe B"], []]


def test_a_renewal_subscribes_after_the_answer_or_without_it_after_five_seconds():
    one = asking(A)
    sent(one, 0.0)
    one.listed({A}, True, 0.1)
    for answered in (True, False):
        one.renew(A, 10.0)
        assert sent(one, 10.0) == ["unsubscribe A"]
        assert one.listed({A}, True, 10.1) == [], "it is still there"
        if answered:
            one.listed(set(), True, 10.2)
        assert sent(one, 14.9) == (["subscribe A"] if answered else [])
        assert sent(one, 15.0) == ([] if answered else ["subscribe A"])
        assert one.listed({A}, True, 15.1) == [A]


def test_what_is_listed_no_longer_is_asked_for_again_if_the_list_is_whole():
    one = asking(A, B)
    sent(one, 0.0)
    one.listed({A, B}, True, 0.1)
    sent(one, 0.2)
    one.listed({A, B}, True, 0.3)
    assert (one.listed({A}, False, 1.0), sent(one, 1.0)) == ([], [])
    assert (one.listed({A}, True, 1.0), sent(one, 1.0)) == ([], ["subscribe B"])


def test_what_is_not_confirmed_for_fifteen_seconds_is_asked_for_again():
    one = asking(A, B)
    sent(one, 0.0)
    one.listed({A}, True, 0.1)
    sent(one, 0.1)
    assert one.refused() == Request("subscribe", B)
    one.repeat(14.9)
    assert sent(one, 14.9) == []
    one.repeat(15.0)
    assert sent(one, 15.0) == ["subscribe B"]


def test_what_is_forgotten_is_asked_for_no_more():
    one = asking(A, B)
    sent(one, 0.0)
    one.forget("B")
    one.listed({A}, True, 1.0)
    one.repeat(99.0)
    assert (sent(one, 99.0), list(one.since)) == ([], [A])


def test_messages_are_paced():
    one = asking(A, B, most=1)
    assert sent(one, 0.0) == ["subscribe A"]
    one.listed({A}, True, 0.1)
    assert [sent(one, at) for at in (0.1, 0.9, 1.0)] == [[], [], ["subscribe B"]]
