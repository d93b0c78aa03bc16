"""DataAdapter: tensors by hand arithmetic, what is unknown, no look-ahead, names that programs count on."""

import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

import COBY.orchestrator
from COBY.codec import decode
from COBY.config import load_config
from COBY.orchestrator import CandleTensor, DataAdapter, Missed, Moved, TrainingSet, Update
from COBY.orchestrator.messages import channel_of
from COBY.records import Candle, Cell, Consolidated, Continuity, Gap, Heatmap, Included, Missing
from COBY.utils.exceptions import CobyError
from tests.integration.verify_run import Made, frames

U = 100_000_000
S = 1_000_000
T0 = 1_700_000_040 * S
"""On a minute."""
START = datetime.fromtimestamp(T0 / S, UTC)
IN, NONE = [Included("a", None, None), Included("b", None, None)], []
NAN = np.nan


def at(seconds):
    return START + timedelta(seconds=seconds)


def update(record, **more):
    return Update(channel_of(record), record, **more)


def heatmap(second, cells, low=None, high=None, exchanges=IN, missing=NONE, symbol="BTCUSDT"):
    data = [Cell(price * U, round(volume * U), U, side, 1) for price, volume, side in cells]
    low, high = (None if one is None else one * U for one in (low, high))
    return update(Heatmap(symbol, T0 + round(second * S), 10 * U, data, low, high, exchanges, missing))


def book(second, mid, imbalances=(None,) * 4, exchanges=("a", "b"), missing=NONE):
    units = [None if one is None else round(one * U) for one in (mid, *imbalances)]
    return update(
        Consolidated(
            "BTCUSDT", T0 + round(second * S), [], [], units[0], None, *units[1:], list(exchanges), missing
        )
    )


def candle(start, prices, revision, received, complete=True, timeframe="1s"):
    units = [price * U for price in prices]
    return update(
        Candle(
            "BTCUSDT",
            T0 + start * S,
            timeframe,
            *units,
            2 * U,
            3,
            revision,
            complete,
            T0 + round(received * S),
        )
    )


def adapter(*messages, **options):
    made = DataAdapter("BTCUSDT", **{"depth": 2, "timeframes": (), **options})
    for message in messages:
        made.add(message)
    return made


def same(one, other):
    """Whether two sets are equal in every array and in what is attached."""
    arrays, others = one.numpy(), other.numpy()
    return (
        arrays.keys() == others.keys()
        and all(
            np.array_equal(arrays[name], others[name], equal_nan=arrays[name].dtype.kind == "f")
            for name in arrays
        )
        and (one.gaps, one.proof, one.missed, one.exchanges)
        == (other.gaps, other.proof, other.missed, other.exchanges)
    )


def test_volumes_lie_around_the_mid_price():
    """Mid 104 lies in the bucket of 100; two buckets below it begin at 80. Covered is [80, 110)."""
    cells = [(100, 1.5, "bid"), (80, 2, "bid"), (100, 0.25, "ask"), (110, 4, "ask")]
    got = adapter(heatmap(0, cells, 80, 110), book(0, 104, (0.5, -0.25, 0, None))).cut(START, at(1))
    #          80       90      100          110: outside
    expected = [[2, 0], [0, 0], [1.5, 0.25], [NAN, NAN]]
    assert np.array_equal(got.volumes[0], expected, equal_nan=True)
    assert got.known[0].tolist() == [[True] * 2] * 3 + [[False] * 2]
    assert (got.mid[0], got.bucket_sizes[0]) == (104, 10)
    assert np.array_equal(got.imbalances[0], [0.5, -0.25, 0, NAN], equal_nan=True)
    assert got.times.tolist() == [START.replace(tzinfo=None), at(0.5).replace(tzinfo=None)]
    assert np.isnan(got.volumes[1]).all()
    assert not got.known[1].any(), "no tick was received"


