"""`coby`: the umbrella of all commands. Packages add theirs by the entry-point group `coby.commands`.

A command is loaded when it is asked for, so one that is broken, or slow to import, harms no other.
"""

from importlib.metadata import EntryPoint, entry_points

import click

from COBY.runtime.extras import needing
from COBY.runtime.guard import guarded
from COBY.utils.exceptions import CobyError, ServiceError
from COBY.utils.logging import setup_logging

ENTRY_POINTS = "coby.commands"


class CommandGroup(click.Group):
    """A group whose commands are its own and those of the entry points; a CobyError ends it with a line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, sorted."""
        return sorted({*super().list_commands(ctx), *_points()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, loaded now; ServiceError `runtime.command_broken` or `runtime.library_missing`."""
        own = super().get_command(ctx, cmd_name)
        if own is not None or (point := _points().get(cmd_name)) is None:
            return own
        command = _load(point)
        if not isinstance(command, click.Command):
            raise _broken(point, f"{point.value} is no click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command with its first sentence; a broken one with what is wrong with it."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._sentence(ctx, name)) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> object:
        """Run the command (or fail to load it), guarded."""
        with guarded():
            return super().invoke(ctx)

    def _sentence(self, ctx: click.Context, name: str) -> str:
        try:
            command = self.get_command(ctx, name)
        except CobyError as error:
            return (
                f"({'broken' if error.code == 'runtime.command_broken' else 'not installed'}) {error.message}"
            )
        return "" if command is None else command.get_short_help_str(limit=90)


@click.group(cls=CommandGroup)
@click.version_option(package_name="coby", prog_name="coby", message="%(prog)s %(version)s")
def main() -> None:
    """Operate COBY: look into topics, books and lag, record and feed frames, check a machine.

    Settings come from the environment (DB_HOST, KAFKA_BOOTSTRAP_SERVERS, EXCHANGES ...).

    \b
    Example:
      coby doctor
    """
    # Results go to standard output, logs of any kind to standard error.
    setup_logging("WARNING", None, json=False)


@main.command()
@click.option("--disk", default=".", show_default=True, help="A path on the disk that holds Kafka's data.")
@click.option("--timeout", default=3.0, show_default=True, help="Seconds to wait for each server.")
def doctor(disk: str, timeout: float) -> None:
    """Check the settings, every server, and for how many days the disk lasts.

    One line a check, OK or FAIL with what to do; exit code 1 if any failed.

    \b
    Example:
      coby doctor --disk /var/lib/kafka
    """
    with needing("the command doctor"):
        from COBY.runtime.doctor import examine  # here: it loads the clients of three servers

    failed = 0
    for finding in examine(disk, timeout):
        click.echo(finding.line())
        failed += not finding.ok
    raise SystemExit(1 if failed else 0)


def _points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS)}


def _load(point: EntryPoint) -> object:
    try:
        with needing(f"the command {point.name}"):
            return point.load()
    except CobyError:
        raise
    except Exception as error:
        raise _broken(point, f"{type(error).__name__}: {error}") from error


def _broken(point: EntryPoint, reason: str) -> ServiceError:
    message = f"the command {point.name} can't be loaded: {reason}"
    return ServiceError("runtime.command_broken", message, where=f"entry point {ENTRY_POINTS}: {point.value}")


if __name__ == "__main__":
    main()
