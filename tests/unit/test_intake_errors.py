"""What a sink's consumer makes of errors among its records."""

import pytest
from confluent_kafka import KafkaError

from COBY.utils.exceptions import BrokerError
from sinks.intake import _check_errors


class Failed:
    """A record that is an error; those of confluent-kafka can't be made by hand."""

    def __init__(self, code):
        self.code = code

    def error(self):
        return KafkaError(self.code, "said by the broker")

    def topic(self):
        return "topic"


@pytest.mark.parametrize("code", [KafkaError._FATAL, KafkaError.FENCED_INSTANCE_ID])
def test_a_fatal_error_of_a_consumer_is_not_marked_as_one(code):
    assert not KafkaError(code, "").fatal()


def test_a_fatal_error_ends_the_sink():
    with pytest.raises(BrokerError, match="said by the broker") as caught:
        _check_errors([Failed(KafkaError._PARTITION_EOF), Failed(KafkaError._FATAL)])
    assert caught.value.code == "kafka.fatal"


def test_a_passing_error_does_not():
    _check_errors([Failed(KafkaError._ALL_BROKERS_DOWN), Failed(KafkaError.NOT_LEADER_FOR_PARTITION)])
