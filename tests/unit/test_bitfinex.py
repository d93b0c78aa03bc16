"""Bitfinex v2, the decoding half, by EXCHANGES.md §9: sequence, checksum, numbers; a conversation by hand. Channels and
trades: test_bitfinex_channels.py. Recordings: test_bitfinex_frames.py.
"""

import msgspec
import pytest

from COBY.exchanges.base import Delta, Endpoints, Lost, Notice, Rejected, Snapshot, Trade
from COBY.exchanges.bitfinex import EXCHANGE
from COBY.processing import ConnectionState
from tests.bitfinex_line import ASKS, BIDS, BTC, BTC_TRADES, ETH, MS, Line, codes, live, signed_crc
from tests.conversation import Player, conversation


def test_a_conversation_by_hand():
    player = Player(
        EXCHANGE, {"tBTCUST": "BTCUSDT", "tXYZ:UST": "XYZUSDT"}, Endpoints("wss://ws", "https://r")
    )
    assert player.play(conversation("bitfinex", "conversation")) == 14


def test_a_snapshot_and_updates_in_our_words():
    line = Line()
    line.subscribed(BTC)
    assert line.data(BTC, BIDS + ASKS) == [
        Snapshot("BTCUSDT", [("100", "1.5"), ("99", "2")], [("101", "0.25")], None, None, depth=250)
    ]
    assert line.data(BTC, [100.5, 1, 0.1]) == [Delta("BTCUSDT", [("100.5", "0.1")], [], None, None, None)]
    assert line.data(BTC, [101, 2, -3]) == [Delta("BTCUSDT", [], [("101", "3")], None, None, None)]
    assert line.sides() == ({"100": "1.5", "99": "2", "100.5": "0.1"}, {"101": "3"})


def test_a_count_of_zero_removes_and_its_amount_is_the_side_and_no_size():
    line = live()
    assert line.data(BTC, [100, 0, 1]) == [Delta("BTCUSDT", [("100", "0")], [], None, None, None)]
    assert line.data(BTC, [101, 0, -1]) == [Delta("BTCUSDT", [], [("101", "0")], None, None, None)]
    assert line.sides() == ({"99": "2"}, {})
    assert codes(line.data(BTC, [77, 0, -1])) == ["Delta"], "removing what is not there is normal"
    assert line.sides() == ({"99": "2"}, {})


def test_heartbeats_before_subscribed_count_and_mean_nothing():
    line = Line()
    assert line.data(BTC, "hb") == line.data(999, "hb") == []
    line.subscribed(BTC)
    assert codes(line.data(BTC, BIDS + ASKS)) == ["Snapshot"]
    assert line.data(BTC, "hb") == line.data(999, "hb") == []
    assert codes(line.data(BTC, [98, 1, 1])) == ["Delta"]


def test_data_of_an_id_that_is_not_known_is_counted_and_left():
    line = live()
    assert line.data(999, BIDS + ASKS) == line.data(999, [97, 1, 1]) == line.data(999, "te", ["x"]) == []
    line.subscribed(55, "ticker")
    assert line.data(55, [1, 2, 3, 4]) == []
    assert line.reasons == [None, None]


@pytest.mark.parametrize("skip", [1, 5, -1, -2])
@pytest.mark.parametrize("number", [BTC, BTC_TRADES, 999])
def test_a_frame_out_of_turn_blinds_every_book_whoever_sent_it(number, skip):
    line = live()
    lost = line.data(number, "hb", skip=skip)
    assert [(event.symbol, event.reason) for event in lost] == [
        ("BTCUSDT", "sequence_gap"), ("ETHUSDT", "sequence_gap"),
    ]  # fmt: skip
    assert lost[0].detail == f"expected 3, got {3 + skip}"
    assert line.data(BTC, [98, 1, 1]) == line.data(ETH, "cs", 5) == [], "until the next snapshot"
    assert codes(line.data(BTC, BIDS + ASKS)) == ["Snapshot"]
    assert line.reasons == [None, "sequence_gap"]


def test_two_frames_swapped_are_not_passed_over():
    line = live()
    assert codes(line.take([BTC, [98, 1, 1], 4])) == ["Lost", "Lost"]
    assert line.take([BTC, [97, 1, 1], 3]) == []
    assert line.take([BTC, [96, 1, 1], 5]) == []
    assert "98" not in line.sides()[0]


def test_a_snapshot_that_comes_out_of_turn_is_whole_and_its_neighbours_are_not():
    line = live()
    assert codes(line.data(BTC, [[50, 1, 1]], skip=1)) == ["Lost", "Lost", "Snapshot"]
    assert line.reasons == [None, "sequence_gap"]
    assert line.sides() == ({"50": "1"}, {})


