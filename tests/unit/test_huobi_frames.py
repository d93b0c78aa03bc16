"""HTX, by what was seen: a conversation by hand after EXCHANGES.md §6, and the recorded frames."""

import base64
import gzip
import json
from collections import Counter
from decimal import Decimal

import pytest

from COBY.decode import RecordingDecoder
from COBY.exchanges.base import Connect, Delta, Endpoints, Rejected, Send, Snapshot, Trade
from COBY.exchanges.huobi import EXCHANGE
from COBY.recordings import parse_recording
from COBY.trades import Trades
from tests.conversation import Player, conversation, shown

CAPTURE = "cryptofeed_ws_44_0.jsonl.gz"


class TwoSockets(Player):
    """A player that packs each frame, and minds which socket a message is for."""

    socket = 0

    def _step(self, row):
        self._commands, self.socket = [], row.get("socket", 0)
        if row["dir"] == "connect":
            assert self._session.connect() == Connect(row["url"], tuple(row["more"]))
            self._obey(self._session.opened(row["at"]))
        elif row["dir"] == "meta":
            self._obey(self._session.timer(row["at"]))
            if "resync" in row:
                self._obey(self._session.resync(row["resync"], row["reason"], row["at"]))
        else:
            frame = gzip.compress(row["frame"].encode())
            self._obey(self._session.received(frame, row["at"]))
            return shown(self._decoder.decode(frame, "ws", None, None))
        return []

    def _obey(self, commands):
        for command in commands:
            if isinstance(command, Send):
                socket = self.socket if command.socket is None else command.socket
                self._unsent.append([socket, json.loads(command.text)])
            else:
                self._commands += shown([command])


def test_a_conversation_by_hand():
    rows = conversation("huobi", "conversation")
    for row in rows:
        if row["dir"] == "out":  # the message together with its socket
            row["frame"] = json.dumps([row["socket"], json.loads(row["frame"])])
    symbols = {"btcusdt": "BTCUSDT", "xyzusdt": "XYZUSDT"}
    player = TwoSockets(EXCHANGE, symbols, Endpoints("wss://ws", "https://rest"))
    assert player.play(rows) == 10


def captured(frames_dir):
    """(row, its frame's bytes, its JSON) of what came from the exchange."""
    lines = gzip.decompress((frames_dir / "huobi" / CAPTURE).read_bytes()).decode().splitlines()
    rows = [row for row in map(json.loads, lines) if row["dir"] == "in"]
    return [
        (row, base64.b64decode(row["frame"]), json.loads(row["decoded"], parse_float=Decimal)) for row in rows
    ]


def test_every_captured_frame_is_gzip_on_its_own_and_says_what_its_maker_read(frames_dir):
    one = EXCHANGE.decoder({})
    counts = Counter()
    trades = []
    for row, frame, message in captured(frames_dir):
        events = one.decode(frame, "ws", None, None)
        assert events == [] or row["channel"] == "trade.detail", row["channel"]
        trades += [(event, message) for event in events]
        counts[row["channel"], len(events) > 0] += 1
    assert counts == {
        ("control:subbed", False): 20,
        ("control:ping", False): 2,
        ("depth.step0", False): 95,
        ("trade.detail", True): 28,
    }
    assert {type(event) for event, _ in trades} == {Trade}
    told = [row for _, _, message in captured(frames_dir) if ".trade." in message.get("ch", "")
            for row in message["tick"]["data"]]  # fmt: skip
    assert len(trades) == len(told) > 28
    assert any("E-" in str(row["price"]) for row in told), "numbers with exponents among them"
    found = {(event.symbol, event.trade_id): event for event, _ in trades}
    for event, message in trades:
        assert event.symbol == message["ch"].split(".")[1].upper()
    for row in told:
        (event,) = [event for (_, trade_id), event in found.items() if trade_id == str(row["tradeId"])]
        assert (Decimal(event.price), Decimal(event.size)) == (row["price"], row["amount"])
        assert (event.side, event.time_us) == (row["direction"], row["ts"] * 1000)
        assert "e" not in (event.price + event.size).lower()


def test_the_first_trade_of_each_captured_symbol_is_history_and_all_others_are_live(frames_dir):
    """All ten were 1 to 107 s older than the acknowledgement."""
    one = EXCHANGE.decoder({})
    events = [event for _, frame, _ in captured(frames_dir) for event in one.decode(frame, "ws", None, None)]
    first = {}
    for event in events:
        first.setdefault(event.symbol, event.time_us)
    assert len(first) == 10
    for event in events:
        assert event.history == (event.time_us == first[event.symbol]), event


def test_no_captured_cached_trade_is_counted_on_the_first_connection_and_each_of_a_second_once(frames_dir):
    one = EXCHANGE.decoder({})
    by_symbol, accepted = {}, []
    for _ in range(2):  # the same frames over a second connection
        for _, frame, _ in captured(frames_dir):
            for event in one.decode(frame, "ws", None, None):
                trades = by_symbol.setdefault(event.symbol, Trades(event.symbol, "huobi"))
                accepted += filter(None, [trades.accept(event, event.time_us, 0, None)])
        one = EXCHANGE.decoder({})
    ids = [(trade.symbol, trade.trade_id) for trade in accepted]
    assert len(ids) == len(set(ids))
    live = {"FIL3SUSDT", "XVGETH", "DOGEETH"}
    assert {trade.symbol for trade in accepted} == live, "of all others only the cached one came"


