"""Kafka's topics against the table, the producer's promises, and lag, on a real broker."""

import random
import socket

import pytest
from click.testing import CliRunner
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from COBY.runtime.kafka import admin, apply_topics, check_topics, make_consumer, make_producer, require_broker
from COBY.runtime.topics_cli import topics
from COBY.topics import partition_of
from COBY.utils.exceptions import BrokerError
from tests.integration.sink_helpers import settings, until


@pytest.fixture
def cfg(kafka, topic_prefix):
    return settings(kafka, prefix=topic_prefix)


@pytest.fixture
def client(cfg):
    return admin(cfg)


def invoke(command, cfg, *arguments):
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": cfg.kafka_bootstrap_servers,
        "TOPIC_PREFIX": cfg.topic_prefix,
        "LOG_FILE": "-",
    }
    return CliRunner().invoke(command, list(arguments), env=environ)


def refusal(action, cfg):
    try:
        action(cfg)
    except BrokerError as error:
        return error


def test_apply_creates_the_table_and_a_second_apply_changes_nothing(cfg, client, topic_prefix):
    with pytest.raises(BrokerError) as caught:
        check_topics(cfg)
    assert caught.value.code == "topics.missing"
    assert f"{topic_prefix}.trade.v1 is missing" in str(caught.value)
    assert apply_topics(cfg)
    until(lambda: refusal(check_topics, cfg) is None)  # brokers hear of a topic a little later
    assert apply_topics(cfg) == []
    found = client.list_topics(timeout=60).topics
    assert len(found[f"{topic_prefix}.raw.binance.v1"].partitions) == 4
    assert len(found[f"{topic_prefix}.heatmap.v1"].partitions) == 12
    assert len(found[f"{topic_prefix}.settings.v1"].partitions) == 1


def test_retention_of_raw_topics_follows_the_settings(kafka, topic_prefix):
    cfg = settings(kafka, prefix=topic_prefix, RETENTION_RAW="2h", RETENTION_RAW_BYTES="123456789")
    apply_topics(cfg)
    until(lambda: refusal(check_topics, cfg) is None)
    client = admin(cfg)
    resource = ConfigResource(ResourceType.TOPIC, f"{topic_prefix}.raw.binance.v1")
    (answer,) = client.describe_configs([resource]).values()
    entries = answer.result(60)
    assert entries["retention.ms"].value == "7200000"
    assert entries["retention.bytes"].value == "123456789"
    assert entries["max.message.bytes"].value == str(32 * 1024 * 1024)
    assert entries["message.timestamp.after.max.ms"].value == str(2**63 - 1)


def test_a_setting_that_drifted_is_shown_exactly_and_mended(cfg, client, topic_prefix):
    apply_topics(cfg)
    until(lambda: refusal(check_topics, cfg) is None)
    topic = f"{topic_prefix}.book.v1"
    entry = ConfigEntry("retention.ms", "1234567", incremental_operation=AlterConfigOpType.SET)
    change = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    for done in client.incremental_alter_configs([change]).values():
        done.result(60)
    caught = until(lambda: refusal(check_topics, cfg))  # brokers hear of a change a little later
    assert caught.code == "topics.config"
    assert caught.message == f"{topic}: retention.ms is 1234567, must be 172800000"
    assert apply_topics(cfg) == [f"set {topic} retention.ms=172800000 (was 1234567)"]
    until(lambda: refusal(check_topics, cfg) is None)


def test_another_number_of_partitions_is_refused_and_nothing_else_touched(cfg, client, topic_prefix):
    topic = f"{topic_prefix}.trade.v1"
    for done in client.create_topics([NewTopic(topic, 3, 1)]).values():
        done.result(60)
    until(lambda: topic in client.list_topics(timeout=60).topics)
    caught = refusal(apply_topics, cfg)
    assert caught.code == "topics.partitions"
    assert caught.message == f"{topic}: partitions is 3, must be 12"
    assert f"{topic}: partitions is 3, must be 12" in refusal(check_topics, cfg).message
    assert f"{topic_prefix}.book.v1" not in client.list_topics(timeout=60).topics


@pytest.mark.long
def test_a_missing_broker_is_one_clear_error(topic_prefix):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    cfg = settings(prefix=topic_prefix, KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{port}")
    with pytest.raises(BrokerError) as caught:
        require_broker(cfg)
    assert caught.value.code == "kafka.unreachable"
    assert f"127.0.0.1:{port}" in str(caught.value)


def test_keys_go_to_the_partitions_that_the_table_of_topics_says(cfg, topic_prefix):
    apply_topics(cfg)
    found, errors = {}, []
    producer = make_producer(cfg, errors.append)

    def delivered(_error, message):
        found[message.key()] = message.partition()

    keys = [random.randbytes(random.randint(1, 20)) for _ in range(200)]
    for key in keys:
        producer.produce(f"{topic_prefix}.trade.v1", b"x", key, on_delivery=delivered)
    assert producer.flush(60) == 0
    assert errors == []
    assert found == {key: partition_of(key, 12) for key in keys}


def test_a_full_queue_waits_and_offer_says_so(cfg, topic_prefix):
    apply_topics(cfg)
    errors = []
    producer = make_producer(cfg, errors.append, queue_buffering_max_messages=10, linger_ms=50)
    topic = f"{topic_prefix}.trade.v1"
    taken = sum(producer.offer(topic, b"x", b"k") for _ in range(1_000))
    assert 10 <= taken < 1_000
    for _ in range(500):
        producer.produce(topic, b"x", b"k")
    assert producer.flush(60) == 0
    assert errors == []
    consumer = make_consumer(cfg, f"{topic_prefix}-count")
    try:
        where = TopicPartition(topic, partition_of(b"k", 12))
        assert consumer.get_watermark_offsets(where, timeout=60) == (0, taken + 500)
    finally:
        consumer.close()


def test_a_record_that_is_too_large_is_refused_at_once_and_ends_nothing(cfg, topic_prefix):
    apply_topics(cfg)
    errors = []
    producer = make_producer(cfg, errors.append)
    topic = f"{topic_prefix}.raw.binance.v1"
    with pytest.raises(BrokerError) as caught:
        producer.produce(topic, bytes(33 * 1024 * 1024), b"k")
    assert caught.value.code == "kafka.too_large"
    producer.produce(topic, random.randbytes(31 * 1024 * 1024), b"k")
    assert producer.flush(60) == 0
    assert errors == []


def test_the_commands_apply_and_check(cfg, topic_prefix):
    assert f"created {topic_prefix}.trade.v1 with 12 partitions" in invoke(topics, cfg, "apply").output
    until(lambda: refusal(check_topics, cfg) is None)
    assert invoke(topics, cfg, "apply").output == ""
    checked = invoke(topics, cfg, "check")
    assert (checked.exit_code, checked.output) == (0, "27 topics are as in the table\n")


def test_a_failed_delivery_is_told_though_no_callback_asked_for_it(cfg, topic_prefix):
    apply_topics(cfg)
    errors = []
    producer = make_producer(cfg, errors.append)
    producer.produce(f"{topic_prefix}.trade.v1", b"value", partition=99)  # there are twelve
    producer.flush(60)
    assert [error.code for error in errors] == ["kafka.delivery"]
