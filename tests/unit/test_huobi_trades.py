"""HTX's trades: the taker's side, ids, the one that is sent on subscribing, by EXCHANGES.md §6."""

import pytest

from COBY.exchanges.base import Trade
from tests.decoded import codes, reason
from tests.messages_huobi import MS, connection, live, subbed, take, trades


def test_trades_are_the_takers_by_their_trade_id_oldest_first():
    events = take(
        connection(), trades({"tradeId": 9, "direction": "sell", "price": 1.5, "amount": 5.33e-4}, {})
    )
    assert events == [
        Trade("BTCUSDT", "100.5", "0.5", "buy", "7", MS * 1000),
        Trade("BTCUSDT", "1.5", "0.000533", "sell", "9", MS * 1000),
    ]


def test_the_first_frame_of_trades_after_the_acknowledgement_may_be_a_cached_one():
    one = connection()
    assert take(one, subbed(ts=MS)) == []
    assert [event.history for event in take(one, trades({"ts": MS + 1}))] == [False]
    take(one, subbed(ts=MS))
    assert [event.history for event in take(one, trades({"ts": MS - 15_000}))] == [True]
    assert [event.history for event in take(one, trades({"ts": MS - 15_000}))] == [False], "only the first"
    take(one, subbed(ts=MS))
    take(one, subbed(ts=MS, symbol="ethusdt"))
    assert [event.history for event in take(one, trades({"ts": MS}, symbol="ethusdt"))] == [True]
    assert [event.history for event in take(one, trades({"tradeId": 1}, {"ts": MS + 1}))] == [True, False]


def test_a_trade_without_acknowledgement_is_live():
    assert [event.history for event in take(connection(), trades({"ts": 5}))] == [False]
    one = connection()
    take(one, subbed("mbp.400"))
    take(one, subbed(ts="soon"))
    assert [event.history for event in take(one, trades({"ts": 5}))] == [False]


def test_the_text_ids_of_2019_are_ids_and_the_number_of_27_digits_is_none():
    one, old = connection(), trades({"id": "10020171792852100010452"})
    del old["tick"]["data"][0]["tradeId"]
    assert [event.trade_id for event in take(one, old)] == ["10020171792852100010452"]
    assert [event.trade_id for event in take(one, trades({"id": "55"}))] == ["7"]
    for spoilt in (123140716701236887569077664, 1.37e26, "", "x1", None, []):
        old["tick"]["data"][0]["id"] = spoilt
        (rejected,) = take(one, old)
        assert (rejected.code, "tradeId" in rejected.detail) == ("frame.shape", True)


@pytest.mark.parametrize(
    ("row", "code"),
    [({"price": -1}, "frame.number"), ({"price": 0.0}, "frame.number"), ({"price": "1.5"}, "frame.number"),
     ({"amount": 0.0}, "frame.number"), ({"amount": None}, "frame.number"), ({"direction": "hold"}, "frame.shape")],
)  # fmt: skip
def test_a_wrong_trade_is_rejected_and_its_neighbours_count(row, code):
    found = codes(take(connection(), trades({"tradeId": 1}, row | {"tradeId": 2}, {"tradeId": 3})))
    assert found == ["Trade", code, "Trade"]


@pytest.mark.parametrize(
    "row", [{"tradeId": "7"}, {"tradeId": 2**70}, {"ts": "1"}, {"direction": 1}, {"tradeId": 1.5}]
)
def test_a_trade_of_another_shape_rejects_the_frame(row):
    one = live(10)
    assert codes(take(one, trades({}, row))) == ["frame.shape"]
    assert reason(one) is None
