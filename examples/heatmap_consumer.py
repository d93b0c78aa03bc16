"""Each heatmap and its hottest cell: `pip install 'coby[client]'`; KAFKA_BOOTSTRAP_SERVERS says where Kafka is."""

from confluent_kafka import Consumer

from COBY.codec import decode
from COBY.config import config
from COBY.jsonform import plain
from COBY.runtime.reader import Reader, place_of

settings = {"group.id": "heatmaps", "auto.offset.reset": "earliest"}
consumer = Consumer(config.kafka_client_settings() | settings)
consumer.subscribe([f"{config.topic_prefix}.heatmap.v1"])
taken = Reader()  # a writer that starts anew repeats itself
while (message := consumer.poll(60)) is not None:  # ends after a minute of silence
    if error := message.error():
        raise SystemExit(error.str())
    if taken.is_new(message.topic(), message.partition(), *place_of(message.headers())):
        found = plain(decode(message.value()))
        hottest = max(found["data"], key=lambda cell: cell["intensity"], default=None)
        print(found["symbol"], found["timestamp"], hottest)
