"""`python -m streams`: the worker of the stages normalize and aggregate; as many as there are partitions may run."""

from __future__ import annotations

import click

from COBY.aggregate import AggregateTask
from COBY.config import Config
from COBY.normalize import NormalizeTask
from streams.app import ALL, STAGES
from streams.service import Factories, launch


@click.command()
@click.option(
    "--stage", type=click.Choice(STAGES), default=ALL, show_default=True, help="What this worker does."
)
def main(stage: str) -> None:
    """Turn raw frames into books, trades, heatmaps and candles, partition by partition, until SIGTERM.

    Settings come from the environment (KAFKA_BOOTSTRAP_SERVERS, EXCHANGES, SYMBOLS, METRICS_PORT ...). Workers of
    one TOPIC_PREFIX share the partitions. Exit codes: 0 stopped, 1 a bug, 2 an error with a code, 3 not drained,
    4 stalled (WATCHDOG_SECONDS).

    \b
    Example:
      KAFKA_BOOTSTRAP_SERVERS=localhost:9092 python -m streams --stage all
    """
    launch(_factories, stage)


def _factories(cfg: Config) -> Factories:
    return (
        lambda exchange, partition: NormalizeTask(cfg, exchange, partition),
        lambda partition: AggregateTask(cfg, partition),
    )


if __name__ == "__main__":
    main()
