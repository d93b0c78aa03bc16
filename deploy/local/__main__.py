"""`python -m deploy.local`: the servers and our programs on this machine, without Docker."""

import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import click

from deploy.local import fetch as fetching
from deploy.local.browser import fetch_browser
from deploy.local.errors import LocalError
from deploy.local.node import fetch_node

if TYPE_CHECKING:
    from deploy.local.stack import Stack
    from deploy.local.supervise import Programs

P = ParamSpec("P")
R = TypeVar("R")
FOLDER = Path(__file__).resolve().parents[2] / ".local"
EXAMPLE = """\b
Examples:
  python -m deploy.local up && . .local/env
  python -m deploy.local programs start --simulate
  python -m deploy.local down
"""


def plainly(command: Callable[P, R]) -> Callable[P, R]:
    """Errors of ours as one line (and the log's tail below it), exit 2."""

    @wraps(command)
    def run(*arguments: P.args, **named: P.kwargs) -> R:
        try:
            return command(*arguments, **named)
        except LocalError as error:
            click.echo(f"error {error}", err=True)
            sys.exit(2)

    return run


folder_option = click.option(
    "--dir",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=FOLDER,
    show_default=".local",
    help="Data, logs and pids.",
)


@click.group(epilog=EXAMPLE)
def main() -> None:
    """Kafka, TimescaleDB and Redis as plain processes on Debian as root, and our programs on them."""


@main.command()
@click.option("--or-docker", is_flag=True, help="Where this is not Debian as root, a Docker engine will do.")
@plainly
def fetch(or_docker: bool) -> None:
    """Bring what the servers need into COBY_CACHE (else ~/.cache/coby); quick when it is there."""
    try:
        fetching.fetch()
    except LocalError as error:
        if error.code not in {"not_debian", "not_root"} or not (or_docker and fetching.engine_answers()):
            raise
        click.echo(f"no local servers ({error.code}): tests use containers")


@main.command()
@plainly
def browser() -> None:
    """Print the path of the Chromium that the dashboard is tested in; installs it where there is none."""
    click.echo(fetch_browser())


@main.command()
@plainly
def node() -> None:
    """Print the folder of a Node.js that builds the dashboard, as the last line; fetches one where there is none."""
    click.echo(fetch_node())


@main.command()
@folder_option
@plainly
def up(folder: Path) -> None:
    """Start the servers; settings give the ports (KAFKA_BOOTSTRAP_SERVERS, DB_PORT, REDIS_PORT).

    Three addresses in KAFKA_BOOTSTRAP_SERVERS start three brokers.
    """
    fetching.check_machine()
    stack = _stack(folder)
    stack.start()
    for server in stack.servers:
        where = f"{server.host}:{server.port}"
        click.echo(f"{server.name:9} {where:16} pid {server.pid}, log {_short(server.log)}")
    click.echo(f"settings for programs:  . {_short(folder / 'env')}")


@main.command()
@folder_option
@plainly
def down(folder: Path) -> None:
    """Stop programs and servers, and whatever a crash has left of them."""
    if not folder.exists():
        click.echo("nothing runs")
        return
    _programs(folder).stop()
    left = _stack(folder, default_ports=True).stop()
    click.echo("all stopped" + (f", {len(left)} processes left by a crash among them" if left else ""))


@main.command()
@folder_option
@plainly
def status(folder: Path) -> None:
    """Which servers and programs run."""
    if not folder.exists():
        click.echo("nothing runs")
        return
    for server in _stack(folder, default_ports=True).servers:
        click.echo(f"{server.name:16} {'RUNNING' if server.running else 'STOPPED':9} pid {server.pid or '-'}")
    _show(_programs(folder))


@main.group()
def programs() -> None:
    """Our programs under a supervisor that restarts them."""


@programs.command("start")
@folder_option
@click.option("--simulate", is_flag=True, help="Read simulated exchanges instead of the real ones.")
@plainly
def programs_start(folder: Path, simulate: bool) -> None:
    """Start clock, producers, streams and sinks (after `up`)."""
    from COBY.config import load_config
    from COBY.utils.exceptions import CobyError
    from deploy.local.programs import pipeline, simulated, simulator
    from deploy.local.stack import read_env
    from deploy.local.supervise import Programs

    env = read_env(folder)
    try:
        exchanges = load_config({**os.environ, **env}).exchanges
    except CobyError as error:
        raise LocalError("setting_invalid", str(error)) from error
    table = pipeline(exchanges)
    if simulate:
        table, env = [simulator(exchanges), *table], {**env, **simulated(exchanges)}
    _show(Programs(folder, table, env=env, detached=True).start())


@programs.command("stop")
@folder_option
@click.argument("name", required=False)
@plainly
def programs_stop(folder: Path, name: str | None) -> None:
    """Stop all programs, or the one NAME."""
    _programs(folder).stop(name)


@programs.command("status")
@folder_option
@plainly
def programs_status(folder: Path) -> None:
    """State, pid and restarts of each program."""
    _show(_programs(folder))


def _stack(folder: Path, *, default_ports: bool = False) -> "Stack":
    from deploy.local.cluster import brokers_there
    from deploy.local.stack import Ports, Stack

    # To stop them it does not matter where they listen, so a wrong setting must not stand in the way.
    there = Ports(more_kafka=(0, 0) if brokers_there(folder) > 1 else ())
    return Stack(folder, there if default_ports else Ports.from_settings(), detached=True)


def _programs(folder: Path) -> "Programs":
    from deploy.local.supervise import Programs

    return Programs(folder, detached=True)


def _show(running: "Programs") -> None:
    for state in running.status().values():
        running_as = f"pid {state.pid or '-'}, restarts {state.restarts}"
        click.echo(f"{state.name:16} {state.state:9} {running_as}, log {_short(state.log)}")


def _short(path: Path) -> str:
    return os.path.relpath(path)


if __name__ == "__main__":
    main(prog_name="python -m deploy.local")
