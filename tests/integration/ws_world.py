"""What the tests of the WebSocket API share: topics, tables, API processes, and topics read by hand."""

from contextlib import contextmanager

from COBY.codec import decode
from COBY.records import Heatmap
from COBY.runtime.database import connect
from COBY.runtime.kafka import apply_topics
from sinks.schema import migrate
from tests.api_server import api_server
from tests.conftest import delete_topics
from tests.integration.replay_world import all_of
from tests.integration.sink_helpers import START_US, settings


@contextmanager
def world(kafka, timescale, redis_session, folder, prefix, **more):
    """Topics and tables of one prefix: (cfg, a function that gives a running API)."""
    with timescale.database() as database:
        cfg = settings(kafka, database, redis_session, prefix=prefix, **more)
        apply_topics(cfg)
        with connect(cfg) as conn:
            migrate(conn)
        env = {**kafka.env, **database.env, **redis_session.env, "TOPIC_PREFIX": prefix, **more}
        try:
            yield cfg, lambda **others: api_server(env | others, folder)
        finally:
            delete_topics(kafka.bootstrap_servers, prefix)


def heatmap(number, **more):
    """The n-th of BTCUSDT, empty."""
    fields = {
        "symbol": "BTCUSDT", "timestamp": START_US + number * 500_000, "bucket_size": 10 * 10**8, "data": [],
        "covered_low": None, "covered_high": None, "exchanges": [], "missing": [],
    }  # fmt: skip
    return Heatmap(**fields | more)


def trades_by_hand(cfg, symbol):
    """(exchange, trade id) of all records of the trade topic, by a plain consumer; per source, what is not newer than
    the last position is a repeat."""
    last, found = {}, []
    for seen in all_of(cfg.kafka_bootstrap_servers, f"{cfg.topic_prefix}.trade.v1"):
        first, _, index = seen.header("position").partition(":")
        name, place = (seen.partition, seen.header("source")), (int(first), int(index))
        if place > last.get(name, (-1, -1)):
            last[name] = place
            record = decode(seen.value)
            if record.symbol == symbol:
                found.append((record.exchange, record.trade_id))
    return found


def logged_errors(api):
    """Lines of an API's log that tell of a bug or a loss; librdkafka's own tell of brokers."""
    return [
        line
        for line in api.log()
        if line["level"] in ("error", "critical") and line["logger"] != "librdkafka"
    ]
