"""How a streams process ends, and what does not end it."""

import signal
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from tests.integration.test_streams_echo import HUGE, POISON, bench, end_of, expected, places, until

__all__ = ["bench"]  # the fixture


def test_a_task_that_raises_ends_the_process_and_nothing_is_acked(bench):
    bench.write(0, [b"a", b"b", POISON, b"c"])
    bench.write(1, [b"fine"])
    with bench.worker() as worker:
        assert end_of(worker) == 1
        assert b"the task met poison" in Path(worker.log).read_bytes()
    assert bench.committed()[0] is None
    assert "binance/0" not in bench.outputs()


def test_an_output_kafka_refuses_ends_the_process_with_one_line(bench):
    bench.write(0, [b"fine", HUGE, b"c"])
    with bench.worker() as worker:
        assert end_of(worker) == 2
        assert b"error kafka.too_large: " in Path(worker.log).read_bytes()
    assert bench.committed()[0] is None


def test_a_log_with_holes_in_it_is_begun_again_once_and_then_ends_the_process(bench):
    settings = {"bootstrap.servers": bench.servers, "transactional.id": bench.prefix}
    writer = Producer(settings)
    writer.init_transactions(60)
    for value in (b"before", b"after"):  # the end of a transaction takes an offset, which no reader sees
        writer.begin_transaction()
        writer.produce(bench.raw, value, partition=0)
        writer.commit_transaction(60)
    with bench.worker() as worker:
        assert end_of(worker) == 2
        log = Path(worker.log).read_bytes()
    assert b"error kafka.hole: " in log
    assert log.count(b'"event": "hole"') == 1
    assert [first for _, _, _, _, first, _ in bench.chunks()].count(0) <= 2


def test_sigterm_in_mid_load_acks_what_is_delivered_and_no_more(bench):
    values = [b"%d" % at for at in range(60_000)]
    bench.write(0, values)
    # From inside, at its fifth chunk: sent from here it might come when all has been done already.
    with bench.worker(ECHO_TERM_AT="5") as worker:
        assert end_of(worker) == 0, "also in time: after 30 s it would end by itself, with 3"
    committed = bench.committed()[0]
    found = places(bench.outputs()["binance/0"])
    assert found == expected(values)[: len(found)]
    assert committed == len(found) < len(values)


def test_a_missing_topic_stops_the_start_with_one_line(bench):
    gone = bench.admin.delete_topics([f"{bench.prefix}.gap.v1"])
    next(iter(gone.values())).result(60)
    until(lambda: f"{bench.prefix}.gap.v1" not in bench.admin.list_topics(timeout=30).topics)
    with bench.worker() as worker:
        assert end_of(worker) == 2
        assert b"error topics.missing: " in Path(worker.log).read_bytes()


@pytest.mark.long
def test_a_broker_that_goes_away_and_comes_back_is_waited_for(bench, kafka):
    if kafka.server is None:
        pytest.skip("a container's broker can't be killed and started")
    values = [b"%d" % at for at in range(3_000)]
    with bench.worker() as worker:
        bench.write(0, values[:1_000])
        until(lambda: bench.committed()[0] == 1_000)
        kafka.server.kill()
        time.sleep(15)  # longer than a session
        kafka.server.start()
        bench.write(0, values[1_000:])
        until(lambda: bench.committed()[0] == 3_000)
        assert worker.poll() is None
        assert set(places(bench.outputs()["binance/0"])) == set(expected(values))
        worker.send_signal(signal.SIGTERM)
        assert end_of(worker) == 0