def test_without_a_consolidated_book_the_middle_is_that_of_the_best_buckets():
    """Tables hold none: between 90 and 110 + 10 lies 105, in the bucket of 100."""
    got = adapter(heatmap(0, [(90, 1, "bid"), (110, 2, "ask")])).cut(START, at(0.5))
    assert got.volumes[0].tolist() == [[0, 0], [1, 0], [0, 0], [0, 2]]
    assert np.isnan(got.mid[0])
    assert np.isnan(adapter(heatmap(0, [(90, 1, "bid")])).cut(START, at(0.5)).volumes).all(), (
        "one side is empty"
    )


def test_a_tick_without_an_exchange_is_unknown_unless_it_is_not_required():
    cells = [(100, 1, "bid"), (100, 1, "ask")]
    gone, never = [Missing("b", "checksum")], [Missing("b", "not_listed")]
    blind = [heatmap(0, cells, exchanges=IN[:1], missing=gone), book(0, 105, exchanges="a", missing=gone)]
    got = adapter(*blind).cut(START, at(0.5))
    assert np.isnan(got.volumes).all()
    assert np.isnan([got.mid, got.bucket_sizes]).all()
    assert np.isnan(got.imbalances).all()
    assert not got.known.any()
    assert (got.exchanges, got.present.tolist()) == (("a", "b"), [[True, False]])
    for required, is_known in (((), True), (("a",), True), (("b",), False)):
        assert adapter(*blind, required=required).cut(START, at(0.5)).known.any() == is_known
    listed = adapter(heatmap(0, cells, exchanges=IN[:1], missing=never)).cut(START, at(0.5))
    assert listed.known.all()
    nobody = adapter(heatmap(0, [], exchanges=[], missing=gone), required=()).cut(START, at(0.5))
    assert not nobody.known.any()


def test_a_candle_is_what_had_come_of_it_by_then():
    """Of [0 s, 1 s): told at 3 s, again at 3.5 s. The last finished one at 3 s is it, at 4 s the next: not told yet."""
    first, again = candle(0, (10, 12, 9, 11), 0, 3), candle(0, (10, 13, 9, 12), 1, 3.5, complete=False)
    for order in ([first, again], [again, first]):
        got = adapter(*order, timeframes=("1s",), candles=2).cut(at(2.5), at(4.5)).candles["1s"]
        assert np.isnan(got.values[0]).all(), "2.5 s: nothing is told"
        assert got.values[1:3, 1].tolist() == [[10, 12, 9, 11, 2, 3], [10, 13, 9, 12, 2, 3]]
        assert got.values[3, 0].tolist() == [10, 13, 9, 12, 2, 3]
        assert got.known.tolist() == [[False, False], [False, True], [False, True], [True, False]]
        assert got.complete.tolist() == [[False, False], [False, True], [False, False], [False, False]]


def test_nothing_received_at_the_cut_or_later_shows():
    gap = Gap("BTCUSDT", "a", T0 + 2 * S, T0 + S, None, "checksum", "c", "")
    closed = Gap("BTCUSDT", "a", T0 + 4 * S, T0 + S, T0 + 4 * S, "checksum", "c", "")
    proof = Continuity("BTCUSDT", "a", T0 + S, T0, T0 + S, "sequence", 5, 0, 1, "c", 1, None)
    later = Continuity("BTCUSDT", "a", T0 + 5 * S, T0, T0 + 5 * S, "sequence", 9, 0, 1, "c", 1, None)
    cells = [(100, 1, "bid"), (100, 1, "ask")]
    early = [heatmap(0, cells), update(gap), update(proof), candle(0, (1, 1, 1, 1), 0, 3)]
    late = [heatmap(4, cells), update(closed), update(later), candle(0, (2, 2, 2, 2), 1, 4)]
    options = {"timeframes": ("1s",), "candles": 2}
    cut = adapter(*early, *late, **options).cut(START, at(6), at(4))
    assert same(cut, adapter(*early, **options).cut(START, at(6), at(4)))
    assert (cut.gaps, cut.proof) == ((gap,), (proof,))
    whole = adapter(*early, *late, **options).cut(START, at(6))
    assert (whole.gaps, whole.proof) == ((closed,), (later,))
    assert whole.known[8].all()
    assert not cut.known[8:].any()


