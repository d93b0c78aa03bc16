"""The code in the user's documents, as it stands."""

import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[2]

EXAMPLE = """
from COBY.config import config
print(config.get_database_url())
print(config.get_bucket_size('BTCUSDT'))

from COBY.models import OrderBookSnapshot, PriceLevel
from COBY.utils import setup_logging, get_logger, set_correlation_id

setup_logging(level='INFO', log_file='logs/coby.log')
set_correlation_id('order-1')
get_logger('example').info('it runs')

from COBY.interfaces import (
    AggregationEngine, DataProcessor, ExchangeConnector, ReplayManager, StorageManager
)
"""


def test_the_users_code_runs_as_it_stands(tmp_path):
    environ = {"PYTHONPATH": str(ROOT), "DB_HOST": "db", "DB_PASSWORD": "secret1"}
    done = subprocess.run(
        [sys.executable, "-c", EXAMPLE], cwd=tmp_path, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["postgresql://market_user:secret1@db:5432/market_data", "10.0"]
    log = (tmp_path / "logs" / "coby.log").read_text()
    assert '"event": "it runs"' in log
    assert '"correlation_id": "order-1"' in log


def test_a_snapshot_is_built_as_in_the_users_documents():
    from COBY.models import OrderBookSnapshot, PriceLevel

    snapshot = OrderBookSnapshot(
        symbol="BTCUSDT",
        exchange="binance",
        timestamp=datetime.now(UTC),
        bids=[PriceLevel(50000.0, 1.5)],
        asks=[PriceLevel(50010.0, 2.0)],
    )
    assert (snapshot.mid_price, snapshot.spread) == (50005.0, 10.0)


def test_our_logging_module_does_not_hide_the_standard_librarys():
    from COBY.utils import logging as ours

    assert ours.logging is logging
    assert hasattr(logging, "handlers")
