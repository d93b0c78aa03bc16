"""The life of a streams process: checks, start, work, and its ends (asked to stop, a failed task, a crash)."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn

from COBY.codec import encode
from COBY.config import Config
from COBY.records import Settings
from COBY.runtime.health import serve_health
from COBY.runtime.kafka import GaplessProducer, check_topics, make_producer
from COBY.runtime.main import run_async
from COBY.runtime.memory import memory
from COBY.runtime.metrics import Metrics, metrics
from COBY.topics import topic_name
from COBY.utils.exceptions import BrokerError, ServiceError
from COBY.utils.logging import get_logger
from streams.app import (
    ALL,
    NORMALIZE,
    AggregateFactory,
    App,
    NormalizeFactory,
    make_app,
    sources,
)
from streams.counting import Shown
from streams.outbox import Outbox
from streams.saving import KafkaSaver
from streams.snapshots import SnapshotStore
from streams.watchdog import Watchdog
from streams.worker import Worker

GC_THRESHOLDS = (50_000, 50, 50)
COUNT_SECONDS = 1.0
DRAIN_SECONDS = 12.0
STOP_SECONDS = 10.0
FLUSH_SECONDS = 5.0
"""Together below the 30 s a process may take to end."""
LIBRARIES = ("faust", "mode", "aiokafka")

Factories = tuple[NormalizeFactory, AggregateFactory]

log = get_logger(__name__)


def launch(factories: Callable[[Config], Factories], stage: str = ALL) -> NoReturn:
    """The whole process: settings, logs, signals, `run`, and the exit code (see COBY.runtime.main)."""

    async def body(cfg: Config, stop: asyncio.Event) -> None:
        await run(cfg, stop, factories(cfg), stage)

    # Books are millions of objects that live long and hold no cycles: looking for some costs a tenth of the time.
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        run_async("streams", body)
    except SystemExit as ended:
        _leave(ended.code if isinstance(ended.code, int) else 1)
    _leave(0)


async def run(cfg: Config, stop: asyncio.Event, factories: Factories, stage: str = ALL) -> None:
    """Run the stage until ``stop`` is set. Raises what else ended it, or a group with it.

    BrokerError (topics.… and kafka.unreachable at start, kafka.delivery, kafka.fatal, kafka.hole), ServiceError
    (runtime.stop_timeout, runtime.port_…), TaskFailedError for a bug in a task, and Faust's own crashes.
    """
    check_topics(cfg)
    _quiet(cfg)
    read = sources(cfg, stage, *factories)
    shown = _metrics(cfg, {source.stage for source in read.values()})
    failures: list[BrokerError] = []
    producer = make_producer(cfg, failures.append, client_id="coby-streams")
    _tell_settings(cfg, producer)
    outbox = Outbox(cfg.topic_prefix, producer, shown)
    tell_settings = partial(_tell_settings, cfg, producer)
    saver = KafkaSaver(SnapshotStore(cfg, producer), outbox, shown, cfg.settings_hash, tell_settings)
    worker = Worker(read, outbox, shown, saver)
    app = make_app(cfg, worker, list(read))
    health = serve_health(cfg.metrics_port, {"assignment": lambda: _assignment(worker)})
    watchdog = Watchdog(cfg, worker, lambda: app.consumer, idle=lambda: memory().full)
    watchdog.start()
    try:
        await _serve(app, worker, outbox, shown, stop, failures, cfg.snapshot_interval)
    finally:
        watchdog.close()
        worker.stop()
        await _stop(app)
        producer.flush(FLUSH_SECONDS)
        if health is not None:
            health.close()


def _tell_settings(
    cfg: Config, producer: GaplessProducer, source: str | None = None, next_offset: int | None = None
) -> None:
    """The text behind the hash in every derived record's header ``settings`` (Recovery 1); the topic is compacted.

    With ``source``: the task took them up, from ``next_offset`` on.
    """
    value = encode(Settings(cfg.settings_hash, cfg.shaping_settings(), source, next_offset))
    key = cfg.settings_hash if source is None else f"{source}@{next_offset}"
    producer.produce(topic_name(cfg.topic_prefix, "settings"), value, key.encode())


async def _serve(
    app: App,
    worker: Worker,
    outbox: Outbox,
    shown: Metrics,
    stop: asyncio.Event,
    failures: list[BrokerError],
    snapshot_seconds: float,
) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(outbox.serve(failures)),
            group.create_task(worker.save_every(snapshot_seconds)),
            group.create_task(_count(worker, outbox, shown)),
            group.create_task(_until_failed(worker)),
            group.create_task(_until_crashed(app)),
        ]
        await stop.wait()
        log.info("stopping")
        await _drain(app, worker, outbox)
        for task in tasks:
            task.cancel()


async def _until_failed(worker: Worker) -> None:
    await worker.failed


async def _until_crashed(app: App) -> None:
    await app.start()
    await app.wait_until_stopped()
    raise app.crash_reason or RuntimeError("Faust stopped by itself")


async def _drain(app: App, worker: Worker, outbox: Outbox) -> None:
    """Take nothing more, see every output delivered, save every task, and commit as far."""
    worker.stop()
    try:
        async with asyncio.timeout(DRAIN_SECONDS):
            await outbox.drain()
            await worker.save()
            if worker.ready:
                await app.consumer.commit()
    except TimeoutError:
        message = f"{outbox.open_batches} chunks' outputs not delivered in {DRAIN_SECONDS:g} s; they will come again"
        raise ServiceError("runtime.stop_timeout", message) from None


async def _stop(app: App) -> None:
    """Leave the group. If that hangs, so would an orderly exit: leave the process."""
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await app.stop()
    except TimeoutError:
        log.critical("faust_does_not_stop", seconds=STOP_SECONDS)
        _leave(3)
    except Exception:
        log.exception("stop_failed")


async def _count(worker: Worker, outbox: Outbox, shown: Metrics) -> None:
    counted = Shown()
    while True:
        counted.count(list(worker.readers.items()), shown, time.monotonic())
        for stage, open_batches in outbox.open_batches_by_stage().items():
            shown.buffered.labels(stage).set(open_batches)
        await asyncio.sleep(COUNT_SECONDS)


def _assignment(worker: Worker) -> tuple[bool, str]:
    return worker.ready, f"{len(worker.readers)} partitions" if worker.ready else "no assignment yet"


def _metrics(cfg: Config, stages: set[str]) -> Metrics:
    shown = metrics()
    for stage in stages:
        shown.init_stage(stage)
    if NORMALIZE in stages:
        shown.hops.labels("receive")
        for exchange in cfg.exchanges:
            shown.init_exchange(exchange)
            shown.init_books(exchange, cfg.symbols)
    return shown


def _quiet(cfg: Config) -> None:
    """The libraries tell each step of each service at INFO."""
    if cfg.log_level != "DEBUG":
        for name in LIBRARIES:
            logging.getLogger(name).setLevel(logging.WARNING)


def _leave(code: int) -> NoReturn:
    """Exit without waiting for threads that may hang (mode's are no daemons)."""
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
