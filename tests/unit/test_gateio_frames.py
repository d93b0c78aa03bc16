"""Gate.io's recorded frames (frames/gateio), spot and others, through the decoder."""

import json
from collections import Counter

import pytest

from COBY.exchanges.base import Delta, Rejected, Trade
from COBY.exchanges.gateio import EXCHANGE
from COBY.processing import ConnectionProcessor, one_bucket

FILES = {
    "barter-rs_frames": {"Trade": 1},
    "ccxt_spot_ack_ticker": {},
    "cryptofeed_rest_snapshots": {},
    "cryptofeed_ws_1_0": {},  # candles, tickers, and books of the channel that is not read
    "cryptomsgparser_derivatives": {},
    "cryptomsgparser_spot": {"Trade": 1},
    "gocryptotrader_frames": {"Trade": 1},
    "jkorf_subscriptions": {"Trade": 1, "frame.json": 2},  # two with placeholders in them
    "tardis_mappers": {"Trade": 1},  # and one update of obu, without what it follows
    "xchange_frames": {"Trade": 1},
}
"""File -> what its frames give, each file one connection."""


def received(frames_dir, file):
    lines = (frames_dir / "gateio" / f"{file}.jsonl").read_text().splitlines()
    rows = enumerate(map(json.loads, lines))
    kinds = {"http": "http"}
    return [
        (number, row["frame"].encode(), kinds.get(row.get("dir"), "ws"))
        for number, row in rows
        if row.get("dir") not in ("out", "connect")
    ]


@pytest.mark.parametrize("file", FILES)
def test_every_recorded_frame_gives_what_it_holds(frames_dir, file):
    assert {path.stem for path in (frames_dir / "gateio").iterdir()} == set(FILES), "no file is left out"
    decoder, counts = EXCHANGE.decoder({}), Counter()
    for _, frame, kind in received(frames_dir, file):
        for event in decoder.decode(frame, kind, None, None):
            counts[event.code if isinstance(event, Rejected) else type(event).__name__] += 1
    assert counts == FILES[file]


def recorded_update(frames_dir):
    return next(
        frame for _, frame, _ in received(frames_dir, "tardis_mappers") if b'"U":25847129970' in frame
    )


@pytest.mark.parametrize(("last", "expected"), [(25_847_129_969, ["Delta"]), (25_847_129_968, ["Lost"])])
def test_the_recorded_update_of_obu_follows_the_number_before_its_first(frames_dir, last, expected):
    one = ConnectionProcessor(EXCHANGE, {"BTC_USDT": "BTCUSDT"}, one_bucket)
    result = {"t": 1, "full": True, "s": "ob.BTC_USDT.400", "u": last, "b": [["115578.5", "1"]], "a": []}
    made = {"channel": "spot.obu", "result": result, "time_ms": 1, "event": "update"}
    one.take(json.dumps(made).encode(), "ws", None, None)
    events = one.take(recorded_update(frames_dir), "ws", None, None)
    assert [type(event).__name__ for event in events] == expected
    if expected == ["Delta"]:
        (delta,) = events
        assert isinstance(delta, Delta)
        assert (delta.first_id, delta.sequence_id, delta.time_us) == (
            25_847_129_970,
            25_847_129_996,
            1_754_006_460_600_000,
        )
        one.book("BTCUSDT").flush()
        assert one.book("BTCUSDT").bids.texts == {"115576.7": "0.050772", "115275.2": "0.000039"}
        assert set(one.book("BTCUSDT").asks.texts) == {"115731.3", "115733.8", "115745.7"}


def test_recorded_trades_in_our_words(frames_dir):
    (trade,) = [
        event
        for _, frame, _ in received(frames_dir, "cryptomsgparser_spot")
        for event in EXCHANGE.decoder({}).decode(frame, "ws", None, None)
    ]
    assert trade == Trade("BTCUSDT", "47395.009", "0.00052", "buy", "1638417041", 1_631_824_310_261_896)


def test_recorded_acknowledgements_name_their_pair_or_are_told_in_order(frames_dir):
    """Those of 2021 name the channel only; the later ones their payload, and a number that is not ours."""
    session = EXCHANGE.session({"INK_USDT": "INKUSDT", "ETH_USDT": "ETHUSDT"}, EXCHANGE.endpoints)
    session.opened(0.0)
    old = next(
        frame for _, frame, _ in received(frames_dir, "cryptofeed_ws_1_0") if b'"spot.trades"' in frame
    )
    new = next(
        frame
        for _, frame, _ in received(frames_dir, "jkorf_subscriptions")
        if b'"channel":"spot.trades","event":"subscribe"' in frame
    )
    found = [command for frame in (new, old) for command in session.received(frame, 1.0)]
    assert [command.symbols for command in found] == [("ETHUSDT",), ("INKUSDT",)]
