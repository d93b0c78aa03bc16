"""Three exchanges at once, with losses on the way: the topics against an independent computation of the raw topics."""

from collections import Counter
from decimal import Decimal

import pytest

from COBY.codec import decode
from deploy.local.demo_facts import ask
from tests.e2e.system import DERIVED, contents, raw_rows, recomputed, system, until
from tests.reference import compare, run
from tests.reference.settings import Settings

EXCHANGES = ("binance", "kraken", "okx")
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture(scope="module")
def lived(kafka, tmp_path_factory):
    """Some seconds of three markets; every exchange loses updates of both books, one closes its connections."""
    env = {
        **kafka.env,
        "TOPIC_PREFIX": "tthree",
        "EXCHANGES": ",".join(EXCHANGES),
        "SYMBOLS": ",".join(SYMBOLS),
        "UPDATE_FREQUENCY": "0.1",
    }
    names = ("streams", "clock", *(f"producer-{exchange}" for exchange in EXCHANGES))
    with system(tmp_path_factory.mktemp("three"), env, names=names, options=("--rate", "300")) as running:
        until(lambda: running.count("heatmap") > 100, 60, "10 s of heatmaps")
        for exchange in EXCHANGES:
            for symbol in SYMBOLS:
                fault(running, kind="drop_frames", exchange=exchange, symbol=symbol, count=3)
        until(lambda: running.count("heatmap") > 200, 60, "10 s more")
        until(lambda: healed(running, ("sequence_gap", "checksum")), 60, "each loss found and made good")
        fault(running, kind="disconnect", exchange="okx")
        until(lambda: running.count("heatmap") > 300, 60, "10 s more")
        until(lambda: healed(running, ("disconnected",), ("okx",)), 60, "the connection made anew")
        until(lambda: whole(running) > 100, 120, "heatmaps of all three")
        running.rest()
        yield running


def healed(running, reasons, exchanges=EXCHANGES) -> bool:
    """Whether each book of these exchanges has been lost for one of these reasons, and is there again."""
    gaps = [decode(record.value) for record in running.read("gap")]
    for exchange in exchanges:
        for symbol in SYMBOLS:
            of_book = [gap for gap in gaps if (gap.exchange, gap.symbol) == (exchange, symbol)]
            if not {gap.reason for gap in of_book} & set(reasons) or of_book[-1].until_time is None:
                return False
    return True


def whole(running) -> int:
    """How many heatmaps there are of all exchanges."""
    return sum(len(decode(record.value).exchanges) == len(EXCHANGES) for record in running.read("heatmap"))


def fault(running, **what):
    body = compare.json.dumps(what).encode()
    ask(f"{running.simulator_url}/_sim/fault", post=True, body=body)


@pytest.fixture(scope="module")
def expected(lived):
    settings = Settings(
        EXCHANGES,
        SYMBOLS,
        {"BTCUSDT": Decimal(10), "ETHUSDT": Decimal(1)},
        update_frequency_us=100_000,
        silence_seconds={"binance": 60, "kraken": 10, "okx": 60},
    )
    return run.compute(raw_rows(lived), settings)


def decoded(lived, name):
    return [compare.decode(name, record.value) for record in lived.read(name)]


@pytest.mark.parametrize("name", run.TOPICS)
def test_an_independent_computation_gives_the_same_records(lived, expected, name):
    actual = decoded(lived, name)
    assert len(actual) >= 6, name
    assert compare.compare_topic(name, expected[name], actual) == []


def test_the_holes_are_those_of_the_independent_computation(lived, expected):
    """It dates a hole from where it shows; the record says since when nothing was proven, so never later."""

    def holes(rows):
        return Counter(
            (*(row[key] for key in ("symbol", "exchange", "timestamp", "reason", "until_time", "conn")),)
            for row in rows
        )

    actual = decoded(lived, "gap")
    assert holes(actual) == holes(expected["gap"])
    shown = {(row["symbol"], row["exchange"], row["timestamp"]): row["from_time"] for row in expected["gap"]}
    for row in actual:
        assert row["from_time"] <= shown[row["symbol"], row["exchange"], row["timestamp"]]


def test_the_intervals_that_ended_are_those_of_the_independent_computation(lived, expected):
    ended = [row for row in decoded(lived, "continuity") if row["reason"] is not None]
    assert len(ended) >= 6
    assert compare.compare_topic("continuity", expected["continuity"], ended) == []


def test_the_topics_hold_what_one_undisturbed_worker_makes_of_the_raw_topics(lived):
    found = recomputed(lived)
    for name in DERIVED:
        assert contents(lived.read(name)) == found[name], name


def test_losses_blinded_each_book_and_it_came_back(lived):
    gaps = decoded(lived, "gap")
    for exchange in EXCHANGES:
        for symbol in SYMBOLS:
            of_book = [gap for gap in gaps if (gap["exchange"], gap["symbol"]) == (exchange, symbol)]
            reasons = {gap["reason"] for gap in of_book}
            assert ("checksum" if exchange == "kraken" else "sequence_gap") in reasons
            assert of_book[-1]["until_time"] is not None
    assert decoded(lived, "dlq") == [] if lived.count("dlq") else True


def names(rows):
    return [row["exchange"] for row in rows]


def test_each_heatmap_names_who_is_in_it_and_who_is_missing_and_why(lived):
    heatmaps = decoded(lived, "heatmap")
    whole = [one for one in heatmaps if names(one["exchanges"]) == list(EXCHANGES)]
    assert len(whole) > 100
    reasons = {(missing["exchange"], missing["reason"]) for one in heatmaps for missing in one["missing"]}
    assert {("kraken", "checksum"), ("binance", "sequence_gap")} <= reasons
    # Once another connection is there, it is the one whose book has never been known.
    assert {("okx", "disconnected"), ("okx", "never_connected")} & reasons
    for one in heatmaps:
        assert sorted(names(one["exchanges"]) + names(one["missing"])) == sorted(EXCHANGES)
    assert max(point["exchange_count"] for one in whole for point in one["data"]) == len(EXCHANGES)
