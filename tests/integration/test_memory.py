"""The bound on memory in the programs: a stream worker that starts anew and then stays, intakes that take nothing new.

python -m tests.integration.test_memory    # the streams process of these tests; settings as usual
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from urllib.error import HTTPError

import pytest

from COBY.runtime.memory import memory
from deploy.local.ports import free_port
from sinks.timescale import TimescaleSink
from tests.integration import sink_helpers
from tests.integration import test_streams_echo as echo
from tests.integration.test_streams_echo import bench, end_of, expected, places, until
from tests.producer_world import Seen, configured, read_topic, supervised, tiny_server

__all__ = ["bench"]  # the fixture

HOG = b"hog"
LIMIT_MIB = 320


def program():
    class HungryTask(echo.EchoTask):
        held = b""

        def process(self, records):
            if any(record.value == HOG for record in records):
                self.held = b"x" * (LIMIT_MIB << 20)
            return super().process(records)

    echo.EchoTask = HungryTask
    echo.program()


def ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=30) as answer:
            return answer.status
    except HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.long
def test_a_stream_worker_near_its_limit_saves_starts_anew_and_the_second_time_stays(bench):
    port, log = free_port(), bench.folder / "worker.log"
    env = {**os.environ, **bench.env, "MAX_MEMORY_USAGE": str(LIMIT_MIB), "METRICS_PORT": str(port)}
    env |= {"WATCHDOG_SECONDS": "3"}
    values = [b"a", HOG]
    bench.write(0, values)
    command = [sys.executable, "-m", "tests.integration.test_memory"]
    with (
        log.open("wb") as out,
        subprocess.Popen(command, env=env, cwd=echo.REPOSITORY, stdout=out, stderr=out) as process,
    ):
        try:
            until(lambda: b"memory_start_anew" in log.read_bytes())
            values += [b"b", b"c"]
            bench.write(0, values[2:])
            until(lambda: bench.committed()[0] == 4)
            assert places(bench.outputs()["binance/0"]) == expected(values), "saved first: nothing came again"
            assert process.poll() is None
            bench.write(0, [HOG])
            until(lambda: ready(port) == 503)
            until(lambda: bench.committed()[0] == 5)
            bench.write(0, [b"not taken"] * 3)
            with pytest.raises(AssertionError):
                until(lambda: bench.committed()[0] > 5 or process.poll() is not None, 8)
            assert len(bench.outputs()["binance/0"]) == 5, "it takes nothing new, and the watchdog lets it"
            process.send_signal(signal.SIGTERM)
            assert end_of(process) == 0
        finally:
            process.kill()
    found = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    events = [line["event"] for line in found if line["event"].startswith("memory")]
    assert events == ["memory_start_anew", "memory_full"]
    assert {pid for pid, *_ in bench.chunks()} == {process.pid}


async def test_a_producer_that_is_full_drops_frames_and_says_which_until_there_is_room(
    kafka, topic_prefix, monkeypatch
):
    cfg = configured(kafka.env, topic_prefix)
    async with tiny_server() as server, supervised(cfg, server.endpoints) as producer:

        async def so(holds):
            async with asyncio.timeout(60):
                while not holds():
                    await asyncio.sleep(0.02)

        await so(lambda: len(server.requests) == 2)
        seen = Seen(producer)
        stream = producer.connector.connections[0].stream
        monkeypatch.setattr(memory(), "full", True)
        await server.send(*[b"frame %d" % number for number in range(50)])
        await so(lambda: stream.dropped == 50)
        assert not producer.publisher.healthy
        monkeypatch.setattr(memory(), "full", False)
        await so(lambda: producer.publisher.healthy)
        await so(lambda: len(server.requests) >= 4)
        await server.send(b"taken")
        await seen.until_value(b"taken")
    records = read_topic(kafka.bootstrap_servers, f"{topic_prefix}.raw.binance.v1")
    holes = [record.event for record in records if record.event["event"] == "dropped"]
    assert [hole["to_seq"] - hole["from_seq"] + 1 for hole in holes] == [50]
    assert [record.value for record in records if record.kind == "ws"][-1] == b"taken"


def test_a_sink_that_is_full_waits_as_a_member_of_its_group(kafka, database, topic_prefix, monkeypatch):
    cfg = sink_helpers.settings(kafka, database, prefix=topic_prefix)
    sink_helpers.prepare(cfg)
    feeder = sink_helpers.Feeder(cfg)
    feeder.trades(0, 10)
    with sink_helpers.running(TimescaleSink, cfg) as run:
        sink_helpers.until(lambda: sink_helpers.settled(database.dsn, "trade", 10), run=run)
        monkeypatch.setattr(memory(), "full", True)
        sink_helpers.until(lambda: run.sink._intake._held is not None, run=run)
        taken = run.sink._taker.next_offsets.copy()
        feeder.trades(10, 500)
        with pytest.raises(AssertionError):
            sink_helpers.until(lambda: run.sink._taker.next_offsets != taken, 4, run=run)
        assert run.sink.reads()[0], "still a member"
        monkeypatch.setattr(memory(), "full", False)
        sink_helpers.until(lambda: sink_helpers.settled(database.dsn, "trade", 500), run=run)
    assert sink_helpers.query(database.dsn, "SELECT count(*) FROM trade_events") == [(500,)]


if __name__ == "__main__":
    program()
