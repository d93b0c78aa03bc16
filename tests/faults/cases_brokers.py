"""Case of a cluster of three brokers, of which one is gone: the other two hold every record and take its work over."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka.admin import AdminClient

from COBY.runtime.kafka import admin
from deploy.local.cluster import COPIES, Broker
from deploy.local.errors import LocalError
from deploy.local.ports import Ports
from deploy.local.stack import Stack
from tests.faults.cases import Case
from tests.faults.pipeline import PATIENCE_SECONDS, RECOVERY_SECONDS, FaultError, Pipeline, facts_trouble

AWAY_SECONDS = 40.0
"""Longer than anything may stand still: who waited for the broker's return would be found out."""
LOOK_SECONDS = 0.3


class Standstill:
    """The longest time from one look at which all was current to the next such look."""

    def __init__(self, now: float) -> None:
        """``now``: seconds of any clock, when all was current."""
        self._current = now
        self.seconds_max = 0.0
        self.what = ""
        """What was wrong at the last look before the longest time ended."""
        self._last = ""

    def look(self, now: float, trouble: str) -> None:
        """``trouble``: what is wrong now; empty: all is current."""
        self._last = trouble or self._last
        if now - self._current > self.seconds_max:
            self.seconds_max, self.what = now - self._current, self._last
        if not trouble:
            self._current, self._last = now, ""


class ThreeBrokersPipeline(Pipeline):
    """Its topics have three copies, of which two must hold a record before it counts."""

    def make_stack(self) -> Stack:
        """Three brokers and the other two servers."""
        return Stack(self.folder / "servers", Ports.free(brokers=COPIES))

    @property
    def brokers(self) -> dict[int, Broker]:
        """By node."""
        return {one.node: one for one in self.servers.brokers if isinstance(one, Broker)}

    def coordinator(self) -> int:
        """The broker that coordinates the stream workers' group. A kept client would ask the former one for ever."""
        client = admin(self.config)
        group = f"{self.config.topic_prefix}-streams"
        return int(client.describe_consumer_groups([group])[group].result(20).coordinator.id)

    def controller(self) -> int:
        """The broker whose controller leads the quorum; 0 during an election."""
        return max(broker.leader() for broker in self.brokers.values())[1]

    def in_sync(self, client: AdminClient) -> bool:
        """Whether all three brokers are there and have every record of every partition."""
        found = client.list_topics(timeout=10)
        partitions = [one for topic in found.topics.values() for one in topic.partitions.values()]
        copies = {len(one.replicas) for one in partitions} | {len(one.isrs) for one in partitions}
        return found.brokers.keys() == self.brokers.keys() and copies == {COPIES}


class BrokerOfThree(Case):
    """SIGKILL: any broker, the one that coordinates the stream workers, the one whose controller leads, in turn."""

    number = 20
    title = "broker 1 of 3 killed (3 copies, 2 in sync): nothing stops for more than 30 s"
    rounds = 6

    def make_pipeline(self, folder: Path, seed: int, session: int) -> Pipeline:
        """On three brokers."""
        return ThreeBrokersPipeline(folder, self.load, seed, session)

    def begin(self, pipeline: Pipeline) -> None:
        """Every topic, Kafka's own too, has its three copies."""
        assert isinstance(pipeline, ThreeBrokersPipeline)
        self._late: list[str] = []
        self._client = admin(pipeline.config)
        pipeline.until(
            lambda: pipeline.in_sync(self._client), 60, "every partition with three copies in sync"
        )

    def deal(self, pipeline: Pipeline, round_: int) -> str:
        """Kill one, watch what goes on without it, bring it back, wait until it has caught up."""
        assert isinstance(pipeline, ThreeBrokersPipeline)
        what, node = self._choose(pipeline, round_)
        broker, lag = pipeline.brokers[node], pipeline.require_lag()
        pipeline.pause(1.0)
        stands, away = Standstill(time.monotonic()), time.monotonic() + AWAY_SECONDS
        broker.kill()
        self._watch(pipeline, stands, lambda: time.monotonic() > away)
        broker.begin()
        self._watch(pipeline, stands, lambda: self._is_back(pipeline, broker))
        pipeline.fault_ended = time.monotonic()
        done = f"SIGKILL to broker {node} ({what}), lag {lag}; stood still for {stands.seconds_max:.1f} s at most"
        if stands.seconds_max > RECOVERY_SECONDS:
            self._late.append(f"case 20 round {round_ + 1}: {done}: {stands.what}")
        return done

    def _choose(self, pipeline: ThreeBrokersPipeline, round_: int) -> tuple[str, int]:
        if round_ % 3 == 1:
            found = pipeline.until(pipeline.coordinator, 20, "a coordinator")
            return "coordinates the stream workers", found
        if round_ % 3 == 2:
            return "its controller leads", pipeline.until(pipeline.controller, 20, "a controller that leads")
        return "any", pipeline.random.choice(sorted(pipeline.brokers))

    @staticmethod
    def _watch(pipeline: Pipeline, stands: Standstill, is_over: Callable[[], bool]) -> None:
        """Look until it is over and all is current; FaultError when that takes too long."""
        end = time.monotonic() + AWAY_SECONDS + PATIENCE_SECONDS
        while True:
            trouble = pipeline.trouble()
            stands.look(time.monotonic(), trouble)
            if not trouble and is_over():
                return
            if time.monotonic() > end:
                raise FaultError(f"with one broker of three away: {trouble or 'it does not come back'}")
            time.sleep(LOOK_SECONDS)

    def _is_back(self, pipeline: ThreeBrokersPipeline, broker: Broker) -> bool:
        try:
            broker.probe()
            return pipeline.in_sync(self._client)
        except (*facts_trouble(), LocalError):
            return False

    def end(self, pipeline: Pipeline) -> list[str]:
        """Rounds in which something stood still for too long."""
        return self._late
