"""Two producers of one exchange, one killed every ten seconds for two minutes: processes, Kafka, a stream worker."""

import time
from collections import Counter
from dataclasses import replace

import pytest

from deploy.local.demo_facts import ask
from deploy.local.programs import pipeline
from tests.e2e.system import DERIVED, contents, recomputed, system, until
from tests.reference.compare import decode

EACH_SECONDS = 10.0
KILLS = 12
SYMBOLS = ("BTCUSDT", "ETHUSDT")
PATIENCE_SECONDS = 120


def newest_ticks(running):
    """Symbol -> its newest tick."""
    rows = [decode("book", record.value) for record in running.read("book")]
    return {row["symbol"]: row for row in rows}


def shown_conns(running):
    """The connections of the newest ticks; None among them for a blind one."""
    return {row["conn"] for row in newest_ticks(running).values()}


def opened(running):
    """Connections in the raw topic, in the order of their first records."""
    found = {}
    for message in running.messages("raw", "binance"):
        headers = dict(message.headers())
        if headers["kind"] == b"event":
            found.setdefault(headers["conn"].decode())
    return list(found)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_either_of_two_collectors_may_be_killed_without_a_blind_tick(kafka, topic_prefix, tmp_path):
    env = {**kafka.env, "TOPIC_PREFIX": topic_prefix, "SYMBOLS": ",".join(SYMBOLS), "COLLECTORS": "2"}
    table = {program.name: program for program in pipeline(["binance"], 2)}
    second = replace(table["producer-binance-b"])
    names = ("producer-binance", "streams", "clock")
    with system(tmp_path, env, names=names, options=("--rate", "200"), more=(second,)) as running:
        until(lambda: len(opened(running)) == 2, PATIENCE_SECONDS, "a connection of each collector")
        last = opened(running)[-1]
        until(lambda: shown_conns(running) == {last}, PATIENCE_SECONDS, "the newer one's books")
        began = max(row["timestamp"] for row in newest_ticks(running).values())
        for number in range(KILLS):
            due = time.monotonic() + EACH_SECONDS
            before = set(opened(running))
            # Whose books are shown now, in turn with the other.
            running.programs.kill(("producer-binance-b", "producer-binance")[number % 2])
            # The next is killed only once this one is back with its books, however long that takes here.
            until(lambda before=before: set(opened(running)) - before, PATIENCE_SECONDS, "its connection")
            back = (set(opened(running)) - before).pop()
            until(lambda back=back: shown_conns(running) == {back}, PATIENCE_SECONDS, "its books")
            time.sleep(max(0.0, due - time.monotonic()))
        running.rest()
        ticks = [decode("book", record.value) for record in running.read("book")]
        after = [row for row in ticks if row["timestamp"] > began]
        assert [(row["timestamp"], row["symbol"], row["reason"]) for row in after if not row["live"]] == []
        assert len({row["conn"] for row in after}) >= KILLS
        trades = [decode("trade", record.value) for record in running.read("trade")]
        counts = Counter((row["symbol"], row["trade_id"]) for row in trades)
        assert set(counts.values()) == {1}
        for symbol in SYMBOLS:
            said = ask(f"{running.simulator_url}/_sim/trades?exchange=binance&symbol={symbol}")
            assert said["complete"]
            assert {one["id"] for one in said["trades"]} == {own for name, own in counts if name == symbol}
        assert running.count("dlq") == 0
        expected = recomputed(running)
        for name in DERIVED:
            assert contents(running.read(name)) == expected[name], name
        names_told = {message.key() for message in running.messages("status")}
        assert len(names_told) == 2
        assert b"binance-0@b" in names_told
