"""The server: all exchanges on one port, `/<exchange>/…` each, beside `/_sim`, `/metrics` and `/health`."""

import asyncio
import errno
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from simulator.control import Control, Instance, errors
from simulator.errors import SimulatorError
from simulator.exchanges import EXCHANGES
from simulator.faults import Faults
from simulator.front import Front
from simulator.hub import Hub, Quiet, now_ms
from simulator.ledger import Ledger
from simulator.mischief import Mischief
from simulator.mishaps import kinds_of
from simulator.options import Options
from simulator.played import PlayedSource
from simulator.recording import read_recording
from simulator.runner import Runner
from simulator.sources import Source, seeded

LOG_SECONDS = 1.0


class Server:
    """`async with Server(options) as server:` serves at `server.port` until the block ends.

    Errors: `simulator.option_invalid`, `simulator.recording_*`, `simulator.port_occupied`.
    """

    def __init__(self, options: Options) -> None:
        options.check(frozenset(EXCHANGES))
        self.options = options
        self.port = 0
        self.instances: dict[str, Instance] = {}
        self._fronts: list[Front] = []
        self._quiet = Quiet()
        self._check_log()
        for name, rate in options.rates().items():
            self._add(name, rate)
        self._runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=2.0)
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Server":
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.options.host, self.options.port)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            where = f"{self.options.host}:{self.options.port}"
            if error.errno == errno.EADDRINUSE:
                message = f"{where} is taken by another program"
                raise SimulatorError(
                    "port_occupied", message, allowed=["another --port, 0 chooses"]
                ) from error
            raise SimulatorError("address_invalid", f"{where}: {error.strerror}") from error
        self.port = self._runner.addresses[0][1]
        parts = [part for one in self.instances.values() for part in (one.runner, one.faults)]
        self._tasks = [asyncio.create_task(part.run()) for part in parts]
        if self.options.log is not None:
            self._tasks.append(asyncio.create_task(self._log()))
        return self

    async def __aexit__(self, *exc: object) -> None:
        for instance in self.instances.values():
            await instance.hub.close_all("shutdown", message="shutdown")
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._runner.cleanup()
        self._write_log(final=True)
        broken = [one for one in outcomes if isinstance(one, Exception)]
        if broken:
            raise broken[0]

    async def failed(self) -> None:
        """Returns never, or raises what broke one of the server's own tasks."""
        pending = set(self._tasks)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        await asyncio.Event().wait()

    def address(self) -> dict[str, Any]:
        """The line printed when ready; the two addresses at the top are those of the first exchange."""
        host = self.options.host if self.options.host != "0.0.0.0" else "127.0.0.1"
        place = f"{host}:{self.port}"
        urls = {
            name: {"ws_url": f"ws://{place}/{name}", "rest_url": f"http://{place}/{name}"}
            for name in self.instances
        }
        return {"port": self.port, **next(iter(urls.values())), "exchanges": urls}

    def _add(self, name: str, rate: int) -> None:
        kind, options = EXCHANGES[name], self.options
        source: Source
        if options.recording is not None:
            source = PlayedSource(read_recording(options.recording), kind.wire())
        else:
            source = seeded(name, kind.wire(), options.seed, options.symbols, rate, options.seconds)
        ledger, limits = Ledger(source.symbols, options.trades_kept), kind.LIMITS.changed(options.limits)
        hub = Hub(ledger, limits, source.streams, self._quiet, live=not source.needs_listener)
        venue, mischief = kind(source, limits), Mischief(source.wire)
        runner = Runner(hub, source, options.pace, mischief)
        faults = Faults(venue, hub, runner, mischief, options.day(kinds_of(venue)))
        self.instances[name] = Instance(name, hub, source, runner, faults)
        self._fronts.append(Front(venue, hub, mischief))

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[errors])
        app.add_routes(Control(self.instances).routes())
        app.add_routes(
            [
                web.get("/metrics", self._metrics),
                web.get("/health/live", self._health),
                web.get("/health/ready", self._health),
            ]
        )
        for front in self._fronts:
            app.add_routes(front.routes())
        return app

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _metrics(self, request: web.Request) -> web.Response:
        registry = CollectorRegistry()
        registry.register(_Collector(self.instances))
        return web.Response(
            body=generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4"}
        )

    async def _log(self) -> None:
        while True:
            self._write_log()
            await asyncio.sleep(LOG_SECONDS)

    def _check_log(self) -> None:
        """A log that can't be written is found at the start; an older run's lines stay above ours."""
        if self.options.log is not None:
            try:
                self.options.log.open("a").close()
            except OSError as error:
                raise SimulatorError("log_unwritable", f"{self.options.log}: {error.strerror}") from error

    def _write_log(self, *, final: bool = False) -> None:
        if self.options.log is None:
            return
        totals = {name: one.hub.ledger.totals() for name, one in self.instances.items()}
        line = json.dumps({"at_ms": now_ms(), "final": final, "exchanges": totals})
        with self.options.log.open("a") as file:
            file.write(line + "\n")


class _Collector:
    """The ledger as metrics."""

    def __init__(self, instances: dict[str, Instance]) -> None:
        self._instances = instances

    def collect(self) -> Iterator[Metric]:
        labels = ["exchange", "symbol", "channel"]
        frames = CounterMetricFamily("simulator_frames", "Frames written to sockets.", labels=labels)
        dropped = CounterMetricFamily("simulator_dropped", "Frames left out by a fault.", labels=labels)
        connections = GaugeMetricFamily("simulator_connections", "Open connections.", labels=["exchange"])
        for name, one in self._instances.items():
            ledger = one.hub.ledger
            connections.add_metric([name], ledger.opened - ledger.closed.total())
            for symbol, log in ledger.symbols.items():
                for family, counts in ((frames, log.frames), (dropped, log.dropped)):
                    for channel, count in counts.items():
                        family.add_metric([name, symbol, channel], count)
        yield from (frames, dropped, connections)


async def serve(options: Options, stop: asyncio.Event) -> None:
    """Serve until `stop` is set; print the addresses as one JSON line when ready."""
    async with Server(options) as server:
        print(json.dumps(server.address()), flush=True)
        waits = [asyncio.create_task(stop.wait()), asyncio.create_task(server.failed())]
        done, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        for task in done:
            with suppress(asyncio.CancelledError):
                task.result()
