import pytest

from COBY.topics import all_topics, murmur2, partition_of, topic_config, topic_name

# Published in Apache Kafka's own UtilsTest.testMurmur2.
VECTORS = [
    (b"21", -973932308),
    (b"foobar", -790332482),
    (b"a-little-bit-long-string", -985981536),
    (b"a-little-bit-longer-string", -1486304829),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    (b"abc", 479470107),
]


@pytest.mark.parametrize(("key", "signed"), VECTORS)
def test_murmur2_gives_kafkas_published_values(key, signed):
    assert murmur2(key) == signed % 2**32


def test_a_partition_is_the_positive_part_of_the_hash():
    assert partition_of(b"21", 12) == (-973932308 & 0x7FFFFFFF) % 12


def test_names_follow_the_prefix():
    assert topic_name("coby", "raw", "kraken") == "coby.raw.kraken.v1"
    assert topic_name("t1", "heatmap") == "t1.heatmap.v1"
    with pytest.raises(KeyError):
        topic_name("coby", "nothing")


def test_every_exchange_has_a_raw_topic():
    topics = all_topics("coby", ("a", "b"))
    assert {"coby.raw.a.v1", "coby.raw.b.v1"} <= set(topics)
    assert "coby.raw.{}.v1" not in topics


def test_no_topic_refuses_large_records_or_times_of_the_future():
    for row in all_topics("coby", ("a",)).values():
        config = topic_config(row)
        assert int(config["max.message.bytes"]) == 32 * 1024 * 1024
        assert int(config["message.timestamp.after.max.ms"]) == 2**63 - 1
