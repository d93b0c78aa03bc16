"""`make replay-load`: replays beside ten live exchanges: how punctual they are, whether they are true, what live feels.

All is seen from outside: a consumer's own clock, the live topics read by a plain consumer. First one session at a time
at several speeds, then ten at once, while the exchanges go on; then, once live has come to rest, one at a time again:
how punctual a replay is where processors are free is judged there.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple
from urllib.request import urlopen

import click
from confluent_kafka import Consumer, Message, TopicPartition
from prometheus_client.parser import text_string_to_metric_families

from COBY.replays.manager import KafkaReplayManager
from COBY.runtime.kafka import client_settings
from deploy.local import fetch
from deploy.local.demo import Demo, start, summary
from deploy.local.demo_facts import read_all
from deploy.local.ports import HOST
from deploy.local.stack import ROOT
from tests.integration.replay_world import (
    all_of,
    at_ms,
    by_sequence,
    derived_topics,
    do,
    seen_of,
    until_ended,
    within,
    without_repeats,
)
from tests.load import WARM_SECONDS, Latencies, Onlooker, Topics, _wait

FOLDER = ROOT / ".local" / "replay-load"
SPEEDS = {1: 30.0, 10: 120.0, 100: 120.0}
"""Speed -> seconds of stream time that are played at it, one after the other."""
PUNCTUAL = (1, 10)
PUNCTUAL_MS = 20.0
"""99 of 100 records come within so much of their time, at these speeds."""
TOGETHER = (0, 100, 50, 20, 10, 10, 5, 5, 2, 2)
"""Speeds of the sessions that are played at once; 0: as fast as can be."""
LASTS_SECONDS = 90.0
"""Each of them is over after so long, or sooner."""
LIVE_SECONDS = 2.0
"""99 of 100 heatmaps are there within so much of their tick while ten sessions are played."""
SETTLED_SECONDS = 10.0
"""What is younger is not replayed: it may still be on its way."""
ENDED_SECONDS = 240.0
BATCH = 2_000


class Arrival(NamedTuple):
    """A record of a session at its consumer: stream time, milliseconds, and the consumer's clock, seconds."""

    time_ms: int
    arrived: float


class Session(NamedTuple):
    """What one of several plays."""

    id: str
    speed: int
    from_ms: int
    to_ms: int


class Ear(threading.Thread):
    """Reads a session's topic as records come, and writes down when."""

    def __init__(self, demo: Demo, topic: str) -> None:
        super().__init__(name="ear", daemon=True)
        more = {"group.id": "replay-load", "enable.auto.commit": False, "fetch.wait.max.ms": 5}
        self._consumer = Consumer(client_settings(demo.config) | more)
        self._consumer.assign([TopicPartition(topic, 0, 0)])
        self._stop_asked = threading.Event()
        self.heard: list[Arrival] = []

    def run(self) -> None:
        """Until `end`. A batch is not waited for: each record is stamped when it is there."""
        while not self._stop_asked.is_set():
            first = self._consumer.poll(0.1)
            if first is not None:
                batch = [first, *self._consumer.consume(BATCH, 0)]
                now = time.monotonic()
                self.heard += [Arrival(one.timestamp()[1], now) for one in batch if _counts(one)]
        self._consumer.close()

    def end(self) -> None:
        """Stop listening."""
        self._stop_asked.set()
        self.join()


def _counts(message: Message) -> bool:
    return message.error() is None and all(name != "prelude" for name, _ in message.headers() or [])


def deviations_ms(heard: Sequence[Arrival], speed: float) -> list[float]:
    """How much later than its time each record came, sorted; the most punctual one is on time.

    A record of an earlier time than one before it could not have come with its own: order goes first.
    """
    reached_ms = list(accumulate((one.time_ms for one in heard), max))
    after = [
        1e3 * one.arrived - (ms - reached_ms[0]) / speed for one, ms in zip(heard, reached_ms, strict=True)
    ]
    anchor = min(after)
    return sorted(one - anchor for one in after)


