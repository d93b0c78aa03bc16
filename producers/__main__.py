"""`python -m producers --exchange NAME`: all slots of one exchange, until SIGTERM."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import partial

import aiohttp
import click

from COBY import exchanges
from COBY.config import Config
from COBY.exchanges.base import Endpoints, Exchange
from COBY.runtime.health import serve_health
from COBY.runtime.kafka import check_topics
from COBY.runtime.main import run_async
from COBY.runtime.metrics import Metrics, metrics
from COBY.slots import slots_of
from COBY.utils.exceptions import ConfigurationError
from COBY.utils.logging import get_logger
from COBY.utils.timing import WallClock
from producers.allowance import Allowances
from producers.backoff import Backoff
from producers.connector import SlotConnector
from producers.control import Control
from producers.publisher import KAFKA_HOP, STAGE, Publisher
from producers.raw import listed
from producers.rest import Rest
from producers.supervisor import Supervisor

FLUSH_SECONDS = 20.0

log = get_logger(__name__)


@click.command()
@click.option("--exchange", "name", required=True, help="One of EXCHANGES.")
def main(name: str) -> None:
    """Read one exchange's feeds into its raw topic, frame by frame, until SIGTERM.

    Settings come from the environment (KAFKA_BOOTSTRAP_SERVERS, SYMBOLS, <EXCHANGE>_WS_URL ...).

    \b
    Example:
      python -m producers --exchange "$EXCHANGES"
    """
    run_async(f"producers-{name}", partial(produce, name))


class Readiness:
    """What /health/ready says; asked in another thread, from before anything has started."""

    publisher: Publisher | None = None
    connectors: Mapping[str, SlotConnector] | None = None

    def kafka(self) -> tuple[bool, str]:
        """Whether frames are taken."""
        if self.publisher is None:
            return False, "starting"
        return self.publisher.healthy, "frames are taken" if self.publisher.healthy else "frames are dropped"

    def slots(self) -> tuple[bool, str]:
        """Whether every slot with listed symbols is subscribed."""
        if self.connectors is None:
            return False, "starting"
        found = [item.status() for item in self.connectors.values() if listed(item.slot)]
        words = [f"{status.slot} {status.state} {status.error or ''}".strip() for status in found]
        return all(status.state == "subscribed" for status in found), "; ".join(words)


async def produce(name: str, cfg: Config, stop: asyncio.Event) -> None:
    """The whole process: checks, then all slots until ``stop``, then everything delivered."""
    if name not in cfg.exchanges and name in exchanges.names():
        await _stand_by(name, cfg, stop)
        return
    exchange = named_exchange(cfg, name)
    readiness = Readiness()
    health = serve_health(cfg.metrics_port, {"kafka": readiness.kafka, "slots": readiness.slots})
    try:
        check_topics(cfg)
        publisher = readiness.publisher = Publisher(cfg, name, metrics(), WallClock())
        try:
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(publisher.run())
                await _slots(cfg, exchange, publisher, readiness, stop)
                serving.cancel()
        finally:
            await publisher.flush(FLUSH_SECONDS)
        log.info("stopped", exchange=name)
    finally:
        if health is not None:
            health.close()


def named_exchange(cfg: Config, name: str) -> Exchange:
    """The exchange of that name; ConfigurationError `config.unknown_exchange` if not in EXCHANGES."""
    if name not in cfg.exchanges:
        message = f"{name!r} is not one of EXCHANGES"
        raise ConfigurationError(
            "config.unknown_exchange", message, where="--exchange", allowed=", ".join(cfg.exchanges)
        )
    return exchanges.load(name)


async def _stand_by(name: str, cfg: Config, stop: asyncio.Event) -> None:
    """Of an exchange that EXCHANGES leaves out nothing is read: to start one for each is no failure."""
    log.warning("not_wanted", exchange=name, allowed=", ".join(cfg.exchanges))
    with closing(serve_health(cfg.metrics_port, {}) or ExitStack()):
        await stop.wait()


def collector_name(cfg: Config) -> str | None:
    """What this producer is called in its statuses; None where it is its exchange's only one."""
    return cfg.collector or (socket.gethostname() if cfg.collectors > 1 else None)


def endpoints(cfg: Config, exchange: Exchange) -> Endpoints:
    """Where the exchange is reached under the settings."""
    own = exchange.endpoints
    return Endpoints(cfg.ws_url(exchange.name) or own.ws_url, cfg.rest_url(exchange.name) or own.rest_url)


async def _slots(
    cfg: Config, exchange: Exchange, publisher: Publisher, readiness: Readiness, stop: asyncio.Event
) -> None:
    counters = metrics()
    counters.init_exchange(exchange.name, cfg.symbols)
    counters.hops.labels(KAFKA_HOP)
    counters.init_stage(STAGE, (publisher.topic,))
    slots = slots_of(cfg, exchange.name)
    async with aiohttp.ClientSession(trust_env=True) as http:
        allowances = Allowances.of(exchange.limits, cfg.collectors)
        rest = Rest(http, random.random, requests=allowances.requests)
        where = endpoints(cfg, exchange)
        connectors = {
            slot.name: SlotConnector(
                slot, exchange, where, publisher, rest, allowances=allowances, collector=collector_name(cfg)
            )
            for slot in slots
        }
        control = Control(cfg, exchange.name, connectors, counters)
        readiness.connectors = connectors
        age = partial(_frame_age, connectors, publisher.clock, publisher.clock.now_us())
        counters.show_frame_age(exchange.name, age)
        log.info("started", exchange=exchange.name, slots=len(slots), topic=publisher.topic)
        async with asyncio.TaskGroup() as group:
            group.create_task(control.run(stop))
            for connector in connectors.values():
                connector.add_data_callback(_counting(counters, exchange.name))
                supervisor = Supervisor(connector, publisher, Backoff(random.random), counters)
                group.create_task(supervisor.run(stop))


def _counting(counters: Metrics, name: str) -> Callable[..., None]:
    frames = counters.frames.labels(name)
    return lambda record: frames.inc() if record.kind == "ws" else None


def _frame_age(connectors: Mapping[str, SlotConnector], clock: WallClock, started_us: int) -> float:
    """Seconds; of an exchange that has sent nothing yet since we began to listen."""
    newest = [connector.last_message_us for connector in connectors.values() if connector.last_message_us]
    return (clock.now_us() - max(newest, default=started_us)) / 1e6


if __name__ == "__main__":
    main()
