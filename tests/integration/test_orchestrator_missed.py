"""What did not come to a reader of topics is said, and the reading goes on; the document's program runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from COBY.codec import encode
from COBY.config import load_config
from COBY.orchestrator import Missed, OrchestratorInterface
from COBY.orchestrator.cursors import cursor_text
from COBY.records import TradeEvent
from COBY.runtime.kafka import apply_topics, make_producer
from COBY.topics import PARTITIONS, partition_of
from tests.integration.orchestrator_world import drained
from tests.integration.replay_world import working
from tests.integration.sink_helpers import settings
from tests.integration.verify_run import SYMBOLS, Made, Run, frames, started_ns, told

ROOT = Path(__file__).resolve().parents[2]
US = 1_700_000_000_000_000


@pytest.fixture
def cfg(kafka, topic_prefix):
    cfg = load_config({"TOPIC_PREFIX": topic_prefix, **kafka.env})
    apply_topics(cfg)
    producer = make_producer(cfg, pytest.fail)
    for number in range(6):
        record = TradeEvent("BTCUSDT", "binance", US, US + number, 1, 2, "buy", str(number))
        value = b"no record" if number == 4 else encode(record)
        headers = [("source", b"raw.binance.v1/0"), ("position", b"%d:0" % number), ("settings", b"00")]
        producer.produce(f"{topic_prefix}.trade.v1", value, b"BTCUSDT", headers, timestamp_ms=US // 1000)
    assert producer.flush(30) == 0
    return cfg


async def test_what_retention_took_and_what_can_not_be_read_is_said_and_the_reading_goes_on(cfg, kafka):
    place = f"{cfg.topic_prefix}.trade.v1", partition_of(b"BTCUSDT", PARTITIONS)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    admin.delete_records([TopicPartition(*place, 3)])[TopicPartition(*place)].result(30)
    async with OrchestratorInterface.from_kafka(cfg) as market:
        begin = cursor_text({place: 0}, {})
        subscription = market.subscribe("trade", "BTCUSDT", cursor=begin)
        found = await drained(subscription, lambda found: len(found) >= 4)
        again = await drained(
            market.subscribe("trade", "BTCUSDT", cursor=subscription.cursor), lambda found: True
        )
    gone = Missed("retention", f"{place[0]}/{place[1]}: offsets 0 to 3 did not come", "trade", 3)
    assert found[0] == gone
    assert [getattr(one, "place", None) and one.place.offset for one in found[1:]] == [3, None, 5]
    assert (found[2].reason, found[2].count) == ("unusable", 1)
    assert again == [], "its cursor stands after all of it"


def test_the_documents_program_runs(kafka, topic_prefix):
    """Word for word, on a run of 75 s: 60 s of it in rows of half a second, two of them blind."""
    cfg = settings(kafka, prefix=topic_prefix, EXCHANGES="binance", SYMBOLS=",".join(SYMBOLS))
    apply_topics(cfg)
    log = frames(started_ns())
    Run(cfg, log, Made(log, cfg).outputs, told(cfg))
    first_ms = log.records[0].timestamp
    text = (ROOT / "docs" / "orchestrator.md").read_text()
    (program,) = [one for one in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "asyncio.run" in one]
    assert len(program.splitlines()) <= 20
    env = {**os.environ, **kafka.env, "TOPIC_PREFIX": topic_prefix, "EXCHANGES": "binance", "LOG_FILE": "-"}
    times = [str(first_ms), str(first_ms + 60_000)]
    with working(cfg):
        done = subprocess.run(
            [sys.executable, "-c", program, *times],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    assert "(120, 50, 2)" in done.stdout
    assert "1s[-1].close" in done.stdout