def test_only_what_was_received_since_the_start_shows_unless_asked_for_more():
    told = candle(-3, (5, 6, 4, 5), 0, 0)
    made = adapter(candle(-4, (1, 1, 1, 1), 0, -1), told, timeframes=("1s",), candles=2)
    assert made.cut(START, at(0.5)).candles["1s"].known.tolist() == [[False, True]]
    warm = made.cut(START, at(0.5), since=at(-10)).candles["1s"]
    assert warm.values[0, :, 0].tolist() == [1, 5]


def test_scenes_and_other_symbols_are_passed_over_and_a_moved_replay_begins_anew():
    cells = [(100, 1, "bid"), (100, 1, "ask")]
    other = heatmap(0, cells, symbol="ETHUSDT")
    scene = Update("heatmap", heatmap(0, cells).record, prelude=True)
    assert not adapter(other, scene).cut(START, at(0.5)).known.any()
    moved = adapter(heatmap(0, cells), Missed("hole", "x"), Moved("s", 1), heatmap(0.5, cells)).cut(
        START, at(1)
    )
    assert moved.known.all(axis=(1, 2)).tolist() == [False, True]
    assert moved.missed == ()


def test_what_had_to_go_and_what_never_came_is_said():
    cells = [(100, 1, "bid"), (100, 1, "ask")]
    lost = Missed("retention", "gone", "heatmap", 3)
    made = adapter(lost, *(heatmap(one / 2, cells) for one in range(5)), keep_ticks=3)
    got = made.cut(at(1), at(2.5))
    assert got.known.all()
    assert got.missed == (lost, Missed("not_kept", "2 of heatmap were dropped", "heatmap", 2))
    for start, end in ((at(1), at(1)), (START, at(2))):
        with pytest.raises(CobyError, match=r"value\.adapter"):
            made.cut(start, end)
    for wrong in (
        {"depth": 0},
        {"step_seconds": 0},
        {"candles": 0},
        {"keep_ticks": 0},
        {"timeframes": ("2m",)},
    ):
        with pytest.raises(CobyError, match=r"value\.adapter"):
            DataAdapter("BTCUSDT", **wrong)


def test_as_pandas_and_arrow_it_is_the_same_and_unknown_is_null():
    cells = [(100, 1.5, "bid"), (110, 4, "ask")]
    gap = Gap("BTCUSDT", "a", T0, T0, None, "checksum", "c", "")
    made = adapter(heatmap(0, cells, 90, 120), book(0, 104, (0.5, 0, 0, 0)), update(gap), Missed("hole", "x"),
                   timeframes=("1s",), candles=1)  # fmt: skip
    got = made.cut(START, at(1))
    frame, table = got.pandas(), got.arrow()
    assert frame.loc[START, ["mid", "top", "bid+0", "ask+1", "bid-1"]].tolist() == [104, 0.5, 1.5, 4, 0]
    assert frame["bid-2"].isna().all()
    assert "1s[-1].close" in frame
    assert table.column_names == ["time", *frame.columns]
    assert table["time"].to_pylist() == [START, at(0.5)]
    assert table["bid+0"].to_pylist() == [1.5, None]
    assert {
        name: json.loads(text) for name, text in (table.schema.metadata or {}).items() if name != b"symbol"
    } == {name.encode(): told for name, told in frame.attrs.items()}
    assert frame.attrs["gaps"][0]["reason"] == "checksum"
    assert frame.attrs["missed"] == [{"reason": "hole", "detail": "x", "channel": None, "count": None}]


# --- from raw frames on ---------------------------------------------------------------------------------------------

FIRST_NS = T0 * 1000
CONFIG = load_config({"EXCHANGES": "binance", "SYMBOLS": "BTCUSDT,ETHUSDT"})


def trained(log, cut_second):
    """The set of the run's first 60 s, cut there, as the pipeline makes it of these frames."""
    made = adapter(depth=5, timeframes=("1s", "1m"), candles=3)
    for one in Made(log, CONFIG).outputs:
        if one.topic in DataAdapter.CHANNELS:
            made.add(update(decode(one.value)))
    return made.cut(START, at(60), at(cut_second))


