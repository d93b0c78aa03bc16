"""An exchange refuses for two minutes: its breaker opens, half-opens, closes by itself, and nobody else notices."""

import time
from contextlib import contextmanager

import pytest

from COBY.codec import decode
from COBY.config import load_config
from COBY.runtime.kafka import apply_topics
from deploy.local.ports import HOST, free_port
from deploy.local.programs import on_free_ports, pipeline, simulated, simulator
from deploy.local.supervise import Programs
from tests.e2e.system import System, until
from tests.faults.relay import PASS, REFUSE, Relay

EXCHANGES = ("binance", "kraken", "okx")
REFUSED = "kraken"
REFUSES_SECONDS, CALM_SECONDS = 120.0, 60.0
LAG_SECONDS = 2.0
# Open for 60 s and up to 30 s more, then one attempt; subscribing comes on top.
BACK_SECONDS = 240


@contextmanager
def relayed(folder, env):
    """The pipeline without sinks; one exchange's sockets go through a relay."""
    port = free_port()
    env = {**env, "EXCHANGES": ",".join(EXCHANGES), "LOG_FILE": "-", **simulated(EXCHANGES, port)}
    with Relay(f"ws://{HOST}:{port}", 1) as relay:
        env[f"{REFUSED.upper()}_WS_URL"] = f"ws://127.0.0.1:{relay.port}/{REFUSED}"
        config = load_config(env)
        apply_topics(config)
        ours = [one for one in pipeline(EXCHANGES) if not one.name.startswith("sink-")]
        table = on_free_ports([simulator(EXCHANGES, port=port, options=("--rate", "150")), *ours])
        with Programs(folder, table, env=env) as programs:
            programs.wait_ready()
            yield System(config, programs, f"http://{HOST}:{port}"), relay


def statuses(running):
    found = [decode(message.value()) for message in running.messages("status")]
    return [one for one in found if one.exchange == REFUSED]


def frames(running, name, begin, end):
    """Frames of an exchange received between two times."""
    counted = 0
    for message in running.messages("raw", name):
        headers = dict(message.headers())
        counted += headers["kind"] == b"ws" and begin <= int(headers["received_ns"]) / 1e9 < end
    return counted


def lag_seconds(running):
    """How old the newest ticks of the others are, at most."""
    newest = {}
    for record in running.read("book"):
        tick = decode(record.value)
        if tick.exchange != REFUSED:
            newest[tick.exchange, tick.symbol] = tick.timestamp / 1e6
    return time.time() - min(newest.values())


@pytest.mark.long
@pytest.mark.timeout(900)
def test_the_breaker_of_one_exchange_is_nothing_to_the_others(kafka, topic_prefix, tmp_path):
    env = {**kafka.env, "TOPIC_PREFIX": topic_prefix, "SYMBOLS": "BTCUSDT,ETHUSDT"}
    with relayed(tmp_path, env) as (running, relay):
        until(lambda: running.count("heatmap") > 40, 120, "heatmaps")
        calm = time.time()
        time.sleep(CALM_SECONDS)
        began = time.time()
        relay.set(REFUSE)
        relay.close_all(1001, "")
        lags = []
        while time.time() < began + REFUSES_SECONDS:
            time.sleep(5)
            lags.append(lag_seconds(running))
        relay.set(PASS)
        ended = time.time()
        until(lambda: statuses(running)[-1].state == "subscribed", BACK_SECONDS, "it is back by itself")
        until(lambda: statuses(running)[-1].breaker == "closed", 10, "its breaker is closed")
        words = [one.breaker for one in statuses(running) if one.observed_at / 1e6 > began]
        assert words.index("open") < words.index("half_open") < len(words) - 1
        assert max(lags) < LAG_SECONDS
        for name in set(EXCHANGES) - {REFUSED}:
            before = frames(running, name, calm, began) / (began - calm)
            meanwhile = frames(running, name, began, ended) / (ended - began)
            assert abs(meanwhile / before - 1) < 0.02, name
        running.rest()
        missing = [
            {one.exchange: one.reason for one in decode(record.value).missing}
            for record in running.read("heatmap")
        ]
        assert any(REFUSED in one for one in missing)
        assert REFUSED not in missing[-1]
