"""`coby replay export`: a range written to a file instead of a topic, by the same streams in the same order."""

from __future__ import annotations

from time import time_ns

import click

from COBY.config import load_config
from COBY.replays.asked import Asked, checked, session_of
from replay.available import require_records
from replay.export_cli import FILE_HELP, export_options, run_export
from replay.log import Log
from replay.plan import plan
from replay.range_cli import range_options
from replay.release import Mark
from replay.sources import Sources


@click.command("export", epilog=FILE_HELP)
@range_options
@export_options
def export_(asked: Asked, file: str, file_format: str | None, force: bool) -> None:
    """Write a range to a file. No session, no topic, no worker: this process reads and writes.

    \b
    Example:
      coby replay export --from 2026-01-02T03:04:05Z --to 2026-01-02T03:14:05Z --channels trade,heatmap day.parquet
    """
    cfg, now_us = load_config(), time_ns() // 1000
    checked(cfg, asked, now_us)
    session = session_of(asked, "export", now_us, 0)
    require_records(cfg, session)
    log = Log(cfg)
    try:
        settled = plan(cfg, log, session)
    finally:
        log.close()
    sources = Sources(cfg, session, settled, lambda: False)
    try:
        items = (item for _, _, item in sources.items(Mark(), with_scene=False))
        run_export(items, file, file_format, force)
        lost = sources.lost()
    finally:
        sources.close()
    for line in settled.missing + lost:
        click.echo(f"missing: {line}", err=True)
