"""Logs: the folder is made, lines are JSON, ids are in them, secrets are not, files are rotated."""

import json
import logging
import os

import pytest
import structlog

from COBY.utils import logging as coby_logging
from COBY.utils.correlation import clear_correlation_id, set_correlation_id
from COBY.utils.exceptions import ConfigurationError
from COBY.utils.logging import get_logger, hide, mask, setup_logging


@pytest.fixture(autouse=True)
def former_logging():
    """Leave the process's logging as it was found."""
    root = logging.getLogger()
    handlers, level, secrets = list(root.handlers), root.level, set(coby_logging._secrets)
    clear_correlation_id()
    yield
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
        handler.close()
    root.setLevel(level)
    coby_logging._secrets.clear()
    coby_logging._secrets.update(secrets)
    structlog.reset_defaults()
    clear_correlation_id()


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_folder_is_made_and_the_file_holds_json_lines(tmp_path, capsys):
    path = tmp_path / "deep" / "logs" / "coby.log"
    setup_logging("INFO", str(path))
    set_correlation_id("abc")
    get_logger("producers.binance").info(
        "connected", exchange="binance", symbols=["BTCUSDT"], lag_seconds=0.5
    )
    (line,) = lines(path)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "connected",
        "exchange": "binance",
        "symbols": ["BTCUSDT"],
        "lag_seconds": 0.5,
        "level": "info",
        "logger": "producers.binance",
        "correlation_id": "abc",
    }
    assert json.loads(capsys.readouterr().err)["event"] == "connected"


def test_the_console_can_be_plain_text(tmp_path, capsys):
    setup_logging("INFO", str(tmp_path / "coby.log"), json=False)
    get_logger("a").warning("slow", lag_seconds=7)
    text = capsys.readouterr().err
    assert "slow" in text
    assert "lag_seconds=7" in text
    assert "warning" in text
    assert len(lines(tmp_path / "coby.log")) == 1


def test_other_libraries_records_are_structured_too(tmp_path):
    setup_logging("INFO", str(tmp_path / "coby.log"))
    set_correlation_id("abc")
    logging.getLogger("other").error("failed %d times", 3)
    (line,) = lines(tmp_path / "coby.log")
    assert (line["event"], line["level"], line["logger"]) == ("failed 3 times", "error", "other")
    assert line["correlation_id"] == "abc"


def test_below_the_level_nothing_is_written(tmp_path):
    setup_logging("WARNING", str(tmp_path / "coby.log"))
    get_logger("a").info("unheard")
    logging.getLogger("other").info("unheard")
    assert lines(tmp_path / "coby.log") == []


def test_setting_up_twice_writes_each_record_once(tmp_path, capsys):
    log = get_logger("made.before")
    setup_logging("INFO", str(tmp_path / "first.log"))
    setup_logging("DEBUG", str(tmp_path / "second.log"))
    log.debug("once")
    assert lines(tmp_path / "first.log") == []
    assert len(lines(tmp_path / "second.log")) == 1
    assert capsys.readouterr().err.count("once") == 1


def test_an_exception_is_written_with_its_trace_from_both_sides(tmp_path):
    setup_logging("INFO", str(tmp_path / "coby.log"))
    try:
        raise RuntimeError("broken")
    except RuntimeError:
        get_logger("a").exception("ours")
        logging.getLogger("b").exception("theirs")
    for line in lines(tmp_path / "coby.log"):
        assert "RuntimeError: broken" in line["exception"]
        assert "exc_info" not in line


@pytest.mark.parametrize("as_json", [True, False])
def test_secrets_are_never_written(tmp_path, capsys, as_json):
    setup_logging("INFO", str(tmp_path / "coby.log"), json=as_json, secrets=["hunter22", "", "abc"])
    log = get_logger("a")
    log.info("key", db_password="plain", api_key="plain", nested={"token": "plain"}, listed=["see hunter22"])
    log.info("value hunter22", url="postgresql://user:plain@host/db", error=ValueError("hunter22"))
    logging.getLogger("other").info("connecting with %s to redis://:plain@host", "hunter22")
    try:
        raise RuntimeError("login hunter22 refused")
    except RuntimeError:
        log.exception("refused")
    text = (tmp_path / "coby.log").read_text() + capsys.readouterr().err
    assert "hunter22" not in text
    assert "plain" not in text
    assert "postgresql://user:***@host/db" in text
    assert "redis://:***@host" in text


def test_masking_keeps_what_is_no_secret():
    hide(["swordfish"])
    assert mask("a swordfish at http://host:80/x?a=b@c") == "a *** at http://host:80/x?a=b@c"


def test_the_file_is_rotated_and_old_ones_are_dropped(tmp_path):
    setup_logging("INFO", str(tmp_path / "coby.log"), max_bytes=2_000, backups=2)
    log = get_logger("a")
    for number in range(100):
        log.info("line", number=number)
    assert sorted(os.listdir(tmp_path)) == ["coby.log", "coby.log.1", "coby.log.2"]
    assert all((tmp_path / name).stat().st_size <= 2_000 for name in os.listdir(tmp_path))
    assert lines(tmp_path / "coby.log")[-1]["number"] == 99


@pytest.mark.parametrize("nothing", [None, "-", ""])
def test_without_a_file_only_the_console_is_written(tmp_path, monkeypatch, capsys, nothing):
    monkeypatch.chdir(tmp_path)
    setup_logging("INFO", nothing)
    get_logger("a").info("heard")
    assert os.listdir(tmp_path) == []
    assert "heard" in capsys.readouterr().err


def test_the_program_names_the_file(tmp_path):
    setup_logging("INFO", str(tmp_path / "{program}.log"), program="sinks-redis")
    assert os.listdir(tmp_path) == ["sinks-redis.log"]


def test_a_file_that_can_not_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError) as caught:
        setup_logging("INFO", str(tmp_path / "file" / "coby.log"))
    assert (caught.value.code, caught.value.where) == ("log.unwritable", "LOG_FILE")


def test_an_unknown_level_is_refused():
    with pytest.raises(ConfigurationError, match=r"config\.invalid: LOG_LEVEL is 'LOUD'"):
        setup_logging("LOUD", None)
