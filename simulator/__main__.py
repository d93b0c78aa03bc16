"""`python -m simulator`."""

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import click
import uvloop

from simulator.errors import SimulatorError
from simulator.exchanges import EXCHANGES
from simulator.options import BAD_RATE, BAD_RATE_MAX, Options
from simulator.runner import Pace
from simulator.server import serve

EXAMPLE = """\b
Examples:
  python -m simulator --port 9010 --seed 1 --symbols BTCUSDT,ETHUSDT --rate 500
  python -m simulator --exchange binance --exchange kraken --bad-day 7 --bad-rate 12
  python -m simulator --port 0 --recording frames.jsonl.gz --speed 20

When ready it prints one JSON line with port, ws_url and rest_url.
"""
SEEDED_ONLY = ("seed", "symbols", "rate", "seconds", "base_ms", "bad_day", "bad_rate")
PLAYED_ONLY = ("speed", "snapshot_wait")
LIMITS = {"ping": "ping_seconds", "pong": "pong_seconds", "connects": "connects_max"}


@click.command(epilog=EXAMPLE)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, show_default=True, help="0 chooses one.")
@click.option(
    "--exchange",
    "exchanges",
    multiple=True,
    default=["binance"],
    show_default=True,
    type=click.Choice(sorted(EXCHANGES)),
    help="Exchange to simulate; may be given several times.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Same seed, same market.")
@click.option("--symbols", default="BTCUSDT,ETHUSDT", show_default=True, help="Symbols of the seeded market.")
@click.option(
    "--rate",
    type=int,
    default=500,
    show_default=True,
    help="Frames a second in all, spread evenly over the exchanges and their symbols.",
)
@click.option("--seconds", type=click.IntRange(min=1), help="End of the seeded market; else endless.")
@click.option("--base-ms", type=int, help="The exchange's clock at the start, ms; else the wall's.")
@click.option(
    "--recording", type=click.Path(dir_okay=False, path_type=Path), help="Play this file instead (.gz too)."
)
@click.option(
    "--speed", type=float, default=1.0, show_default=True, help="Recording: times its pace; 0: no pace."
)
@click.option(
    "--snapshot-wait",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="Recording: seconds to wait for a client to fetch the recorded REST body before going past it.",
)
@click.option(
    "--settle",
    type=click.FloatRange(min=0),
    default=0.2,
    show_default=True,
    help="Quiet seconds after the last subscription before the market starts.",
)
@click.option(
    "--ping",
    type=click.FloatRange(min=0.01),
    help="Seconds between an exchange's pings, if it sends any; else its own figure.",
)
@click.option(
    "--pong",
    type=click.FloatRange(min=0.01),
    help="Seconds without a pong until a connection is closed; else the exchange's own figure.",
)
@click.option(
    "--connects",
    type=click.IntRange(min=0),
    help="Connection attempts allowed in the exchange's own window of time, 0: any number; else its own figure.",
)
@click.option("--bad-day", type=int, help="A seed: mishaps of all kinds, the same for the same seed.")
@click.option(
    "--bad-rate",
    type=click.FloatRange(min=0, min_open=True, max=BAD_RATE_MAX),
    default=BAD_RATE,
    show_default=True,
    help="On a bad day: mishaps a minute, of each exchange.",
)
@click.option(
    "--log", type=click.Path(dir_okay=False, path_type=Path), help="JSON lines, one of totals a second."
)
@click.pass_context
def main(context: click.Context, /, **given: Any) -> None:
    """Exchanges on localhost in their own protocols: a seeded market, or a recording."""
    try:
        options = _options(context, given)
        uvloop.run(_run(options))
    except SimulatorError as error:
        click.echo(error.line(), err=True)
        sys.exit(2)


def _options(context: click.Context, given: dict[str, Any]) -> Options:
    useless = SEEDED_ONLY if given["recording"] else PLAYED_ONLY
    for name in useless:
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
            flag = f"--{name.replace('_', '-')}"
            kind = "a recording" if given["recording"] else "a seeded market"
            raise SimulatorError("option_invalid", f"{flag} has no meaning for {kind}")
    return Options(
        host=given["host"],
        port=given["port"],
        exchanges=tuple(dict.fromkeys(given["exchanges"])),
        seed=given["seed"],
        symbols=tuple(name.strip() for name in given["symbols"].split(",") if name.strip()),
        rate=given["rate"],
        seconds=given["seconds"],
        recording=given["recording"],
        log=given["log"],
        pace=Pace(given["speed"], given["settle"], given["snapshot_wait"], given["base_ms"]),
        bad_day=given["bad_day"],
        bad_rate=given["bad_rate"],
        limits={field: given[name] for name, field in LIMITS.items() if given[name] is not None},
    )


async def _run(options: Options) -> None:
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    await serve(options, stop)


if __name__ == "__main__":
    main(prog_name="python -m simulator")
