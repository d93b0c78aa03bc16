"""Gaps in the log of a stream worker, under the id that the producer's lines have."""

from structlog.testing import capture_logs

from COBY.codec import encode
from COBY.stage import Output
from streams.telling import tell
from tests.integration.sink_helpers import START_US, gap, trade


def output(topic: str, record: object) -> Output:
    return Output(topic, b"BTCUSDT", encode(record), START_US // 1000, [])


def test_a_gap_is_told_as_it_begins_and_ends_under_its_connections_id():
    outputs = [
        output("trade", trade(1)),
        output("gap", gap(conn="binance-0-1f", reason="checksum", detail="1 is not 2")),
        output("gap", gap(conn="binance-0-1f", reason="checksum", until_time=START_US + 1)),
        output("gap", gap(conn=None, reason="producer_lost")),
    ]
    with capture_logs() as lines:
        tell(outputs)
    assert [(line["event"], line["reason"], line["correlation_id"]) for line in lines] == [
        ("gap_begins", "checksum", "binance-0-1f"),
        ("gap_ends", "checksum", "binance-0-1f"),
        ("gap_begins", "producer_lost", None),
    ]
    assert {(line["exchange"], line["symbol"], line["log_level"]) for line in lines} == {
        ("binance", "BTCUSDT", "info")
    }
    assert lines[0]["detail"] == "1 is not 2"
