"""`coby topics apply|check`: Kafka's topics made to follow the table, or compared with it."""

from __future__ import annotations

import click

from COBY.config import load_config
from COBY.runtime.kafka import apply_topics, check_topics
from COBY.topics import all_topics


@click.group()
def topics() -> None:
    """Make Kafka's topics follow the table in COBY/topics.py, or compare them with it.

    \b
    Example:
      coby topics check
    """


@topics.command()
def apply() -> None:
    """Create missing topics and set settings that differ; one line a change, none when all is well.

    Refuses (topics.partitions) before changing anything where a topic has another number of partitions.

    \b
    Example:
      TOPIC_PREFIX=coby coby topics apply
    """
    for line in apply_topics(load_config()):
        click.echo(line)


@topics.command()
def check() -> None:
    """Compare; exit code 2 with every difference if there is one. Changes nothing.

    \b
    Example:
      coby topics check
    """
    cfg = load_config()
    check_topics(cfg)
    click.echo(f"{len(all_topics(cfg.topic_prefix, cfg.exchanges))} topics are as in the table")
