"""Settings: defaults, every kind of wrong value, files of secrets, and what follows from settings."""

import subprocess
import sys
from pathlib import Path

import pytest

from COBY.config import Config, load_config
from COBY.exchanges import names
from COBY.settings import table
from COBY.utils.exceptions import ConfigurationError

# Copied by hand from DESIGN.md, "Settings".
PROMISED = {
    "db_host": "localhost",
    "db_port": 5432,
    "db_name": "market_data",
    "db_user": "market_user",
    "redis_host": "localhost",
    "redis_port": 6379,
    "topic_prefix": "coby",
    "symbols": ("BTCUSDT", "ETHUSDT"),
    "btc_bucket_size": 10.0,
    "eth_bucket_size": 1.0,
    "heatmap_depth": 50,
    "update_frequency": 0.5,
    "max_connections_per_exchange": 5,
    "data_buffer_size": 10000,
    "batch_write_size": 1000,
    "max_memory_usage": 2048,
    "store_interval": 1.0,
    "api_host": "0.0.0.0",
    "api_port": 8080,
    "websocket_port": 8081,
}

WRONG = {
    "DB_HOST": ["a b", "host/x"],
    "DB_PORT": ["0", "65536", "x", "5432.0", "-1", "٣"],
    "DB_SSLMODE": ["yes", "REQUIRE"],
    "REDIS_TLS": ["maybe", "2"],
    "KAFKA_BOOTSTRAP_SERVERS": ["localhost", "localhost:0", "a:9092,,b:9092", "http://a:9092", "a:99999"],
    "KAFKA_SECURITY_PROTOCOL": ["TLS"],
    "KAFKA_SASL_MECHANISM": ["GSSAPI"],
    "SCHEMA_REGISTRY_URL": ["registry:8081", "ftp://registry", "http://registry:8081"],  # none is used yet
    "TOPIC_PREFIX": ["Coby", "-coby", "co.by", "co_by", "x" * 65],
    "EXCHANGES": ["binance,binance", ","],
    "SYMBOLS": ["btcusdt", "BTC-USDT", "BTCUSDT,BTCUSDT", "BTC", "B" * 21, "BTCUSDT,"],
    "BTC_BUCKET_SIZE": ["0", "-1", "0.015", "ten", "nan", "inf", "100000000"],
    "BUCKET_SIZE_BTCUSDT": ["0", "0.001"],
    "BUCKET_SIZE_btc": ["1.0"],
    "HEATMAP_DEPTH": ["0", "1.5", "10001"],
    "UPDATE_FREQUENCY": ["0", "0.009", "0.0105", "1.001", "fast"],
    "STORE_INTERVAL": ["0.7", "0", "0.25"],
    "MAX_CONNECTIONS_PER_EXCHANGE": ["0", "101"],
    "DATA_BUFFER_SIZE": ["0"],
    "BATCH_WRITE_SIZE": ["0"],
    "MAX_MEMORY_USAGE": ["63"],
    "RETENTION_RAW": ["7", "1w", "-1d", "500ms"],
    "API_PORT": ["65536"],
    "WS_PORT": ["8080"],
    "API_OPEN": ["open"],
    "METRICS_PORT": ["-1"],
    "LOG_LEVEL": ["LOUD"],
    "BINANCE_WS_URL": ["http://localhost:1", "localhost:1"],
    "BINANCE_REST_URL": ["ws://localhost:1"],
    "BINANCE_SYMBOL_BTCUSDT": ["BTC USDT"],
    "BINANCE_SYMBOL_btc": ["BTCUSDT"],
    "KAFKA_SSL_CERTIFICATE_LOCATION": ["/certificate.pem"],
}


def problems_of(environ: dict[str, str]) -> list[ConfigurationError]:
    with pytest.raises(ConfigurationError) as caught:
        load_config(environ)
    return list(caught.value.problems) or [caught.value]


def test_an_empty_environment_gives_the_promised_defaults():
    config = load_config({})
    assert {name: getattr(config, name) for name in PROMISED} == PROMISED
    assert config == Config()


def test_an_empty_variable_counts_as_not_set():
    assert load_config(dict.fromkeys((row.name for row in table().values()), "")) == Config()


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in WRONG for value in WRONG[name]])
def test_a_wrong_value_is_named_with_what_is_allowed(name, value):
    (problem,) = problems_of({name: value})
    assert problem.code == "config.invalid"
    assert problem.allowed
    if name != "KAFKA_SSL_CERTIFICATE_LOCATION":  # there the fault is in the setting that lacks
        assert problem.where == name
        assert name in str(problem)
        assert value in str(problem) or repr(value) in str(problem)
    assert "\n" not in str(problem)


