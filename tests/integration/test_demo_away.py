"""The end of the demo's line: which slots nobody serves, and why, from the statuses that lie in Redis."""

import redis

from COBY.config import load_config
from COBY.records import Status
from deploy.local.demo import Demo
from deploy.local.demo_facts import away
from sinks.latest import Origin, entry_of

NOW_US = 1_790_000_000_000_000
SECOND_US = 1_000_000


def status(slot, state="subscribed", breaker="closed", ago_us=SECOND_US):
    exchange = slot.partition("-")[0]
    at = NOW_US - ago_us
    return Status(exchange, slot, None, state, at, None, 0, breaker, None, at)


def shown(env, topic_prefix, *statuses, exchanges="binance,kraken"):
    config = load_config({**env, "TOPIC_PREFIX": topic_prefix, "EXCHANGES": exchanges, "LOG_FILE": "-"})
    with redis.Redis.from_url(config.get_redis_url()) as client:
        for one in statuses:
            entry = entry_of(topic_prefix, "status", one, one.slot, (1, 0), Origin("t", 0, 1))
            client.set(entry.latest, entry.value)
    return away(config, NOW_US)


def test_nothing_is_said_while_every_slot_is_served(redis_session, topic_prefix):
    assert shown(redis_session.env, topic_prefix, status("binance-0"), status("kraken-0")) == {}


def test_a_slot_that_is_refused_or_lost_or_without_a_producer_is_named(redis_session, topic_prefix):
    statuses = [status("binance-0", "disconnected", "open")]
    assert shown(redis_session.env, topic_prefix, *statuses) == {
        "binance-0": "breaker open",
        "kraken-0": "no producer",
    }
    statuses = [status("binance-0", "connecting"), status("kraken-0", ago_us=6 * SECOND_US)]
    assert shown(redis_session.env, topic_prefix, *statuses) == {
        "binance-0": "connecting",
        "kraken-0": "no producer",
    }


def test_one_of_two_collectors_is_enough(redis_session, topic_prefix):
    dead, alive = status("binance-0@a", ago_us=60 * SECOND_US), status("binance-0@b")
    assert shown(redis_session.env, topic_prefix, dead, alive, exchanges="binance") == {}
    both = status("binance-0@b", "disconnected", "half_open")
    assert shown(redis_session.env, topic_prefix, dead, both, exchanges="binance") == {
        "binance-0": "breaker half_open"
    }


def test_the_line_ends_with_who_is_away(monkeypatch):
    config = load_config({"EXCHANGES": "binance", "SYMBOLS": "BTCUSDT", "LOG_FILE": "-"})
    for name, value in {
        "book_states": {("binance", "BTCUSDT"): "disconnected"},
        "heatmap_age_seconds": 0.25,
        "lag": 3,
        "away": {"binance-0": "breaker open"},
    }.items():
        monkeypatch.setattr(f"deploy.local.demo.facts.{name}", lambda *_, value=value: value)
    line = Demo(config, None, None).line(12.0)
    assert line.endswith("| lag 3 | heatmaps 0.2 s old | binance-0 breaker open")
