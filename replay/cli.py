"""`coby verify`: whether what lies in topics, tables and Redis is what the raw topics lead to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import click

from COBY.config import load_config
from COBY.runtime.kafka import check_topics
from COBY.utils.exceptions import ValidationError
from COBY.utils.intervals import format_us, parse_time
from replay.contents import Difference, Line
from replay.log import Range
from replay.verify import WAIT_SECONDS, Options, Report, verify

DIFFERENT, COULD_NOT = 1, 2


@click.command("verify")
@click.option(
    "--from", "since", required=True, help="First stream time: RFC 3339 with an offset, or milliseconds."
)
@click.option("--to", "until", required=True, help="Stream time after the last.")
@click.option("--symbols", help="Only these, separated by commas.  [default: all]")
@click.option("--no-database", is_flag=True, help="Leave the tables out.")
@click.option("--no-redis", is_flag=True, help="Leave Redis out.")
@click.option(
    "--wait", default=WAIT_SECONDS, show_default=True, help="Seconds to wait for writers that are behind."
)
@click.option("--show", default=10, show_default=True, help="Differences to show, smallest first.")
def command(
    since: str, until: str, symbols: str | None, no_database: bool, no_redis: bool, wait: float, show: int
) -> None:
    """Recompute a range of stream time from the raw topics and compare it with topics, tables and Redis.

    By SHA-256, and record by record where that differs. Redis is compared where the range reaches the head of the
    topics. Exit code: 0 equal, 1 different, 2 could not (also when streams or the sink are behind). Nothing is
    changed.

    \b
    Example:
      coby verify --from 2026-01-02T03:04:05Z --to 2026-01-02T03:14:05Z --symbols BTCUSDT
    """
    within = _range(since, until)
    cfg = load_config()
    check_topics(cfg)
    options = Options(_symbols(symbols), not no_database, not no_redis, wait)
    click.echo(
        f"stream time {format_us(within.from_ms * 1000)} to {format_us(within.to_ms * 1000)}", err=True
    )
    report = verify(cfg, within, options, lambda line: click.echo(line, err=True))
    for line in (*table(report.lines), *shown(report.differences, show)):
        click.echo(line)
    click.echo(verdict(report))
    raise SystemExit(exit_code(report))


def exit_code(report: Report) -> int:
    """0 equal, 1 different, 2 not all there yet."""
    if report.differences:
        return DIFFERENT
    return COULD_NOT if report.behind else 0


def verdict(report: Report) -> str:
    """The last line."""
    if report.differences:
        count = len(report.differences)
        return f"DIFFERENT: {count:,} difference{'s' * (count > 1)}"
    if report.behind:
        return f"could not: {report.behind:,} records are not there yet (coby lag), or the last of all are missing"
    return "equal"


def table(lines: Iterable[Line]) -> Iterator[str]:
    """The lines as aligned columns under a header."""
    cells = [("TOPIC OR TABLE", "RECORDS", "SHA-256", "VERDICT")]
    cells += [(line.name, f"{line.records:,}", line.digest, line.verdict) for line in lines]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    for name, count, digest, text in cells:
        yield f"{name:<{widths[0]}}  {count:>{widths[1]}}  {digest:<{widths[2]}}  {text}"


def shown(differences: list[Difference], count: int) -> Iterator[str]:
    """The smallest differences."""
    for one in differences[:count]:
        yield f"  {one.name}: {one.place}: {one.what}"
    if len(differences) > count:
        yield f"  and {len(differences) - count:,} more (--show)"


def _range(since: str, until: str) -> Range:
    within = Range(parse_time(since) // 1000, parse_time(until) // 1000)
    if within.from_ms >= within.to_ms:
        raise ValidationError("replay.range", f"from {since} to {until}", allowed="--from before --to")
    return within


def _symbols(text: str | None) -> frozenset[str]:
    return frozenset(part.strip() for part in (text or "").split(",") if part.strip())