@pytest.mark.parametrize(
    ("frame", "code"),
    [([BTC, [98, 1, 1]], "frame.number"), ([BTC, [98, 1, 1], "3"], "frame.number"), ([BTC, "hb"], "frame.number"),
     ([BTC, [98, 1, 1], 3.0], "frame.number"), ([BTC, [98, 1, 1], None], "frame.number"),
     ([BTC, [98, 1, 1], -3], "frame.number"), ([BTC, [98, 1, 1], 10**30], "frame.number"),
     ([BTC, "cs", 5], "frame.number"), (["17", [98, 1, 1], 3], "frame.number"), ([None, [98, 1, 1], 3], "frame.number"),
     ([BTC], "frame.shape"), ([], "frame.shape"), (b"null", "frame.shape"), (b"", "frame.json"),
     (b"[17,[98,1,", "frame.json"), (b'{"event":"unsubs', "frame.json"), (b"\xff", "frame.json"),
     (b"[" * 100_000 + b"]" * 100_000, "frame.json"), ({"event": "subscribed", "chanId": "17"}, "frame.shape")],
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_a_frame_whose_number_or_meaning_nobody_can_read_blinds_all(frame, code):
    line = live()
    assert codes(line.take(frame)) == [code, "Lost", "Lost"]
    assert line.take([BTC, [98, 1, 1], 4]) == []
    assert codes(line.take([BTC, BIDS + ASKS, 5])) == ["Snapshot"], "the numbers are taken up again"
    assert codes(line.take([BTC, [98, 1, 1], 7])) == ["Lost"]


def test_fields_at_the_end_and_blanks_decide_nothing():
    line = live()
    assert codes(line.take(b'[ 17 ,\n [ 98, 1, 1, "new" ], 3, 1700000000123, "book", {} ]')) == ["Delta"]
    assert codes(line.take(b" [17, [ [98, 1, 1] ], 4]")) == ["Snapshot"]
    assert codes(line.take(b'\n{ "event" : "unsubscribed", "status": "OK", "chanId": 17 }')) == ["Lost"]


def test_with_the_flag_for_it_frames_have_a_time():
    line = Line(flags=229376)
    line.subscribed(BTC)
    (snapshot,) = line.take([BTC, BIDS + ASKS, 1, MS])
    (delta,) = line.take([BTC, "cs", signed_crc("100:1.5:101:-0.25:99:2"), 2, MS + 1])
    assert (snapshot.time_us, delta.time_us) == (MS * 1000, MS * 1000 + 1000)
    assert codes(line.take([BTC, [98, 1, 1], 3])) == ["frame.number", "Lost"]
    stamped = Line(flags=32768)
    stamped.subscribed(BTC)
    assert stamped.take([BTC, [], MS])[0].time_us == MS * 1000


def test_a_connection_without_flags_is_not_numbered_unless_it_is():
    line = Line(flags=None)
    line.subscribed(BTC)
    assert codes(line.take([BTC, BIDS + ASKS])) == ["Snapshot"]
    assert codes(line.take([BTC, [98, 1, 1]])) == ["Delta"]
    assert codes(line.take([BTC, [97, 1, 1], 6])) == ["Delta"]
    assert codes(line.take([BTC, [96, 1, 1]])) == ["frame.number", "Lost"]


def test_other_flags_begin_the_numbers_anew_and_the_same_do_not():
    line = live()
    assert line.take({"event": "conf", "status": "OK", "flags": 196608}) == []
    assert codes(line.data(BTC, "hb", skip=1)) == ["Lost", "Lost"]
    line = live()
    assert line.take({"event": "conf", "status": "FAILED", "flags": 0}) == []
    assert codes(line.take({"event": "conf", "status": "OK", "flags": 0})) == ["Lost", "Lost"]


# --- checksum -----------------------------------------------------------------------------------------------------


def test_a_checksum_is_of_the_state_after_all_frames_before_it():
    line = live()
    line.data(BTC, [100, 0, 1])
    line.take(b"[17,[98.5,1,0.00001],4]")
    before, after = signed_crc("99:2:101:-0.25"), signed_crc("99:2:101:-0.25:98.5:0.00001")
    assert codes(line.take([BTC, "cs", after, 5])) == ["Delta"]
    assert codes(line.take([BTC, "cs", before, 6])) == ["Lost"]
    assert line.reasons == ["checksum", None]


def test_the_checksum_is_made_of_the_texts_on_the_wire():
    """EXCHANGES.md §9: JavaScript's formatting, also below a millionth, and not expanded."""
    line = Line()
    line.subscribed(BTC)
    rows = "[[0.0000011,1,266122.94],[0.00000109,2,500793.10790141],[5.6e-7,1,1e-8],[0.00000111,1,-4847.13]]"
    assert codes(line.take(f"[17,{rows},1]".encode())) == ["Snapshot"]
    text = "0.0000011:266122.94:0.00000111:-4847.13:0.00000109:500793.10790141:5.6e-7:1e-8"
    assert codes(line.data(BTC, "cs", signed_crc(text), skip=1)) == ["Delta"]
    assert line.reasons == [None, "never_connected"]
    expanded = text.replace("5.6e-7", "0.00000056")
    (lost,) = line.data(BTC, "cs", signed_crc(expanded))
    assert (type(lost), lost.reason) == (Lost, "checksum")


def test_a_price_in_another_spelling_is_the_same_price():
    line = Line()
    line.subscribed(BTC)
    line.take(b"[17,[[100,1,1],[0.00000056,1,1],[101,1,-1]],1]")
    line.take(b"[17,[1e2,1,2],2]")
    line.take(b"[17,[100.00,1,3],3]")
    line.take(b"[17,[100,1,4],4]")
    line.take(b"[17,[56e-8,0,1],5]")
    assert line.sides() == ({"100": "4"}, {"101": "1"})
    assert codes(line.take(f'[17,"cs",{signed_crc("100:4:101:-1")},6]'.encode())) == ["Delta"]


def test_the_amounts_of_asks_are_negative_in_the_checksum_and_a_short_side_is_skipped():
    line = live()
    right, unsigned = "100:1.5:101:-0.25:99:2", "100:1.5:101:0.25:99:2"
    assert line.data(BTC, "cs", signed_crc(right)) == [
        Delta("BTCUSDT", [], [], None, None, None, signed_crc(right))
    ]
    assert codes(line.data(BTC, "cs", signed_crc(unsigned))) == ["Lost"]
    assert line.reasons == ["checksum", None]


def test_a_checksum_is_of_the_best_twenty_five():
    line = Line()
    line.subscribed(BTC)
    line.data(BTC, [[100 - place, 1, 2] for place in range(26)] + [[200, 1, -2]])
    text = "100:2:200:-2:" + ":".join(f"{100 - place}:2" for place in range(1, 25))
    assert codes(line.data(BTC, "cs", signed_crc(text))) == ["Delta"]


def test_after_a_wrong_checksum_only_a_snapshot_counts():
    line = live()
    (lost,) = line.data(BTC, "cs", 5)
    assert (lost.reason, lost.detail[:6]) == ("checksum", "told 5")
    assert line.data(BTC, [98, 1, 1]) == line.data(BTC, "cs", signed_crc("100:1.5:101:-0.25:99:2")) == []
    assert codes(line.data(BTC, BIDS + ASKS)) == ["Snapshot"]
    assert line.reasons == [None, None]


@pytest.mark.parametrize("told", ["5", 5.5, None, 2**31, -(2**31) - 1, [5]])
def test_a_checksum_that_is_none_blinds(told):
    assert codes(live().data(BTC, "cs", told)) == ["frame.shape", "Lost"]


# --- bad numbers and shapes ---------------------------------------------------------------------------------------

NUMBERS = ["NaN", "-1", '"1"', "null", "[1]", "{}", "true", "1" * 60, "1e400", "1e-70", "0", "-0", "0.0"]


@pytest.mark.parametrize("price", NUMBERS)
def test_an_update_with_no_price_is_rejected_and_blinds_its_book(price):
    line = live()
    events = line.take(f"[17,[{price},1,1],3]".encode())
    assert codes(events)[1:] == ["Lost"] + ["Lost"] * (price == "NaN"), "what is no JSON may be of any book"
    assert codes(events)[0] in ("frame.number", "frame.json", "frame.shape")
    assert line.take(b"[17,[98,1,1],4]") == []


@pytest.mark.parametrize("amount", ["NaN", '"1"', "null", "[1]", "true", "1" * 60, "0", "-0", "0e5", "--1"])
def test_an_update_with_no_amount_is_rejected_and_blinds_its_book(amount):
    line = live()
    assert codes(line.take(f"[17,[98,1,{amount}],3]".encode()))[0] in ("frame.number", "frame.json")
    assert line.reasons[0] == "sequence_gap"
    assert "98" not in line.sides()[0]


@pytest.mark.parametrize(
    ("payload", "code"),
    [([98, -1, 1], "frame.shape"), ([98, 1.5, 1], "frame.shape"), ([98, "1", 1], "frame.shape"),
     ([98, None, 1], "frame.shape"), ([98, 1], "frame.shape"), (98, "frame.shape"), (None, "frame.shape"),
     ({"price": 98}, "frame.shape"), ([98, 0, 2], "frame.number"), ([98, 0, 0], "frame.number"),
     ([[98, 1, 1], [97, 0, 1]], "frame.number"), ([[98, 1, 1], [97, 1]], "frame.shape"),
     ([[98, 1, 1], [97, 1, 0]], "frame.number"), ([[98, 1, 1], 5], "frame.shape"), ([[[98, 1, 1]]], "frame.shape")],
)  # fmt: skip
def test_a_payload_that_is_none_blinds_its_book_and_no_other(payload, code):
    line = live()
    rejected, lost = line.data(BTC, payload)
    assert (rejected.code, rejected.symbol, lost.symbol) == (code, "BTCUSDT", "BTCUSDT")
    assert line.reasons == ["sequence_gap", None]
    assert codes(line.data(ETH, [98, 1, 1])) == ["Delta"]
    assert codes(line.data(BTC, BIDS + ASKS)) == ["Snapshot"]


def test_a_word_that_is_not_known_on_a_book_is_a_doubt():
    assert codes(live().data(BTC, "te", [1, MS, 1, 100])) == ["frame.number", "Lost"]


def test_empty_and_one_sided_books():
    line = live()
    assert line.data(BTC, []) == [Snapshot("BTCUSDT", [], [], None, None, depth=250)]
    assert line.sides() == ({}, {})
    assert codes(line.data(BTC, "cs", 0)) == ["Delta"], "the checksum of nothing"
    assert codes(line.data(BTC, [[100, 1, 1]])) == ["Snapshot"]
    assert codes(line.data(BTC, "cs", signed_crc("100:1"))) == ["Delta"]
    assert line.reasons == [None, None]


def test_the_window_is_the_length_that_was_confirmed():
    line = Line()
    line.subscribed(BTC, len=25)
    line.data(BTC, [[place, 1, 1] for place in range(1, 26)])
    line.data(BTC, [26, 1, 1])
    assert (len(line.sides()[0]), "1" in line.sides()[0]) == (25, False)
    assert codes(line.subscribed(BTC, len="x")) == ["frame.number", "Lost"]


# --- cuts ---------------------------------------------------------------------------------------------------------


def whole_life():
    """Frames of a connection on which most of what can happen does."""
    subscribed = {"event": "subscribed", "channel": "book", "chanId": 17, "symbol": "tBTCUST", "len": "250"}
    return [
        {"event": "info", "version": 2, "platform": {"status": 1}}, {"event": "conf", "status": "OK", "flags": 196608},
        [17, "hb", 1], subscribed, subscribed | {"channel": "trades", "chanId": 19}, [17, BIDS + ASKS, 2],
        [19, [[6, MS, 1, 99]], 3], [17, [98, 1, 1], 4], [17, "cs", 5, 5], [17, BIDS + ASKS, 6],
        [19, "te", [7, MS, 1, 100], 7], [17, [98, 1, 1], 9], [17, BIDS, 10], b"[17,[", [17, BIDS, 12], [17, ["x"], 13],
        {"event": "unsubscribed", "status": "OK", "chanId": 17}, subscribed | {"chanId": 31}, [31, BIDS + ASKS, 14],
        [17, [97, 1, 1], 15], [31, [97, 1, 1], 16], [31, "cs", signed_crc("100:1.5:101:-0.25:99:2:97:1"), 17],
        {"event": "info", "code": 20060, "msg": "m"}, [19, "tu", [7, MS, 1, 100], 18],
    ]  # fmt: skip


def test_the_state_saved_and_loaded_anywhere_gives_the_same_events():
    frames, straight = whole_life(), Line(flags=None)
    expected = [straight.take(frame) for frame in frames]
    kinds = {type(event) for events in expected for event in events}
    assert kinds == {Snapshot, Delta, Trade, Lost, Rejected, Notice}
    for cut in range(len(frames) + 1):
        first, second = Line(flags=None), Line(flags=None)
        before = [first.take(frame) for frame in frames[:cut]]
        packed = msgspec.msgpack.encode(first.one.save())
        second.one.load(msgspec.msgpack.decode(packed, type=ConnectionState))
        assert msgspec.msgpack.encode(second.one.save()) == packed
        assert before + [second.take(frame) for frame in frames[cut:]] == expected
        assert second.one.save() == straight.one.save()


def test_a_saved_channel_of_a_symbol_served_no_more_is_forgotten():
    before = live()
    after = Line(symbols={"tBTCUST": "BTCUSDT"}, flags=None)
    after.one.load(before.one.save())
    assert after.take([ETH, [98, 1, 1], 3]) == []
    assert codes(after.take([BTC, [98, 1, 1], 4])) == ["Delta"]
    assert [event.symbol for event in after.take([ETH, "hb", 9])] == ["BTCUSDT"]
