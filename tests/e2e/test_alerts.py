"""Real Prometheus and Alertmanager on a running demo: what is broken on purpose fires, and clears once mended."""

import json
import subprocess
import time
import urllib.request
from contextlib import ExitStack

import pytest
from prometheus_client.parser import text_string_to_metric_families

from COBY.runtime.labels import HOPS
from COBY.runtime.lag import LagReader
from deploy.local import fetch
from deploy.local.demo import start
from deploy.local.kafka import Kafka
from tests.monitoring import expressions, selectors
from tests.watchers import watching
from tests.ws_client import client

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

SETTLE_SECONDS = 120.0
GONE, BACK = "kraken", 75
SYNTHETIC = "ALERTS"
"""Made by Prometheus itself, of alerts that fire."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A demo on three exchanges, watched; well, with something said of every consumer."""
    if fetch.monitoring_binary("prometheus") is None:
        pytest.skip("Prometheus could not be had here")
    folder = tmp_path_factory.mktemp("alerts")
    trap = folder / "trap"
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("EXCHANGES", f"binance,{GONE},okx")
        patch.setenv("COBY_CRASH_POINT", f"@{trap}")
        demo = start(stack, folder / "demo", live=False, rate=100)
        watchers = stack.enter_context(watching(list(demo.programs.table.values()), folder))
        waits(watchers.ready, 60)
        waits(lambda: watchers.series("kafka_consumergroup_status"), SETTLE_SECONDS)
        waits(lambda: bad(watchers) == set(), SETTLE_SECONDS, watchers.firing)
        yield demo, watchers, trap


