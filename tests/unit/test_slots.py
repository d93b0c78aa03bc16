"""Forty symbols over sockets: figures from the exchanges' documents (EXCHANGES.md), spread by hand."""

import pytest

from COBY.config import load_config
from COBY.exchanges import load, names
from COBY.slots import slots_of
from COBY.utils.exceptions import ConfigurationError
from deploy.local.programs import pipeline
from producers.__main__ import collector_name

FORTY = ",".join(f"{letter}{other}AUSDT" for letter in "BCDFG" for other in "KLMNPRST")
# Subscriptions that a connection may hold at most, two a symbol: 1, 9, 6, 7 and 10 of EXCHANGES.md.
TOPICS = {"binance": 1024, "bitfinex": 25, "huobi": 2 * 100, "kucoin": 400, "mexc": 30}


def config(**env):
    sizes = {f"BUCKET_SIZE_{symbol}": "1" for symbol in FORTY.split(",")}
    return load_config({"SYMBOLS": FORTY, "LOG_FILE": "-", **sizes, **env})


@pytest.mark.parametrize("name", names())
def test_forty_symbols_fit_five_sockets_and_each_sockets_limit(name):
    found = slots_of(config(), name)
    served = [symbol for slot in found for symbol in slot.symbols.values()]
    assert sorted(served) == sorted(FORTY.split(","))
    assert len(found) * load(name).limits.sockets <= 5
    largest, smallest = (pick(len(slot.symbols) for slot in found) for pick in (max, min))
    assert largest - smallest <= 1, "evenly"
    assert 2 * largest <= TOPICS.get(name, 10_000)


def test_sockets_are_counted_where_a_connection_has_two():
    assert len(slots_of(config(MAX_CONNECTIONS_PER_EXCHANGE="5"), "huobi")) == 2
    assert len(slots_of(config(MAX_CONNECTIONS_PER_EXCHANGE="1", SYMBOLS="BTCUSDT"), "huobi")) == 1


@pytest.mark.parametrize(
    ("name", "sockets", "enough"),
    [("mexc", 2, 3), ("bitfinex", 3, 4), ("huobi", 3, 4), ("binance", 1, 4)],
)
def test_more_symbols_than_sockets_can_carry_stop_the_program(name, sockets, enough):
    with pytest.raises(ConfigurationError) as caught:
        slots_of(config(MAX_CONNECTIONS_PER_EXCHANGE=str(sockets)), name)
    assert caught.value.code == "config.too_many_symbols"
    assert f"from {enough} on" in str(caught.value)
    slots_of(config(MAX_CONNECTIONS_PER_EXCHANGE=str(enough)), name)


def test_what_is_not_listed_takes_no_place_on_a_socket():
    away = {f"MEXC_SYMBOL_{symbol}": "-" for symbol in FORTY.split(",")[15:]}
    (slot,) = slots_of(config(MAX_CONNECTIONS_PER_EXCHANGE="1", **away), "mexc")
    assert len([name for name in slot.symbols if not name.startswith("!")]) == 15


def test_collectors_have_names_where_there_are_several(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "box")
    assert collector_name(config()) is None
    assert collector_name(config(COLLECTORS="2")) == "box"
    assert collector_name(config(COLLECTORS="2", COLLECTOR="b")) == "b"
    assert collector_name(config(COLLECTOR="here")) == "here"


def test_the_local_stack_has_a_producer_for_each_collector():
    one = {program.name for program in pipeline(["binance", "okx"])}
    two = {program.name: program.env for program in pipeline(["binance", "okx"], 2)}
    assert set(two) - one == {"producer-binance-b", "producer-okx-b"}
    assert two["producer-okx"] == {"COLLECTORS": "2", "COLLECTOR": "a"}
    assert two["producer-okx-b"] == {"COLLECTORS": "2", "COLLECTOR": "b"}
    ports = [program.metrics_port for program in pipeline(["binance", "okx"], 2)]
    assert len(set(ports)) == len(ports)
