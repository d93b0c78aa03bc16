"""What case 20 goes by, and what a stack of three brokers agrees on: no server is started here."""

import json

import pytest

from deploy.local.cluster import Broker, brokers_there, make_brokers, require_same_brokers
from deploy.local.errors import LocalError
from deploy.local.ports import Ports
from tests.faults.cases_brokers import Standstill


def longest(*looks):
    """Looks are (second, trouble), the pipeline was current at second 0."""
    stands = Standstill(0.0)
    for now, trouble in looks:
        stands.look(now, trouble)
    return stands.seconds_max, stands.what


def test_a_standstill_lasts_from_the_last_look_at_which_all_was_current_to_the_next():
    assert longest((1, ""), (2, "a"), (6, "b"), (9, ""), (10, "")) == (8, "b")
    assert longest((1, "a"), (2, ""), (3, "b"), (8, "")) == (6, "b")
    assert longest((1, ""), (3, "")) == (2, "")


def test_a_standstill_that_has_not_ended_counts_too():
    assert longest((1, ""), (2, "a"), (40, "a")) == (39, "a")


def test_a_look_that_takes_long_is_no_sign_of_life():
    assert longest((1, ""), (36, "")) == (35, "")


def test_three_addresses_are_three_brokers():
    ports = Ports.from_settings({"KAFKA_BOOTSTRAP_SERVERS": "localhost:9092, 127.0.0.1:9093,localhost:9094"})
    assert (ports.kafka, ports.more_kafka) == (9092, (9093, 9094))
    assert Ports.from_settings({}).more_kafka == ()
    free = Ports.free(brokers=3)
    assert len({free.kafka, free.postgres, free.redis, *free.more_kafka}) == 5


@pytest.mark.parametrize(
    ("servers", "code"),
    [
        ("localhost:9092,localhost:9093", "setting_invalid"),
        ("localhost:9092,localhost:9092,localhost:9093", "setting_invalid"),
        ("localhost:9092,localhost:9093,localhost", "setting_invalid"),
        ("localhost:9092,localhost:9093,kafka:9094", "not_local"),
    ],
)
def test_addresses_that_are_neither_one_broker_nor_three_are_refused(servers, code):
    with pytest.raises(LocalError, match="KAFKA_BOOTSTRAP_SERVERS") as caught:
        Ports.from_settings({"KAFKA_BOOTSTRAP_SERVERS": servers})
    assert caught.value.code == code


@pytest.mark.parametrize(("there", "wanted"), [(1, 3), (3, 1)])
def test_data_of_another_number_of_brokers_are_not_passed_over(tmp_path, there, wanted):
    ports = range(20_001, 20_004)
    for one in make_brokers(tmp_path, ports[:there]):
        one.data.mkdir()
    assert brokers_there(tmp_path) == there
    require_same_brokers(tmp_path, make_brokers(tmp_path, ports[:there]))
    with pytest.raises(LocalError, match=f"data of {there} Kafka brokers") as caught:
        require_same_brokers(tmp_path, make_brokers(tmp_path, ports[:wanted]))
    assert caught.value.code == "setting_invalid"


def test_an_empty_folder_takes_either_number(tmp_path):
    for count in (1, 3):
        require_same_brokers(tmp_path, make_brokers(tmp_path, range(20_001, 20_001 + count)))


def test_the_leader_is_read_from_what_kafka_notes_down(tmp_path):
    broker = Broker(tmp_path, (20_001, 20_002, 20_003), 2)
    assert (broker.port, broker.name) == (20_002, "kafka-2")
    assert broker.leader() == (0, 0)
    state = broker.data / "data" / "__cluster_metadata-0" / "quorum-state"
    state.parent.mkdir(parents=True)
    state.write_text(json.dumps({"leaderId": 3, "leaderEpoch": 7, "votedId": -1, "data_version": 0}))
    assert broker.leader() == (7, 3)
    state.write_text(json.dumps({"leaderId": -1, "leaderEpoch": 8, "votedId": 2, "data_version": 0}))
    assert broker.leader() == (8, 0)
