"""The table of our programs, as the local supervisor runs them. One row, one process."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy.local.ports import HOST, free_ports

SIMULATOR_PORT = 9010
PRODUCER_METRICS = 9110  # and up, one per producer
COLLECTORS = "abc"
"""Names of an exchange's producers, where it has several."""


@dataclass(frozen=True)
class Program:
    """One process: its command, what it has in its environment beyond the rest, where it serves /metrics."""

    name: str
    command: tuple[str, ...]
    metrics_port: int = 0
    """Port of /metrics and /health; 0: none."""
    env: Mapping[str, str] = field(default_factory=dict)
    nice: int = 0
    """Below 0: it goes first where processors are scarce."""

    def on_port(self, port: int) -> "Program":
        """The same, serving /metrics elsewhere."""
        return replace(self, metrics_port=port)

    @property
    def environment(self) -> dict[str, str]:
        """Its own settings, METRICS_PORT included."""
        return {"METRICS_PORT": str(self.metrics_port), "KAFKA_GROUP_INSTANCE_ID": self.name, **self.env}


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)


def pipeline(exchanges: Sequence[str], collectors: int = 1) -> list[Program]:
    """Everything from sockets to stores, and replay: clock, a producer per exchange and collector, streams, sinks."""
    names = [(exchange, letter) for letter in COLLECTORS[:collectors] for exchange in exchanges]
    producers = [
        Program(
            f"producer-{exchange}" + (f"-{letter}" if letter != COLLECTORS[0] else ""),
            _python("producers", "--exchange", exchange),
            PRODUCER_METRICS + number,
            {"COLLECTORS": str(collectors), "COLLECTOR": letter} if collectors > 1 else {},
        )
        for number, (exchange, letter) in enumerate(names)
    ]
    return [
        # Everyone waits for what it makes, and it is one thread. Sinks take more at once when they come to it later.
        Program("streams", _python("streams"), 9102, nice=-10),
        Program("sink-timescale", _python("sinks.timescale"), 9103),
        Program("sink-redis", _python("sinks.redis"), 9104),
        Program("replay", _python("replay"), 9105),
        *producers,
        # Last: ticks begin when all who make something of them are there.
        Program("clock", _python("producers.clock"), 9101),
    ]


def api(port: int, ws_port: int) -> Program:
    """REST and WebSocket, which read what the others have made."""
    return Program("api", _python("api"), 9106, {"API_PORT": str(port), "WS_PORT": str(ws_port)})


def lag_exporter() -> Program:
    """The lag of the consumer groups, for Prometheus."""
    return Program("lag-exporter", _python("COBY.runtime.lag_exporter"), 9107)


def keeper(folder: Path) -> Program:
    """Backups into ``folder``, and how long its disk lasts."""
    command = _python("sinks.keeper", "--topics", str(folder), "--tables", str(folder))
    return Program("keeper", command, 9108, {"BACKUP_FOLDER": str(folder / "backups")})


def simulator(
    exchanges: Sequence[str], *, port: int = SIMULATOR_PORT, options: Sequence[str] = ()
) -> Program:
    """The simulated exchanges; `options` are further ones of `python -m simulator`."""
    chosen = [part for exchange in exchanges for part in ("--exchange", exchange)]
    return Program("simulator", _python("simulator", "--port", str(port), *chosen, *options))


def simulated(exchanges: Sequence[str], port: int = SIMULATOR_PORT) -> dict[str, str]:
    """Settings that lead the producers to the simulator."""
    found = {}
    for exchange in exchanges:
        found[f"{exchange.upper()}_WS_URL"] = f"ws://{HOST}:{port}/{exchange}"
        found[f"{exchange.upper()}_REST_URL"] = f"http://{HOST}:{port}/{exchange}"
    return found


def on_free_ports(table: Sequence[Program]) -> list[Program]:
    """The same programs, each on a free port for /metrics: several sets can run side by side."""
    ports = free_ports(len(table))
    return [one.on_port(port) if one.metrics_port else one for one, port in zip(table, ports, strict=True)]
