"""`python -m tests.bench.plain_copy`: what a replay at full speed is measured by; the loop that anybody would write.

All derived topics that can be replayed go into one partition, with key, value, timestamp and headers, with the same
settings of clients as a session's. Nothing is put in order, paced, numbered, or kept for a successor.
"""

from __future__ import annotations

import os

from confluent_kafka import OFFSET_BEGINNING, Producer, TopicPartition

from COBY.config import Config, load_config
from COBY.replays.sessions import CHANNELS, replay_topic
from COBY.runtime.kafka import producer_settings
from COBY.runtime.ranges import range_consumer
from COBY.topics import PARTITIONS, topic_name
from COBY.utils.exceptions import BrokerError
from replay.__main__ import GENTLE
from replay.release import LINGER_MS

COPY = "copy"
"""The copy writes the topic that a session of this name would have."""
BATCH = 1_000


def main(config: Config) -> None:
    """Copy what there is, until stopped."""
    consumer = range_consumer(config, "bench-copy", enable_partition_eof=False)
    producer = Producer(producer_settings(config, _raise) | {"linger.ms": LINGER_MS})
    names = [topic_name(config.topic_prefix, channel) for channel in CHANNELS]
    topic = replay_topic(config.topic_prefix, COPY)
    consumer.assign(
        [TopicPartition(name, number, OFFSET_BEGINNING) for name in names for number in range(PARTITIONS)]
    )
    while True:
        for message in consumer.consume(BATCH, 0.1):
            while True:
                try:
                    producer.produce(
                        topic,
                        message.value(),
                        message.key(),
                        partition=0,
                        timestamp=message.timestamp()[1],
                        headers=message.headers(),
                    )
                    break
                except BufferError:
                    producer.poll(0.05)
        producer.poll(0)


def _raise(error: BrokerError) -> None:
    raise error


if __name__ == "__main__":
    os.nice(GENTLE)
    main(load_config())