def share(values: Sequence[float], part: float) -> float:
    """A percentile of sorted values."""
    return values[int(part * (len(values) - 1))]


def released(demo: Demo) -> dict[float, float]:
    """The worker's own histogram of lateness: bucket, seconds -> records that were not later."""
    with urlopen(f"http://{HOST}:{demo.port('replay')}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        samples = [sample for family in families for sample in family.samples]
    buckets = (one for one in samples if one.name == "coby_replay_late_seconds_bucket")
    return {float(one.labels["le"]): one.value for one in buckets}


def bucket_ms(before: dict[float, float], after: dict[float, float], part: float) -> float:
    """The bucket in which a percentile of what came in between lies, by its upper end."""
    counts = {edge: after[edge] - before.get(edge, 0.0) for edge in sorted(after)}
    wanted = part * max(counts.values())
    return 1e3 * next(edge for edge, count in counts.items() if count >= wanted)


@contextmanager
def playing(manager: KafkaReplayManager, speed: float, from_ms: int, to_ms: int) -> Iterator[str]:
    """A session, deleted in the end."""
    session = manager.create_replay_session(at_ms(from_ms), at_ms(to_ms), speed)
    try:
        yield session
    finally:
        do(manager.delete(session))


def pacing(demo: Demo, manager: KafkaReplayManager, from_ms: int) -> list[tuple[str, bool, str]]:
    """One session after the other: prints the table; (what, whether it holds, figures)."""
    click.echo(
        "\n| speed | records | at the consumer: p50 ms | p90 | p99 | largest | at release: p50 at most | p99 at most |"
        "\n|---|---|---|---|---|---|---|---|"
    )
    held = []
    for speed, seconds in SPEEDS.items():
        with playing(manager, speed, from_ms, from_ms + round(1000 * seconds)) as session:
            ear, before = Ear(demo, manager.topic(session)), released(demo)
            ear.start()
            do(manager.start_replay(session))
            ended = until_ended(manager, session, ENDED_SECONDS)
            time.sleep(1.0)  # the last ones are on their way
            ear.end()
        late, after = deviations_ms(ear.heard, speed), released(demo)
        figures = [f"{share(late, part):.1f}" for part in (0.5, 0.9, 0.99, 1.0)]
        figures += [f"{bucket_ms(before, after, part):g}" for part in (0.5, 0.99)]
        click.echo(f"| {speed} | {len(late):,} | {' | '.join(figures)} |")
        if speed in PUNCTUAL:
            what = f"at speed {speed} 99 of 100 records come within {PUNCTUAL_MS:g} ms of their time"
            holds = ended.state == "finished" and share(late, 0.99) <= PUNCTUAL_MS
            held.append((what, holds, f"{share(late, 0.99):.1f} ms"))
    return held


def together(
    demo: Demo, manager: KafkaReplayManager, stack: ExitStack, from_ms: int, to_ms: int
) -> tuple[list[Session], Latencies]:
    """Ten sessions on ranges that overlap, all started before any is waited for; and what live felt meanwhile."""
    sessions = []
    for number, speed in enumerate(TOGETHER):
        first_ms = from_ms + 2_000 * number
        lasts_ms = round(1000 * LASTS_SECONDS * speed) if speed else to_ms
        last_ms = min(first_ms + lasts_ms, to_ms - 1_000 * number)
        one = stack.enter_context(playing(manager, speed, first_ms, last_ms))
        sessions.append(Session(one, speed, first_ms, last_ms))
    latencies = Latencies()
    eye = Topics(demo.config, latencies)
    onlooker = Onlooker(eye.look)
    onlooker.start()
    try:
        began = time.monotonic()
        for session in sessions:
            do(manager.start_replay(session.id))
        for session in sessions:
            ended = until_ended(manager, session.id, ENDED_SECONDS)
            seconds = time.monotonic() - began
            click.echo(
                f"x{session.speed}: {ended.state} after at most {seconds:.0f} s, {ended.records:,} records"
            )
    finally:
        onlooker.end()
        eye.close()
    return sessions, latencies


def truth(
    demo: Demo, manager: KafkaReplayManager, sessions: Sequence[Session]
) -> Iterator[tuple[str, bool, str]]:
    """Each session's records against those of the live topics."""
    servers = demo.config.kafka_bootstrap_servers
    # Up to the ends of now: live goes on.
    messages = (
        one for topic in derived_topics(demo.config.topic_prefix) for one in read_all(demo.config, topic)
    )
    live = by_sequence([seen_of(one) for one in messages])
    for session in sessions:
        expected = within(live, session.from_ms, session.to_ms)
        got = without_repeats(all_of(servers, manager.topic(session.id)))
        status = manager.get_replay_status(session.id)
        places = [one.place[1] for one in got]
        in_order = places == list(range(places[0], places[-1] + 1)) if places else False
        holds = status.state == "finished" and in_order and by_sequence(got) == expected
        what = (
            f"session at x{session.speed} equals the live topics"
            if session.speed
            else ("session at full speed equals the live topics")
        )
        wanted = sum(map(len, expected.values()))
        yield what, holds and wanted > 0, f"{len(got):,} records, {wanted:,} live ones, {status.state}"


def lag(latencies: Latencies) -> tuple[str, bool, str]:
    """What live felt."""
    hops = {hop: (p99, largest) for hop, _, _, p99, largest in latencies.table()}
    late, largest = hops.get("aggregate", (float("inf"), float("inf")))
    what = f"live meanwhile: 99 of 100 heatmaps within {LIVE_SECONDS:g} s of their tick"
    return what, late < LIVE_SECONDS, f"p99 {1e3 * late:.0f} ms, largest {1e3 * largest:.0f} ms"


def beside_live(demo: Demo, manager: KafkaReplayManager, from_ms: int) -> list[tuple[str, bool, str]]:
    """One at a time, which is not judged, then ten at once."""
    pacing(demo, manager, from_ms)
    to_ms = time.time_ns() // 10**6 - round(1000 * SETTLED_SECONDS)
    with ExitStack() as open_:
        sessions, latencies = together(demo, manager, open_, from_ms, to_ms)
        return [lag(latencies), *truth(demo, manager, sessions)]


@click.command()
@click.option("--rate", default=560, show_default=True, help="Market events a second over all exchanges.")
@click.option("--minutes", default=2.0, show_default=True, help="How long live runs before it is replayed.")
@click.option("--alone", is_flag=True, help="One session at a time only, after the exchanges fell silent.")
@click.option(
    "--folder", type=click.Path(path_type=Path), default=FOLDER, help="Data and logs (emptied first)."
)
def main(rate: int, minutes: float, alone: bool, folder: Path) -> None:
    """Replays beside ten live exchanges: pace, truth, and what live feels of it.

    \b
    Example:
      python -m tests.replay_load --rate 560 --minutes 2
    """
    fetch.fetch()
    with ExitStack() as stack:
        demo = start(stack, folder.resolve(), live=False, rate=rate)
        _wait(demo, WARM_SECONDS)
        from_ms = time.time_ns() // 10**6
        _wait(demo, max(60 * minutes, max(SPEEDS.values())) + SETTLED_SECONDS)
        manager = KafkaReplayManager(demo.config)
        stack.callback(manager.close)
        lines = [] if alone else beside_live(demo, manager, from_ms)
        held = summary(demo)
        lines += pacing(demo, manager, from_ms)
        for what, holds, figures in lines:
            click.echo(f"{'ok  ' if holds else 'FAIL'} {what}: {figures}")
    sys.exit(0 if held and all(holds for _, holds, _ in lines) else 1)


if __name__ == "__main__":
    main(prog_name="python -m tests.replay_load")
