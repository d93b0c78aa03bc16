"""The local stack's three brokers: three copies of everything, one broker may be gone, and it finds its place again."""

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import ConfigResource, ResourceType

from COBY.config import load_config
from COBY.runtime.kafka import admin, apply_topics, client_settings
from COBY.topics import topic_name
from deploy.local.cluster import make_brokers
from deploy.local.ports import free_ports
from deploy.local.process import mark_of, marked
from tests.servers import LocalServers, eventually

pytestmark = [pytest.mark.long, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def brokers(server_source, tmp_path_factory):
    """Three, running."""
    if not isinstance(server_source, LocalServers):
        pytest.skip("servers come from containers here")
    folder = tmp_path_factory.mktemp("cluster")
    three = make_brokers(folder, free_ports(3))
    try:
        for one in [one for one in three if one.begin()]:
            one.finish()
        yield three
    finally:
        for one in three:
            one.kill()
    assert marked(mark_of(folder)) == []


@pytest.fixture(scope="module")
def cfg(brokers):
    """With every topic made."""
    servers = ",".join(one.bootstrap_servers for one in brokers)
    found = load_config({"KAFKA_BOOTSTRAP_SERVERS": servers, "TOPIC_PREFIX": "three"})
    apply_topics(found)
    return found


def copies(cfg, which):
    """How many replicas, or replicas in sync, partitions have, each number once."""
    topics = admin(cfg).list_topics(timeout=10).topics.values()
    return {len(getattr(one, which)) for topic in topics for one in topic.partitions.values()}


def write(cfg, value):
    producer = Producer(client_settings(cfg) | {"acks": "all", "message.timeout.ms": 60_000})
    failed = []
    producer.produce(
        topic_name("three", "trade"), value, b"k", on_delivery=lambda error, _: failed.append(error)
    )
    assert producer.flush(60) == 0
    assert failed == [None]


def read(cfg, count):
    settings = {"group.id": "three-readers", "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer(client_settings(cfg) | settings)
    try:
        consumer.subscribe([topic_name("three", "trade")])
        return [message.value() for message in consumer.consume(count, timeout=60)]
    finally:
        consumer.close()


def test_topics_have_three_copies_and_two_must_hold_a_record(cfg):
    topic = ConfigResource(ResourceType.TOPIC, topic_name("three", "trade"))
    client = admin(cfg)  # kept: without it the answer would never come
    settings = next(iter(client.describe_configs([topic]).values())).result(20)
    assert settings["min.insync.replicas"].value == "2"
    assert copies(cfg, "replicas") == {3}


def test_with_any_broker_gone_records_are_written_and_read_and_it_catches_up(brokers, cfg):
    written = []
    for one in brokers:
        one.kill()
        written.append(f"without {one.name}".encode())
        write(cfg, written[-1])
        assert sorted(read(cfg, len(written))) == sorted(written)
        one.start()
        eventually(lambda: copies(cfg, "isrs") == {3}, 60)
    # Kafka's own topic of offsets, made when the first group came, is among them.
    assert copies(cfg, "replicas") == {3}
    assert "__consumer_offsets" in admin(cfg).list_topics(timeout=10).topics
    leaders = {one.leader() for one in brokers}
    assert max(leaders)[1] in {1, 2, 3}
