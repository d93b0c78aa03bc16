"""Real Prometheus and Alertmanager on a running demo: what is broken on purpose fires, and clears once mended."""

import json
import time
import urllib.request
from contextlib import ExitStack

import pytest

from deploy.local import fetch
from deploy.local.demo import start
from tests.monitoring import expressions, selectors
from tests.watchers import watching

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
        waits(lambda: watchers.ready(), 60)
        waits(lambda: watchers.series("kafka_consumergroup_status"), SETTLE_SECONDS)
        waits(lambda: bad(watchers) == set(), SETTLE_SECONDS)
        yield demo, watchers, trap


def waits(condition, seconds, every=1.0):
    """Until it holds; what it last said where it never does."""
    end = time.monotonic() + seconds
    while not (said := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s"
        time.sleep(every)
    return said


def bad(watchers):
    """What fires and should not: the watchdog always does, and its receiver is down on purpose."""
    return {one for one in watchers.firing() if one[0] not in ("Watchdog", "AlertsUndelivered")}


def fires(watchers, name, *labels):
    """Whether Prometheus says so and Alertmanager has heard of it."""
    wanted = {name, *labels}
    return any(wanted <= set(one) for one in watchers.firing()) and any(
        wanted <= set(one) for one in watchers.arrived()
    )


def clears(watchers):
    """All of it, and Alertmanager has heard of that, too."""
    waits(lambda: bad(watchers) == set(), SETTLE_SECONDS)
    heard = lambda: {one[0] for one in watchers.arrived()} <= {"Watchdog", "AlertsUndelivered"}  # noqa: E731
    waits(heard, SETTLE_SECONDS)


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


def test_a_sink_that_is_stopped_fires_lag_and_stuck_until_it_is_started(world):
    demo, watchers, _ = world
    demo.programs.stop("sink-timescale")
    group = f"{demo.config.topic_prefix}-timescale"
    waits(lambda: fires(watchers, "ConsumerStuck", group), SETTLE_SECONDS)
    waits(lambda: fires(watchers, "LagSeconds", group, "critical"), SETTLE_SECONDS)
    demo.programs.start("sink-timescale")
    clears(watchers)
    waits(lambda: ("ConsumerStuck", "resolved") in watchers.receiver.told, SETTLE_SECONDS)
    assert ("LagSeconds", "firing") in watchers.receiver.told
    assert ("ConsumerStuck", "firing") in watchers.receiver.told


def test_an_exchange_that_is_gone_fires_until_it_is_back(world):
    demo, watchers, _ = world
    fault(demo, kind="refuse_connect", exchange=GONE, seconds=BACK, code=503)
    fault(demo, kind="reset", exchange=GONE)
    waits(lambda: fires(watchers, "ExchangeDown", GONE), SETTLE_SECONDS)
    assert not fires(watchers, "ExchangeDown", "binance")
    clears(watchers)


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
    clears(watchers)


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
