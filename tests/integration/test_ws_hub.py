"""The hub by itself, on real Kafka: a partition that could not be read is read when it is there again."""

import asyncio

import pytest

from api.ws import hub as hub_module
from api.ws.channels import CHANNELS, Selection
from api.ws.hub import Hub
from COBY.config import load_config
from COBY.runtime.kafka import apply_topics
from COBY.utils.exceptions import BrokerError
from tests.integration.sink_helpers import Feeder, trade
from tests.waiting import until

TRADES = Selection(CHANNELS["trade"], "BTCUSDT")


async def test_what_was_away_so_long_that_it_was_given_up_can_be_had_when_it_is_there(
    kafka, topic_prefix, monkeypatch
):
    monkeypatch.setattr(hub_module, "READY_SECONDS", 3.0)
    monkeypatch.setattr(hub_module, "LINGER_SECONDS", 0.0)
    cfg = load_config({"TOPIC_PREFIX": topic_prefix, **kafka.env})
    hub, partitions = Hub(cfg, lambda seconds: None), TRADES.partitions()
    await hub.start()
    watching = asyncio.create_task(hub.watch())
    try:
        hub.hold(partitions)
        with pytest.raises(BrokerError, match=r"topics\.missing|kafka\.silent"):
            await hub.ready(partitions)
        hub.release(partitions)
        await until(lambda: not hub._idle_since and not hub._pump.leaving and not hub._pump.wanted)
        await asyncio.to_thread(apply_topics, cfg)
        feeder = Feeder(cfg)
        feeder.send(trade(7), "7:0")
        await asyncio.to_thread(feeder.flush)
        hub.hold(partitions)
        monkeypatch.setattr(hub_module, "READY_SECONDS", 120.0)
        await hub.ready(partitions)
        found, _ = hub.latest(TRADES)
        assert [item.record.trade_id for item in found.values()] == ["7"]
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await hub.end()