def altered(second):
    """The run with sizes of the frames of a second changed: of the book and of the trade."""
    log = frames(FIRST_NS)
    begin, end = FIRST_NS // 10**6 + second * 1000, FIRST_NS // 10**6 + second * 1000 + 1000
    for number, record in enumerate(log.records):
        if begin <= record.timestamp < end and record.value:
            changed = record.value.replace(b'.75"]', b'.85"]').replace(b'"q": "0.', b'"q": "3.')
            log.records[number] = record._replace(value=changed)
    return log


def test_a_later_frame_changes_nothing_and_an_earlier_one_does():
    whole = trained(frames(FIRST_NS), 40)
    assert whole.known[41:80].all(), "there is something to be changed"
    assert same(whole, trained(altered(40), 40))
    assert same(whole, trained(altered(52), 40))
    earlier = trained(altered(30), 40)
    assert not same(whole, earlier)
    first = 2 * 30 + 1
    for name, values in whole.numpy().items():
        if name.startswith("candles"):
            continue
        other = earlier.numpy()[name]
        assert np.array_equal(values[:first], other[:first], equal_nan=values.dtype.kind == "f"), name
    assert not np.array_equal(whole.volumes[first:], earlier.volumes[first:], equal_nan=True)
    candles, others = whole.candles["1s"].values, earlier.candles["1s"].values
    assert np.array_equal(candles[: 2 * 33], others[: 2 * 33], equal_nan=True), "told 2 s after its end"
    assert not np.array_equal(candles[2 * 33 :], others[2 * 33 :], equal_nan=True)


def test_a_lost_connection_is_nan_and_masked_and_told():
    """Disconnected with half second 38, connected again with 40, both a tenth of a second after it began."""
    got = trained(frames(FIRST_NS), 62)  # once a minute intervals are told that go on
    blind = [39, 40]
    assert not got.known[blind].any()
    assert np.isnan(got.volumes[blind]).all()
    assert np.isnan(got.mid[blind]).all()
    assert got.known[1:39].all()
    assert got.known[41:].all()
    assert got.present[[38, 39, 41], 0].tolist() == [True, False, True]
    (gap,) = [one for one in got.gaps if one.reason == "disconnected"]
    # Told after the fact: proven again at 20.1 s.
    assert (gap.from_time < T0 + 19_500_000, gap.until_time) == (True, T0 + 20_100_000)
    assert [one.start_time for one in got.proof][1:] == [gap.until_time]
    assert got.proof[0].end_time == gap.from_time


def test_public_names():
    """Programs count on these: they change with an entry in CHANGELOG.md only."""
    assert COBY.orchestrator.__all__ == [
        "CandleTensor", "DataAdapter", "Message", "Missed", "Moved", "OrchestratorInterface", "Place", "Subscription",
        "TrainingSet", "Update",
    ]  # fmt: skip
    public = {
        name: sorted(one for one in dir(getattr(COBY.orchestrator, name)) if not one.startswith("_"))
        for name in ("OrchestratorInterface", "DataAdapter", "Subscription")
    }
    assert public == {
        "OrchestratorInterface": [
            "aclose",
            "from_api",
            "from_kafka",
            "history",
            "latest",
            "replay",
            "subscribe",
        ],
        "DataAdapter": ["CHANNELS", "add", "collect", "cut"],
        "Subscription": ["aclose", "cursor"],
    }
    fields = {kind.__name__: " ".join(kind.__dataclass_fields__) for kind in (Update, Missed, Moved)}
    assert fields == {
        "Update": "channel record source position prelude session run n place cursor",
        "Missed": "reason detail channel count",
        "Moved": "session run",
    }
    assert " ".join(CandleTensor.__dataclass_fields__) == "values known complete"
    assert " ".join(TrainingSet.__dataclass_fields__) == (
        "symbol depth times volumes known bucket_sizes mid imbalances candles exchanges present gaps proof missed"
    )