@pytest.mark.parametrize(
    ("environ", "attribute", "value"),
    [
        ({"WS_PORT": " 9000 "}, "websocket_port", 9000),
        ({"UPDATE_FREQUENCY": "0.01"}, "update_frequency_us", 10_000),
        ({"UPDATE_FREQUENCY": "1", "STORE_INTERVAL": "60"}, "store_interval_us", 60_000_000),
        ({"UPDATE_FREQUENCY": "0.3", "STORE_INTERVAL": "0.9"}, "store_interval_us", 900_000),
        ({"SYMBOLS": "ETHUSDT, BTCUSD"}, "symbols", ("ETHUSDT", "BTCUSD")),
        ({"API_OPEN": "TRUE"}, "api_open", True),
        ({"REDIS_TLS": "off"}, "redis_tls", False),
        ({"LOG_LEVEL": "debug"}, "log_level", "DEBUG"),
        ({"RETENTION_RAW": "36h"}, "retention_raw", 129_600),
        ({"RETENTION_CANDLES": "0"}, "retention_candles", 0),
        ({"KAFKA_BOOTSTRAP_SERVERS": "a:1, [::1]:2"}, "kafka_bootstrap_servers", "a:1,[::1]:2"),
    ],
)
def test_a_right_value_arrives(environ, attribute, value):
    assert getattr(load_config(environ), attribute) == value


def test_all_problems_are_told_at_once_one_line_each():
    environ = {"DB_PORT": "x", "EXCHANGES": "nope", "SYMBOLS": "SOLUSDT", "HEATMAP_DEPTH": "0"}
    problems = problems_of(environ)
    assert [problem.where for problem in problems] == [
        "DB_PORT",
        "HEATMAP_DEPTH",
        "EXCHANGES",
        "BUCKET_SIZE_SOLUSDT",
    ]
    assert len(str(ConfigurationError.of(problems)).splitlines()) == 4


def test_an_unknown_exchange_is_refused_with_those_that_exist():
    (problem,) = problems_of({"EXCHANGES": "binance,mtgox"})
    assert problem.code == "config.unknown_exchange"
    assert "mtgox" in problem.message
    assert problem.allowed == ", ".join(names())
    assert "binance" in names()


def test_a_secret_is_never_shown(tmp_path):
    secret = tmp_path / "password"
    secret.write_text("hunter22\n")
    config = load_config({"DB_PASSWORD_FILE": str(secret), "REDIS_PASSWORD": "swordfish"})
    assert config.db_password == "hunter22"
    assert set(config.secrets()) == {"hunter22", "swordfish"}
    assert "hunter22" not in repr(config)
    assert "swordfish" not in repr(config)


def test_a_file_keeps_the_blanks_of_a_password(tmp_path):
    secret = tmp_path / "password"
    secret.write_text(" a b \r\n")
    assert load_config({"DB_PASSWORD_FILE": str(secret)}).db_password == " a b "


def test_a_setting_from_a_file_is_checked_like_any(tmp_path):
    port = tmp_path / "port"
    port.write_text("x")
    assert [problem.where for problem in problems_of({"DB_PORT_FILE": str(port)})] == ["DB_PORT"]


def test_a_value_and_a_file_together_are_refused(tmp_path):
    (problem,) = problems_of({"DB_PASSWORD": "hunter22", "DB_PASSWORD_FILE": str(tmp_path)})
    assert problem.where == "DB_PASSWORD_FILE"
    assert "hunter22" not in str(problem)


def test_an_unreadable_file_is_named(tmp_path):
    (problem,) = problems_of({"DB_PASSWORD_FILE": str(tmp_path / "absent")})
    assert problem.where == "DB_PASSWORD_FILE"
    assert "No such file" in str(problem)


def test_a_login_to_kafka_needs_all_its_parts():
    problems = problems_of({"KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_USERNAME": "coby"})
    assert [problem.where for problem in problems] == ["KAFKA_SASL_MECHANISM", "KAFKA_SASL_PASSWORD"]


def test_a_config_is_frozen():
    with pytest.raises(AttributeError):
        Config().db_host = "elsewhere"


def test_every_setting_is_documented():
    rows = Config.documentation()
    assert len({row.name for row in rows}) == len(rows)
    assert all(row.allowed and row.sentence.endswith(".") for row in rows)
    documented = {row.name for row in rows}
    assert {"DB_PASSWORD", "WS_PORT", "BUCKET_SIZE_<SYMBOL>", "<EXCHANGE>_WS_URL"} <= documented


def test_every_documented_default_is_the_value_one_gets():
    environ = {row.name: row.default for row in Config.documentation() if "<" not in row.name}
    assert load_config(environ) == Config()


def run_python(code: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run([sys.executable, "-c", code], cwd=root, env=environ, capture_output=True, text=True)


def test_importing_config_with_a_wrong_setting_fails_at_the_first_use_only():
    code = "from COBY.config import config\nprint('imported', flush=True)\nconfig.db_host"
    done = run_python(code, {"DB_PORT": "x"})
    assert done.stdout == "imported\n"
    assert "config.invalid: DB_PORT is 'x'" in done.stderr
    assert done.returncode == 1


def test_the_lazy_config_reads_the_environment():
    done = run_python("from COBY.config import config; print(config.db_port, config)", {"DB_PORT": "6000"})
    assert done.stdout.startswith("6000 Config(db_host='localhost', db_port=6000,")
