"""What follows from settings: bucket sizes, addresses, clients' settings, the hash of what shapes results."""

import hashlib
from urllib.parse import unquote, urlsplit

import psycopg
import pytest
import redis
from confluent_kafka import KafkaException, Producer

from COBY.config import Config, load_config
from COBY.utils.exceptions import ConfigurationError


def test_bucket_sizes_go_by_symbol_then_by_base_currency():
    config = load_config({"BUCKET_SIZE_BTCUSD": "25.01", "ETH_BUCKET_SIZE": "0.29", "SYMBOLS": "BTCUSDT"})
    assert config.get_bucket_size("BTCUSDT") == 10.0
    assert config.get_bucket_size("BTCUSD") == 25.01
    assert config.bucket_size_units("BTCUSDT") == 1_000_000_000
    assert config.bucket_size_units("BTCUSD") == 2_501_000_000
    assert config.bucket_size_units("ETHUSDT") == 29_000_000  # 0.29 * 10**8 in floats is 28999999.999999996


def test_a_symbol_without_a_bucket_size_names_the_setting_to_set():
    with pytest.raises(ConfigurationError, match="set BUCKET_SIZE_SOLUSDT"):
        Config().get_bucket_size("SOLUSDT")


def test_addresses_and_names_of_an_exchange_can_be_replaced():
    environ = {
        "BINANCE_WS_URL": "ws://127.0.0.1:7000/",
        "BINANCE_REST_URL": "http://127.0.0.1:7001/base",
        "BINANCE_SYMBOL_BTCUSDT": "BTCFDUSD",
        "BINANCE_SYMBOL_ETHUSDT": "-",
        "OTHER_WS_URL": "not ours to judge",
    }
    config = load_config(environ)
    assert config.ws_url("binance") == "ws://127.0.0.1:7000"
    assert config.rest_url("binance") == "http://127.0.0.1:7001/base"
    assert config.exchange_symbol("binance", "BTCUSDT") == "BTCFDUSD"
    assert config.exchange_symbol("binance", "ETHUSDT") == "-"
    assert Config().ws_url("binance") is None
    assert Config().exchange_symbol("binance", "BTCUSDT") is None


def test_the_database_url_is_read_back_the_same_by_libpq():
    environ = {"DB_USER": "m@rket", "DB_PASSWORD": "p/a:s?s#%", "DB_NAME": "a b", "DB_SSLMODE": "require"}
    url = load_config({**environ, "DB_HOST": "::1", "DB_PORT": "6000"}).get_database_url()
    assert url.startswith("postgresql://")
    assert psycopg.conninfo.conninfo_to_dict(url) == {
        "user": "m@rket",
        "password": "p/a:s?s#%",
        "host": "::1",
        "port": "6000",
        "dbname": "a b",
        "sslmode": "require",
    }


def test_a_database_socket_is_a_folder():
    url = load_config({"DB_HOST": "/var/run/postgresql"}).get_database_url()
    assert psycopg.conninfo.conninfo_to_dict(url)["host"] == "/var/run/postgresql"


def test_the_redis_url_is_read_back_the_same_by_its_client():
    url = load_config({"REDIS_PASSWORD": "p@:/", "REDIS_TLS": "true", "REDIS_PORT": "7000"}).get_redis_url()
    assert urlsplit(url).scheme == "rediss"
    assert unquote(urlsplit(url).password or "") == "p@:/"
    options = redis.connection.parse_url(url)
    assert (options["host"], options["port"], options["db"]) == ("localhost", 7000, 0)
    assert options["password"] == "p@:/"


def test_librdkafka_takes_the_client_settings():
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": "localhost:1",
        "KAFKA_SECURITY_PROTOCOL": "sasl_plaintext",
        "KAFKA_SASL_MECHANISM": "scram-sha-256",
        "KAFKA_SASL_USERNAME": "coby",
        "KAFKA_SASL_PASSWORD": "swordfish",
    }
    settings = load_config(environ).kafka_client_settings()
    assert settings == {
        "bootstrap.servers": "localhost:1",
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "SCRAM-SHA-256",
        "sasl.username": "coby",
        "sasl.password": "swordfish",
    }
    Producer({**settings, "log_level": 0})  # it refuses names and values it does not know:
    with pytest.raises(KafkaException):
        Producer({**settings, "sasl.user": "coby"})


SHAPING = (
    '{"bucket_sizes":{"BTCUSDT":1000000000,"ETHUSDT":100000000},"exchanges":["binance","bitfinex",'
    '"bybit","coinbase","gateio","huobi","kraken","kucoin","mexc","okx"],"heatmap_depth":50,'
    '"symbols":["BTCUSDT","ETHUSDT"],"update_frequency_us":500000}'
)


def test_shaping_settings_are_canonical_and_hashed():
    config = Config()
    assert config.shaping_settings() == SHAPING
    assert config.settings_hash == hashlib.sha256(SHAPING.encode()).hexdigest()[:16]


@pytest.mark.parametrize(
    ("environ", "same"),
    [
        ({"SYMBOLS": "ETHUSDT,BTCUSDT"}, True),
        ({"BTC_BUCKET_SIZE": "10.00"}, True),
        ({"BUCKET_SIZE_SOLUSDT": "0.1"}, True),
        ({"DB_HOST": "elsewhere", "BINANCE_WS_URL": "ws://a"}, True),
        ({"SYMBOLS": "BTCUSDT"}, False),
        ({"BTC_BUCKET_SIZE": "20"}, False),
        ({"HEATMAP_DEPTH": "51"}, False),
        ({"UPDATE_FREQUENCY": "0.25"}, False),
        ({"BINANCE_SYMBOL_BTCUSDT": "BTCFDUSD"}, False),
    ],
)
def test_only_what_shapes_results_changes_the_hash(environ, same):
    assert (load_config(environ).settings_hash == Config().settings_hash) is same