def waits(condition, seconds, tell=lambda: ""):
    """Until it holds; what there is to ``tell`` where it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds:g} s: {tell()}"
        time.sleep(1)


def bad(watchers):
    """What fires and should not: the watchdog always does, and its receiver is down on purpose."""
    return {one for one in watchers.firing() if one[0] not in ("Watchdog", "AlertsUndelivered")}


def fires(watchers, name, *labels):
    """Whether Prometheus says so and Alertmanager has heard of it."""
    wanted = {name, *labels}
    return any(wanted <= set(one) for one in watchers.firing()) and any(
        wanted <= set(one) for one in watchers.arrived()
    )


def clears(watchers, name, *labels):
    """Prometheus and Alertmanager know of it no more. Others may go on: gaps are remembered for ten minutes."""
    wanted = {name, *labels}

    def gone():
        return not any(wanted <= set(one) for one in watchers.firing() | watchers.arrived())

    waits(gone, SETTLE_SECONDS, watchers.firing)


def test_every_metric_in_rules_and_panels_is_shown_by_a_running_program(world):
    _, watchers, _ = world
    wanted = {(one, where) for where, text in expressions() for one in selectors(text)}

    def absent():
        return sorted(
            one for one in wanted if not one[0].startswith(SYNTHETIC) and not watchers.series(one[0])
        )

    # What is made by the first client, or once a minute, may be on its way.
    end = time.monotonic() + 60
    while absent() and time.monotonic() < end:
        time.sleep(5)
    assert absent() == []
    assert len(wanted) > 80
    assert watchers.series("coby_framez_total") == [], "a misspelt one is not"


async def test_every_hop_from_the_exchange_to_the_api_tells_its_latency(world):
    demo, _, _ = world
    port = demo.programs.table["api"].environment["WS_PORT"]
    async with client(f"ws://127.0.0.1:{port}") as socket:
        await socket.subscribe("heatmap:BTCUSDT")
        await socket.of("heatmap:BTCUSDT", 20)
        waits(lambda: set(HOPS) == hops(demo), SETTLE_SECONDS, lambda: hops(demo))


def hops(demo):
    """The hops that any program has told anything of."""
    return {
        sample.labels["hop"]
        for text in pages(demo).values()
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "coby_hop_latency_seconds_count" and sample.value
    }


def pages(demo):
    """/metrics of each program, as Prometheus gets it."""
    found = {}
    for name, program in demo.programs.table.items():
        if program.metrics_port:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{program.metrics_port}/metrics", timeout=20
            ) as answer:
                found[name] = answer.read().decode()
    return found


def test_promtool_finds_the_metrics_of_every_running_program_well(world):
    demo, _, _ = world
    promtool = fetch.monitoring_binary("promtool")
    for name, text in pages(demo).items():
        done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True)
        said = (done.stdout + done.stderr).splitlines()
        # kafka_… are kafka_exporter's names; those of Python's own client are not ours either.
        assert [line for line in said if not line.startswith(("kafka_", "python_"))] == [], name


def test_lag_of_running_groups_is_what_kafkas_own_tool_says_at_the_same_time(world):
    demo, _, _ = world
    config = demo.config
    port = int(config.kafka_bootstrap_servers.rpartition(":")[2])
    broker = Kafka(demo.programs.folder, port)
    reader = LagReader(config)
    before = {row[:3]: row for row in reader.read()}
    text = broker.tool("consumer.group.ConsumerGroupCommand", "--describe", "--all-groups")
    after = {row[:3]: row for row in reader.read()}
    reader.close()
    told = [line.split() for line in text.splitlines() if line.startswith(f"{config.topic_prefix}-")]
    told = [line for line in told if line[3].isdecimal()]
    groups = {f"{config.topic_prefix}-{name}" for name in ("streams", "timescale", "redis")}
    assert groups <= {line[0] for line in told}
    # All of it moves meanwhile, and only forwards.
    for group, topic, number, committed, end, lag, *_ in told:
        key = (group, topic, int(number))
        if group in groups:
            assert before[key].committed <= int(committed) <= after[key].committed, key
            assert before[key].end <= int(end) <= after[key].end, key
            assert int(lag) == int(end) - int(committed), key
    ours = {key for key, row in before.items() if row.committed is not None and key[0] in groups}
    assert ours <= {(line[0], line[1], int(line[2])) for line in told}


def test_a_sink_that_is_stopped_fires_lag_and_stuck_until_it_is_started(world):
    demo, watchers, _ = world
    demo.programs.stop("sink-timescale")
    group = f"{demo.config.topic_prefix}-timescale"
    waits(lambda: fires(watchers, "ConsumerStuck", group), SETTLE_SECONDS)
    waits(lambda: fires(watchers, "LagSeconds", group, "critical"), SETTLE_SECONDS)
    demo.programs.start("sink-timescale")
    clears(watchers, "ConsumerStuck", group)
    clears(watchers, "LagSeconds", group)
    waits(lambda: ("ConsumerStuck", "resolved") in watchers.receiver.told, SETTLE_SECONDS)
    assert ("LagSeconds", "firing") in watchers.receiver.told
    assert ("ConsumerStuck", "firing") in watchers.receiver.told


def test_an_exchange_that_is_gone_fires_until_it_is_back(world):
    demo, watchers, _ = world
    fault(demo, kind="refuse_connect", exchange=GONE, seconds=BACK, code=503)
    fault(demo, kind="reset", exchange=GONE)
    waits(lambda: fires(watchers, "ExchangeDown", GONE), SETTLE_SECONDS)
    assert not fires(watchers, "ExchangeDown", "binance")
    clears(watchers, "ExchangeDown", GONE)


def test_a_stream_worker_that_hangs_fires_before_its_watchdog_ends_it(world):
    demo, watchers, trap = world
    before = demo.programs.status()["streams"]
    assert demo.config.watchdog_seconds == 60, "the default"
    trap.write_text("streams.processed:1:hang")
    group = f"{demo.config.topic_prefix}-streams"
    waits(lambda: fires(watchers, "ConsumerStuck", group), SETTLE_SECONDS)
    state = demo.programs.status()["streams"]
    assert (state.pid, state.restarts) == (before.pid, before.restarts), "it hangs still"
    waits(lambda: demo.programs.status()["streams"].restarts > before.restarts, SETTLE_SECONDS)
    clears(watchers, "ConsumerStuck", group)


def test_a_receiver_that_is_down_shows_and_others_get_theirs(world):
    _, watchers, _ = world
    waits(lambda: fires(watchers, "AlertsUndelivered", "webhook"), 2 * SETTLE_SECONDS)
    waits(lambda: ("AlertsUndelivered", "firing") in watchers.receiver.told, SETTLE_SECONDS)
    assert ("Watchdog", "firing") not in watchers.receiver.told, "its own is down"


def fault(demo, **what):
    body = json.dumps(what).encode()
    with urllib.request.urlopen(
        urllib.request.Request(f"{demo.simulator_url}/_sim/fault", data=body, method="POST"), timeout=10
    ) as answer:
        assert answer.status == 200