def test_several_trades_of_a_captured_frame_are_sent_newest_first_and_told_oldest_first(frames_dir):
    one, several = EXCHANGE.decoder({}), 0
    for _, frame, message in captured(frames_dir):
        if ".trade." not in message.get("ch", "") or len(message["tick"]["data"]) < 2:
            continue
        several += 1
        sent = [row["tradeId"] for row in message["tick"]["data"]]
        assert sent == sorted(sent, reverse=True)
        events = one.decode(frame, "ws", None, None)
        assert [int(event.trade_id) for event in events] == sorted(sent)
        prices = [Decimal(event.price) for event in events]
        # The taker walks into the book: buying upwards, selling downwards.
        assert prices == sorted(prices, reverse=events[0].side == "sell")
    assert several >= 4


def test_coby_decode_reads_the_capture_without_a_complaint(frames_dir):
    one = RecordingDecoder(EXCHANGE, None, deltas=True, books=5)
    with gzip.open(frames_dir / "huobi" / CAPTURE) as lines:
        rows = [event for row in parse_recording(lines) for event in one.take(row)]
    assert {row["type"] for row in rows} == {"trade"}


def rows_of(frames_dir, name):
    return [json.loads(line) for line in (frames_dir / "huobi" / name).read_text().splitlines()]


def as_400(frame, levels):
    """A frame of a smaller book, as one of the book that we subscribe to."""
    return frame.replace(f".mbp.{levels}", ".mbp.400").encode()


def test_the_real_updates_of_smaller_books_and_the_real_reply_join(frames_dir):
    frames = [
        row["frame"] for row in rows_of(frames_dir, "tardis_mappers.jsonl") if ".mbp.150" in row["frame"]
    ]
    one = EXCHANGE.decoder({})
    *updates, reply = [one.decode(as_400(frame, 150), "ws", None, None) for frame in frames]
    assert updates == [[], []]
    snapshot, delta = reply
    assert (type(snapshot), snapshot.sequence_id, len(snapshot.bids), len(snapshot.asks)) == (
        Snapshot,
        109409288160,
        4,
        9,
    )
    assert (type(delta), delta.first_id, delta.sequence_id) == (Delta, 109409288161, 109409288204)
    assert snapshot.bids[0] == ("9137.67", "4.683547")
    assert delta.asks[2:4] == [("9138.67", "0.033924"), ("9144", "0.05")]


@pytest.mark.parametrize(
    ("number", "bids", "asks"),
    [(1, [("38765.39", "0"), ("38762.87", "0.009708")], [("38762.88", "0.102302")]),
     (2, [], [("61945.07", "0.000533")])],
)  # fmt: skip
def test_real_updates_with_a_missing_side_and_an_exponent(frames_dir, number, bids, asks):
    frame = rows_of(frames_dir, "cryptomsgparser_spot.jsonl")[number]["frame"]
    previous = json.loads(frame)["tick"]["prevSeqNum"]
    made = {"rep": "market.btcusdt.mbp.400", "ts": 1, "data": {"seqNum": previous, "bids": [], "asks": []}}
    one = EXCHANGE.decoder({})
    assert one.decode(json.dumps(made).encode(), "ws", None, None) == []
    _, delta = one.decode(as_400(frame, 20), "ws", None, None)
    assert (list(delta.bids), list(delta.asks), delta.first_id) == (bids, asks, previous + 1)


@pytest.mark.parametrize(
    "name",
    ["cryptomsgparser_derivatives.jsonl", "cryptomsgparser_spot.jsonl", "gocryptotrader_frames.jsonl",
     "jkorf_subscriptions.jsonl", "tardis_mappers.jsonl"],
)  # fmt: skip
def test_no_recorded_frame_is_rejected_and_only_spot_trades_say_something(frames_dir, name):
    one = EXCHANGE.decoder({})
    for row in rows_of(frames_dir, name):
        if row.get("dir", "in") in ("in", "in-ack"):
            events = one.decode(row["frame"].encode(), "ws", None, None)
            assert not any(isinstance(event, Rejected) for event in events), row["frame"]
            spot = ".trade.detail" in row["frame"] and '"tick"' in row["frame"] and "derivatives" not in name
            assert bool(events) == spot, row["frame"]


def test_a_trade_id_is_the_tradeid_even_where_the_id_was_spoilt(frames_dir):
    """The id of 27 digits has gone through somebody's float here: 1.3700544510935929e+26."""
    (frame,) = [
        row["frame"] for row in rows_of(frames_dir, "jkorf_subscriptions.jsonl") if "e+26" in row["frame"]
    ]
    (trade,) = EXCHANGE.decoder({}).decode(frame.encode(), "ws", None, None)
    assert (trade.trade_id, trade.price, trade.size) == ("102523573486", "52648.62", "0.006754")
