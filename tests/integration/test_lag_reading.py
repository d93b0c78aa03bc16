"""`coby lag`, its status and the exporter, on a real broker; Kafka's own tool says what is right."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import pytest
from click.testing import CliRunner
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from prometheus_client.parser import text_string_to_metric_families

from COBY.lag import Status
from COBY.runtime.kafka import apply_topics, make_consumer, make_producer
from COBY.runtime.lag import LagReader, LagWatch
from COBY.runtime.lag_cli import lag
from COBY.runtime.lag_exporter import FAMILIES, serve
from COBY.topics import partition_of
from COBY.utils.exceptions import BrokerError
from deploy.local.ports import free_port
from tests.integration.sink_helpers import settings, until

COUNT, COMMITTED, AGE_SECONDS = 30, 12, 120


@pytest.fixture
def cfg(kafka, topic_prefix):
    found = settings(kafka, prefix=topic_prefix)
    apply_topics(found)
    return found


@pytest.fixture
def place(cfg):
    """A group at 12 of 30 records, each of them two minutes old: its topic, partition, group."""
    topic, number = f"{cfg.topic_prefix}.trade.v1", partition_of(b"k", 12)
    write(cfg, topic, COUNT, age_seconds=AGE_SECONDS)
    group = f"{cfg.topic_prefix}-timescale"
    commit(cfg, group, topic, number, COMMITTED)
    return topic, number, group


def write(cfg, topic, count, age_seconds=0):
    producer = make_producer(cfg, pytest.fail)
    for _ in range(count):
        producer.produce(topic, b"x", b"k", timestamp_ms=int((time.time() - age_seconds) * 1000))
    assert producer.flush(60) == 0


def commit(cfg, group, topic, number, offset):
    consumer = make_consumer(cfg, group)
    try:
        consumer.commit(offsets=[TopicPartition(topic, number, offset)], asynchronous=False)
    finally:
        consumer.close()


@contextmanager
def member(cfg, group, topic):
    """Somebody in the group, who takes nothing."""
    consumer = make_consumer(cfg, group)
    consumer.subscribe([topic])
    until(lambda: (consumer.poll(0.1), consumer.assignment())[1])
    stop = threading.Event()
    consumer.pause(consumer.assignment())
    polling = threading.Thread(target=lambda: [consumer.poll(0.1) for _ in iter(stop.is_set, True)])
    polling.start()
    try:
        yield
    finally:
        stop.set()
        polling.join()
        consumer.close()


def invoke(cfg, *arguments):
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": cfg.kafka_bootstrap_servers,
        "TOPIC_PREFIX": cfg.topic_prefix,
        "LOG_FILE": "-",
    }
    return CliRunner().invoke(lag, list(arguments), env=environ)


def test_lag_is_end_minus_committed_and_as_old_as_the_first_record_not_taken(cfg, place):
    topic, number, group = place
    answer = invoke(cfg, "--json")
    assert answer.exit_code == 0, answer.exception
    rows = json.loads(answer.stdout)
    assert len(rows) == 12
    (row,) = [row for row in rows if row["lag"]]
    seconds = row.pop("lag_seconds")
    assert AGE_SECONDS <= seconds < AGE_SECONDS + 60
    assert row == {
        "group": group, "topic": topic, "partition": number, "committed": 12, "end": 30, "lag": 18, "oldest": 0,
        "has_members": False,
    }  # fmt: skip
    assert {row["lag_seconds"] for row in rows if not row["lag"]} == {0}


def test_lag_is_a_table_and_its_exit_code_is_for_scripts(cfg, place):
    shown = invoke(cfg, "--group", place[2], "--max-lag", "18", "--max-seconds", "3600")
    assert shown.exit_code == 0
    head = ["GROUP", "TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "SECONDS"]
    assert shown.output.splitlines()[0].split() == head
    assert shown.output.splitlines()[-1] == "total lag 18"
    assert invoke(cfg, "--max-lag", "17").exit_code == 1
    assert invoke(cfg, "--max-seconds", "119").exit_code == 1


def test_lag_with_a_status_is_well_where_everything_was_taken(cfg, place):
    topic, number, group = place
    commit(cfg, group, topic, number, COUNT)
    answer = invoke(cfg, "--status")
    assert answer.exit_code == 0
    assert answer.output.splitlines()[0].split()[-1] == "STATUS"
    assert {line.split()[-1] for line in answer.output.splitlines()[1:-1]} == {"OK"}


@pytest.mark.long
def test_lag_with_a_status_fails_where_nobody_takes_anything(cfg, place):
    topic, number, group = place
    answer = invoke(cfg, "--status", "--json")  # half a minute
    assert answer.exit_code == 1
    (bad,) = [row for row in json.loads(answer.stdout) if row["status"] != "OK"]
    assert (bad["group"], bad["topic"], bad["partition"], bad["status"]) == (group, topic, number, "STOP")


def test_lag_that_is_watched_is_shown_again_and_again_until_it_is_interrupted(cfg, place):
    own = {"KAFKA_BOOTSTRAP_SERVERS": cfg.kafka_bootstrap_servers, "TOPIC_PREFIX": cfg.topic_prefix}
    command = [sys.executable, "-m", "COBY.runtime.cli", "lag", "--watch", "--json"]
    env = {**os.environ, **own, "LOG_FILE": "-"}
    # Whoever runs these tests in the background of a shell has SIGINT ignored, and children inherit that.
    default = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, preexec_fn=default) as child:
        first, second = (json.loads(child.stdout.readline()) for _ in range(2))
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 0
    assert [row["lag"] for row in first if row["lag"]] == [row["lag"] for row in second if row["lag"]] == [18]


def test_lag_of_an_unknown_group_is_an_error(cfg):
    caught = invoke(cfg, "--group", "nobody").exception
    assert isinstance(caught, BrokerError)
    assert caught.code == "kafka.unknown_group"


def test_lag_is_what_kafkas_own_tool_says(cfg, place, kafka):
    if kafka.server is None:
        pytest.skip("the broker is in a container: its tools are not here")
    write(cfg, f"{cfg.topic_prefix}.gap.v1", 5)
    other = f"{cfg.topic_prefix}-redis"
    commit(cfg, other, f"{cfg.topic_prefix}.gap.v1", partition_of(b"k", 12), 3)
    reader = LagReader(cfg)
    ours = {
        (row.group, row.topic, row.partition): (row.committed, row.end, row.lag)
        for row in reader.read()
        if row.committed is not None  # the tool lists what was committed
    }
    reader.close()
    assert len(ours) == 2
    assert ours == {
        key: value for group in (place[2], other) for key, value in by_kafka(kafka, group).items()
    }


def by_kafka(kafka, group):
    """(group, topic, partition) -> (committed, end, lag), as kafka-consumer-groups prints it."""
    text = kafka.server.tool("consumer.group.ConsumerGroupCommand", "--describe", "--group", group)
    lines = [line.split() for line in text.splitlines() if line.startswith(group)]
    return {(line[0], line[1], int(line[2])): tuple(int(cell) for cell in line[3:6]) for line in lines}


def test_a_group_that_stands_still_has_stopped_without_members_and_stalled_with_one(cfg, place):
    topic, number, group = place
    watch = LagWatch(cfg, window_seconds=1.0)

    def status():
        rows = {(row.lag.topic, row.lag.partition): row for row in watch.look()}
        return rows[topic, number].status

    assert status() is None, "one look says nothing"
    until(lambda: status() is Status.STOP)
    with member(cfg, group, topic):
        until(lambda: status() is Status.STALL)
    commit(cfg, group, topic, number, COUNT)
    until(lambda: status() is Status.OK)
    watch.close()


def test_a_group_that_goes_on_is_as_old_as_where_it_is_now(cfg, place):
    topic, number, group = place
    write(cfg, topic, 1, age_seconds=10)
    reader = LagReader(cfg)
    (first,) = [row for row in reader.read() if row.lag]
    commit(cfg, group, topic, number, COUNT)
    (second,) = [row for row in reader.read() if row.lag]
    (third,) = [row for row in reader.read() if row.lag]
    reader.close()
    assert (first.lag, second.lag) == (COUNT + 1 - COMMITTED, 1)
    assert second.lag_seconds < AGE_SECONDS <= first.lag_seconds
    assert second.lag_seconds < third.lag_seconds, "the same record, a moment later, not read again"


def test_a_place_that_retention_took_is_as_old_as_what_is_left(cfg, place):
    topic, number, _ = place
    write(cfg, topic, 1)
    client = AdminClient({"bootstrap.servers": cfg.kafka_bootstrap_servers})
    for done in client.delete_records([TopicPartition(topic, number, COUNT)]).values():
        done.result(60)
    reader = LagReader(cfg)
    (row,) = [row for row in reader.read() if row.lag]
    reader.close()
    assert (row.oldest, row.committed, row.end) == (COUNT, COMMITTED, COUNT + 1)
    assert row.lag_seconds < AGE_SECONDS, "of the record that is left, not of one that is gone"


def test_the_exporter_shows_what_the_reader_reads_under_the_names_of_kafka_exporter(cfg, place):
    topic, number, group = place
    port, stop = free_port(), threading.Event()
    serving = threading.Thread(target=serve, args=(replace(cfg, metrics_port=port), stop))
    serving.start()
    try:
        until(lambda: answers(port))
        text = page(port)
    finally:
        stop.set()
        serving.join()
    seen = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    here = (str(number), group, topic)
    assert seen["kafka_consumergroup_lag", *sorted(here)] == 18
    assert seen["kafka_consumergroup_current_offset", *sorted(here)] == 12
    assert seen["kafka_consumergroup_lag_sum", *sorted(here[1:])] == 18
    assert seen["kafka_topic_partition_current_offset", *sorted((str(number), topic))] == 30
    assert seen["kafka_topic_partition_oldest_offset", *sorted((str(number), topic))] == 0
    assert seen["kafka_topic_partitions", topic] == 12
    assert AGE_SECONDS <= seen["kafka_consumergroup_lag_seconds", *sorted(here)] < AGE_SECONDS + 60
    assert seen["coby_lag_look_age_seconds",] < 60
    assert {name for name in FAMILIES if f"# TYPE {name} gauge" in text} == set(FAMILIES)


def test_the_exporter_lives_on_without_a_broker_and_shows_that_it_sees_nothing(cfg):
    port, stop, nobody = free_port(), threading.Event(), free_port()
    away = replace(cfg, metrics_port=port, kafka_bootstrap_servers=f"127.0.0.1:{nobody}")
    serving = threading.Thread(target=serve, args=(away, stop))
    serving.start()
    try:
        until(lambda: serves(port) and "coby_lag_look_age_seconds" in page(port))
        assert serving.is_alive()
        assert not answers(port), "not ready"
        assert "kafka_consumergroup_lag{" not in page(port)
    finally:
        stop.set()
        serving.join()


def serves(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def page(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        return answer.read().decode()


def answers(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=10) as answer:
            return answer.status == 200
    except OSError:
        return False
