"""``make demo``: the whole system on this machine, on the simulated exchanges (``make live``: on the real ones).

Prints a line a second; Ctrl-C stops all. With ``--for`` it ends with a summary whose counts come from different
places (the simulator's log, Kafka, SQL, Redis, REST) and exits with 1 if any promise failed.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import click
import psycopg
import redis
from confluent_kafka import KafkaException

from COBY.config import Config, load_config
from COBY.runtime.kafka import apply_topics
from COBY.topics import topic_name
from COBY.utils.exceptions import CobyError
from deploy.local import demo_facts as facts
from deploy.local import fetch
from deploy.local.errors import LocalError
from deploy.local.ports import HOST, free_or, free_port
from deploy.local.programs import api, keeper, lag_exporter, on_free_ports, pipeline, simulated, simulator
from deploy.local.stack import ROOT, Stack
from deploy.local.supervise import Programs
from sinks.schema import migrate

FOLDER = ROOT / ".local" / "demo"
DRAIN_SECONDS = 30.0
FRESH_SECONDS = 2.0
SETTLE_SECONDS = 4.0  # a candle is emitted 2 s after its end, stored a moment later
TROUBLE = (OSError, redis.RedisError, psycopg.Error, KafkaException, CobyError)


class Promise(NamedTuple):
    """One line of the summary."""

    name: str
    holds: bool
    figures: str


class Demo:
    """A running demo: where its parts are."""

    def __init__(self, config: Config, programs: Programs, simulator_url: str | None) -> None:
        """``simulator_url`` None: the real exchanges."""
        self.config = config
        self.programs = programs
        self.simulator_url = simulator_url

    def port(self, name: str) -> int:
        """Where a program serves /metrics."""
        return self.programs.table[name].metrics_port

    @property
    def api_url(self) -> str:
        """Where REST is."""
        return f"http://{HOST}:{self.programs.table['api'].environment['API_PORT']}"

    def frames(self) -> float:
        """Frames normalized, as the stream worker counts them."""
        return facts.metric(self.port("streams"), "coby_frames_total")

    def line(self, rate: float) -> str:
        """How it stands now, in one line."""
        try:
            states = facts.book_states(self.config)
            ages = [facts.heatmap_age_seconds(self.config, symbol) for symbol in self.config.symbols]
            behind = facts.lag(self.config)
            away = facts.away(self.config)
        except TROUBLE as error:
            return f"not to be seen: {type(error).__name__}"
        books = " ".join(f"{exchange}/{symbol} {state}" for (exchange, symbol), state in states.items())
        shown = " ".join("none" if age is None else f"{age:.1f} s" for age in ages)
        gone = "".join(f" | {slot} {why}" for slot, why in away.items())
        return f"{rate:6.0f} frames/s | books {books} | lag {behind} | heatmaps {shown} old{gone}"


def running_promises(demo: Demo) -> Iterator[Promise]:
    """What must hold while everything still runs; the market has been stopped, the clock goes on."""
    config = demo.config
    ages = {symbol: facts.heatmap_age_seconds(config, symbol) for symbol in config.symbols}
    shown = ", ".join(f"{symbol} {'none' if age is None else f'{age:.2f} s'}" for symbol, age in ages.items())
    fresh = all(age is not None and age < FRESH_SECONDS for age in ages.values())
    yield Promise(f"newest heatmap of each symbol younger than {FRESH_SECONDS:.0f} s", fresh, shown)
    yield _books_live(demo)
    yield _in_heatmaps(demo)
    gaps = facts.stored(config).gaps
    letters = len(facts.read_all(config, topic_name(config.topic_prefix, "dlq")))
    yield Promise("no gap, no dead letter", gaps == letters == 0, f"{gaps} gaps, {letters} dead letters")
    yield _undisturbed(demo)


def count_promises(demo: Demo) -> Iterator[Promise]:
    """Counts of different places; clock and producers have been stopped, so that they can come to rest."""
    config = demo.config
    said = facts.sent(demo.simulator_url or "")
    raw, done, rows = facts.raw_counts(config), demo.frames(), facts.stored(config)
    yield Promise(
        "frames sent = raw records = frames normalized",
        0 < said.frames + said.rest_bodies == raw["ws"] + raw["http"] == done,
        f"{said.frames + said.rest_bodies} = {raw['ws'] + raw['http']} = {done:.0f}",
    )
    yield Promise(
        "rows in trade_events = distinct trades sent",
        0 < rows.trades == said.trades,
        f"{rows.trades} = {said.trades}",
    )
    yield Promise(
        "candle volume = trade volume = volume sent",
        rows.candle_volume == rows.trade_size == said.trade_size,
        f"{rows.candle_volume} = {rows.trade_size} = {said.trade_size}",
    )
    yield _served(demo, rows.trades)
    yield Promise("lag 0", (behind := facts.lag(config)) == 0, f"{behind} records")


def _served(demo: Demo, trades: int) -> Promise:
    """The REST API, page by page, against SQL."""
    served = sum(facts.served_trades(demo.api_url, symbol) for symbol in demo.config.symbols)
    return Promise("trades served by REST = rows in trade_events", served == trades, f"{served} = {trades}")


def _books_live(demo: Demo) -> Promise:
    states = facts.book_states(demo.config)
    live = sum(state == "live" for state in states.values())
    blind = ", ".join(f"{'/'.join(key)} {state}" for key, state in states.items() if state != "live")
    return Promise("every book live", live == len(states), f"{live} of {len(states)} {blind}".strip())


def _in_heatmaps(demo: Demo) -> Promise:
    exchanges = {symbol: facts.heatmap_exchanges(demo.config, symbol) for symbol in demo.config.symbols}
    whole = all(sorted(found) == sorted(demo.config.exchanges) for found in exchanges.values())
    shown = ", ".join(f"{symbol} {' '.join(found) or 'none'}" for symbol, found in exchanges.items())
    return Promise("every exchange in each heatmap", whole, shown)


def _undisturbed(demo: Demo) -> Promise:
    states = demo.programs.status()
    odd = [
        f"{name} {state.state}, {state.restarts} restarts"
        for name, state in states.items()
        if state.restarts or state.state != "RUNNING"
    ]
    return Promise(
        "every program ran through", not odd and bool(states), "; ".join(odd) or f"{len(states)} programs"
    )


def drain(demo: Demo) -> None:
    """Stop the market and wait until what it sent has come through (or DRAIN_SECONDS are over)."""
    facts.ask(f"{demo.simulator_url}/_sim/stop", post=True)
    before, since = -1, time.monotonic()

    def settled() -> bool:
        nonlocal before, since
        if (done := facts.stored(demo.config).trades) != before:
            before, since = done, time.monotonic()
        return time.monotonic() - since > SETTLE_SECONDS

    _wait(settled)


def come_to_rest(demo: Demo) -> None:
    """Stop what makes new records, so that lag can reach 0."""
    for name in demo.programs.table:
        if name == "clock" or name.startswith("producer-"):
            demo.programs.stop(name)
    _wait(lambda: facts.lag(demo.config) == 0)


def _wait(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DRAIN_SECONDS
    while time.monotonic() < end:
        try:
            if condition():
                return
        except TROUBLE:
            pass  # a part that is down shows in the summary
        time.sleep(0.5)


def watch(demo: Demo, seconds: float | None) -> None:
    """A line a second until the time is over (None: until Ctrl-C)."""
    began, at, frames = time.monotonic(), time.monotonic(), demo.frames()
    while seconds is None or time.monotonic() - began < seconds:
        time.sleep(1)
        now, count = time.monotonic(), demo.frames()
        click.echo(f"{now - began:4.0f} s {demo.line((count - frames) / (now - at))}")
        at, frames = now, count


def summary(demo: Demo, tell: Callable[[str], None] = click.echo) -> bool:
    """Print the promises; whether all hold."""
    try:
        drain(demo)
        lines = list(running_promises(demo))
        come_to_rest(demo)
        lines += count_promises(demo)
    except TROUBLE as error:
        tell(f"FAIL the summary could not be made: {error}")
        return False
    for promise in lines:
        tell(f"{'ok  ' if promise.holds else 'FAIL'} {promise.name}: {promise.figures}")
    return all(promise.holds for promise in lines)


def _settings(env: dict[str, str]) -> dict[str, str]:
    return {**os.environ, **env, "LOG_FILE": "-"}


def start(stack: ExitStack, folder: Path, live: bool, rate: int) -> Demo:
    """Servers, topics, tables, programs; all of it ends with ``stack``."""
    shutil.rmtree(folder, ignore_errors=True)
    click.echo("starting Kafka, TimescaleDB and Redis …")
    env = stack.enter_context(Stack(folder)).env()
    given = load_config(_settings(env))
    exchanges = given.exchanges
    table, simulator_url = pipeline(exchanges, given.collectors), None
    if not live:
        port = free_port()
        env |= simulated(exchanges, port)
        simulator_url = f"http://{HOST}:{port}"
        # Endless: the demo stops the market itself, so that nothing ends unseen.
        table = [simulator(exchanges, port=port, options=("--rate", str(rate))), *table]
    ports = [free_or(given.api_port), free_or(given.websocket_port)]
    table += [api(*ports), lag_exporter(), keeper(folder)]
    config = load_config(_settings(env))
    apply_topics(config)
    with psycopg.connect(config.get_database_url(), autocommit=True) as connection:
        migrate(connection)
    click.echo("starting our programs …")
    programs = Programs(folder, on_free_ports(table), env=_settings(env))
    stack.enter_context(programs)
    demo = Demo(config, programs, simulator_url)
    (folder / "demo.json").write_text(json.dumps({"simulator_url": simulator_url}))
    programs.wait_ready()
    click.echo(f"dashboard at {demo.api_url}/")
    click.echo(f"REST at {demo.api_url}/openapi.json, WebSocket at ws://{HOST}:{ports[1]}/v1/ws")
    return demo


@click.command()
@click.option(
    "--for", "seconds", type=click.FloatRange(min=5), help="End after so many seconds, with a summary."
)
@click.option("--live", is_flag=True, help="The real exchanges instead of the simulated ones.")
@click.option(
    "--rate", type=click.IntRange(1, 20_000), default=500, show_default=True, help="Frames a second."
)
@click.option(
    "--folder", type=click.Path(path_type=Path), default=FOLDER, help="Data and logs (emptied first)."
)
def main(seconds: float | None, live: bool, rate: int, folder: Path) -> None:
    """The whole system on this machine.

    \b
    Example:
      python -m deploy.local.demo --for 60
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        fetch.fetch()
        with ExitStack() as stack:
            demo = start(stack, folder.resolve(), live, rate)
            watch(demo, seconds)
            held = live or summary(demo)
            click.echo("stopping …")
    except KeyboardInterrupt:
        click.echo("stopped")
        held = True
    except (LocalError, CobyError) as error:
        click.echo(f"error {error}", err=True)
        sys.exit(2)
    sys.exit(0 if held else 1)


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
