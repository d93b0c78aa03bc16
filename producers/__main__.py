"""`python -m producers --exchange NAME`: all slots of one exchange, until SIGTERM."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from functools import partial

import aiohttp
import click

from COBY import exchanges
from COBY.config import Config
from COBY.exchanges.base import Endpoints, Exchange
from COBY.runtime.health import Check, serve_health
from COBY.runtime.kafka import check_topics
from COBY.runtime.main import run_async
from COBY.runtime.metrics import Metrics, metrics
from COBY.slots import slots_of
from COBY.utils.exceptions import ConfigurationError
from COBY.utils.logging import get_logger
from COBY.utils.timing import WallClock
from producers.backoff import Backoff
from producers.connector import SlotConnector
from producers.control import Control
from producers.publisher import STAGE, Publisher
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


async def produce(name: str, cfg: Config, stop: asyncio.Event) -> None:
    """The whole process: checks, then all slots until ``stop``, then everything delivered."""
    exchange = named_exchange(cfg, name)
    checks: dict[str, Check] = {}
    health = serve_health(cfg.metrics_port, checks)
    try:
        check_topics(cfg)
        publisher = Publisher(cfg, name, metrics(), WallClock())
        try:
            async with asyncio.TaskGroup() as group:
                serving = group.create_task(publisher.run())
                await _slots(cfg, exchange, publisher, checks, stop)
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


def endpoints(cfg: Config, exchange: Exchange) -> Endpoints:
    """Where the exchange is reached under the settings."""
    own = exchange.endpoints
    return Endpoints(cfg.ws_url(exchange.name) or own.ws_url, cfg.rest_url(exchange.name) or own.rest_url)


async def _slots(
    cfg: Config, exchange: Exchange, publisher: Publisher, checks: dict[str, Check], stop: asyncio.Event
) -> None:
    counters = metrics()
    counters.init_exchange(exchange.name)
    counters.init_stage(STAGE, (publisher.topic,))
    slots = slots_of(cfg, exchange.name)
    async with aiohttp.ClientSession(trust_env=True) as http:
        rest = Rest(http, random.random)
        where = endpoints(cfg, exchange)
        connectors = {slot.name: SlotConnector(slot, exchange, where, publisher, rest) for slot in slots}
        control = Control(cfg, exchange.name, connectors, counters)
        checks |= {"kafka": partial(_kafka_check, publisher)} | _slot_checks(connectors)
        counters.show_frame_age(exchange.name, partial(_frame_age, connectors, publisher.clock))
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


def _kafka_check(publisher: Publisher) -> tuple[bool, str]:
    return publisher.healthy, "frames are taken" if publisher.healthy else "frames are dropped"


def _slot_checks(connectors: Mapping[str, SlotConnector]) -> dict[str, Check]:
    return {name: partial(_slot_check, connector) for name, connector in connectors.items()}


def _slot_check(connector: SlotConnector) -> tuple[bool, str]:
    status = connector.status()
    well = status.state == "subscribed" or not listed(connector.slot)
    return well, status.state if status.error is None else f"{status.state}: {status.error}"


def _frame_age(connectors: Mapping[str, SlotConnector], clock: WallClock) -> float:
    newest = [connector.last_message_us for connector in connectors.values() if connector.last_message_us]
    return (clock.now_us() - max(newest)) / 1e6 if newest else float("nan")


if __name__ == "__main__":
    main()
