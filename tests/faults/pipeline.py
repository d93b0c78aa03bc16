"""One running pipeline of our own programs on servers of its own, to which faults are dealt."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import psutil
import psycopg
import redis

from COBY.config import Config, load_config
from COBY.runtime.crash import HANG, VARIABLE
from COBY.runtime.kafka import apply_topics
from deploy.local import demo_facts as facts
from deploy.local.ports import HOST, free_port
from deploy.local.process import marked
from deploy.local.programs import Program, on_free_ports, pipeline, simulated, simulator
from deploy.local.stack import Stack
from deploy.local.supervise import Programs, is_ready
from sinks.schema import migrate

EXCHANGES = ("binance", "kraken", "okx")
BASES = ("BTC", "ETH", "SOL", "XRP", "ADA", "LTC", "DOGE", "DOT", "LINK", "AVAX")
MANY_SYMBOLS = tuple(f"{base}USDT" for base in BASES)
"""Twenty books of a thousand levels a side and more (Binance, Kraken), ten of four hundred (OKX)."""
FRESH_SECONDS = 3.0
STORED_SECONDS = 6.0
"""Younger than this the newest heatmap counts as current, in Redis and in the database (stored each second)."""
RECOVERY_SECONDS = 30.0
"""What FAULTS.md (I8) gives; waited for is longer, so that a slow one is told with its figure."""
PATIENCE_SECONDS = 90.0
ARMED_SECONDS = 30.0
START_SECONDS = 240.0
"""A broker begins slowly on a machine that others use too; how long it takes is no part of a case."""
MIB = 1024 * 1024


class FaultError(AssertionError):
    """A round that did not go as it must."""


class CannotRunError(Exception):
    """What a case or a round needs is not to be had on this machine. It says nothing about the pipeline."""


@dataclass(frozen=True)
class Load:
    """What runs: frames a second over all exchanges, symbols, stream workers, further settings.

    ``patience_seconds``: waited for a recovery; every other wait is longer or shorter in proportion.
    """

    rate: int = 300
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")
    workers: int = 1
    patience_seconds: float = PATIENCE_SECONDS
    env: Mapping[str, str] = field(default_factory=dict)


class Pipeline:
    """Simulator of three exchanges, clock, producers, stream workers, both sinks. Use it with `with`."""

    def __init__(self, folder: Path, load: Load, seed: int, session: int) -> None:
        """``session`` counts the starts on the same data: each has another market, so that no trade comes twice."""
        self.folder = folder
        self.load = load
        self.random = random.Random(f"{seed}:{session}")
        self.crash_file = folder / "crash"
        self.memory_bytes_max = 0
        self.seen: list[str] = []
        """What was wrong since the round began, as it showed from outside, each thing once."""
        self.fault_ended = time.monotonic()
        self._market_seed = seed * 1_000 + session
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.crash_file.unlink(missing_ok=True)
        servers = self.make_stack()
        for server in servers.servers:
            server.start_seconds = START_SECONDS
        self.servers = self._stack.enter_context(servers)
        port = free_port()
        self.env = {
            **self.servers.env(),
            **simulated(EXCHANGES, port),
            "TOPIC_PREFIX": "faults",
            "EXCHANGES": ",".join(EXCHANGES),
            "SYMBOLS": ",".join(self.load.symbols),
            **{f"BUCKET_SIZE_{symbol}": "1" for symbol in self.load.symbols[2:]},
            "SNAPSHOT_INTERVAL": "2",
            "LOG_FILE": "-",
            VARIABLE: f"@{self.crash_file}",
            **self.load.env,
        }
        self.config: Config = load_config(self.env)
        apply_topics(self.config)
        with self.sql() as connection:
            migrate(connection)
        self.simulator_url = f"http://{HOST}:{port}"
        self.programs = Programs(self.folder, self._table(port), env=self.env | self.program_env())
        self._stack.enter_context(self.programs)
        self.programs.wait_ready(seconds=START_SECONDS)
        self.fault_ended = time.monotonic()  # what `recover` counts from

    def make_stack(self) -> Stack:
        """The servers; not started."""
        return Stack(self.folder / "servers")

    def program_env(self) -> dict[str, str]:
        """Settings that the programs have, and we who look at them do not."""
        return {}

    def _table(self, port: int) -> list[Program]:
        options = ("--rate", str(self.load.rate), "--symbols", ",".join(self.load.symbols))
        options += ("--seed", str(self._market_seed), "--connects", "0")
        ours = pipeline(EXCHANGES)
        (worker,) = (one for one in ours if one.name == "streams")
        more = [replace(worker, name=f"streams-{number}") for number in range(2, self.load.workers + 1)]
        return on_free_ports([simulator(EXCHANGES, port=port, options=options), *more, *ours])

    # --- what is there ---------------------------------------------------------------------------------------------

    @property
    def workers(self) -> list[str]:
        """Names of the stream workers."""
        return sorted(name for name in self.programs.table if name.startswith("streams"))

    def sql(self) -> psycopg.Connection[Any]:
        """A connection to the database, past any proxy, in autocommit mode; close it."""
        return psycopg.connect(self.servers.postgres.dsn, autocommit=True, connect_timeout=5)

    def cache(self) -> redis.Redis:
        """A client of Redis, past any proxy; close it."""
        server = self.servers.redis
        return redis.Redis(server.host, server.port, socket_timeout=3, decode_responses=True)

    @property
    def broker_logs(self) -> Path:
        """Where the broker keeps its partitions."""
        return self.servers.kafka.data / "data"

    def lag(self) -> int:
        """Records of all our groups not yet committed."""
        return facts.lag(self.config)

    def ask(self, path: str, *, post: bool = False, body: bytes = b"") -> Any:
        """The simulator's answer."""
        return facts.ask(f"{self.simulator_url}{path}", post=post, body=body)

    def processes(self) -> int:
        """How many processes of ours run, the servers' not counted."""
        return len(marked(self.programs.mark))

    # --- faults ----------------------------------------------------------------------------------------------------

    def pause(self, seconds: float) -> None:
        """Let a random part of these seconds pass: the moment of a fault is drawn, not found."""
        time.sleep(self.random.uniform(0.0, seconds))

    def require_lag(self) -> int:
        """The lag, as soon as there is any: a process that has nothing to do loses nothing by a kill."""
        return self.until(self.lag, 60, "lag")  # a broker that was restarted has to find its groups first

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> str:
        """Signal a program while there is lag; says what was done."""
        lag, starts = self.require_lag(), self.starts()
        self.programs.kill(name, number)
        self.fault_ended = time.monotonic()
        if number == signal.SIGKILL:
            self.until(lambda: self.starts() > starts, 30, f"{name} started again")
        return f"{number.name} to {name}, lag {lag}"

    def die_at(self, point: str, passes: int) -> str:
        """Arm a point and wait until a process has died of it; says what was done."""
        lag, starts = self.require_lag(), self.starts()
        self._arm(f"{point}:{passes}", point)
        self.fault_ended = time.monotonic()
        self.until(lambda: self.starts() > starts, 30, f"started again after {point}")
        return f"at {point}, pass {passes}, lag {lag}"

    def hang_at(self, point: str, passes: int, seconds: float) -> str:
        """Have a process hang at a point, and wait until it has been ended for that, ``seconds`` at most."""
        lag, starts, began = self.require_lag(), self.starts(), time.monotonic()
        self._arm(f"{point}:{passes}:{HANG}", point)
        while self.starts() == starts:
            if time.monotonic() > began + seconds:
                raise FaultError(f"whoever hangs at {point} was not ended within {seconds:g} s")
            self.watch(0.5)
        self.fault_ended = time.monotonic()
        return f"hung at {point}, pass {passes}, lag {lag}, ended after {time.monotonic() - began:.0f} s"

    def _arm(self, text: str, point: str) -> None:
        """Put it into the file that all look for, and wait until one has been hit and taken it away."""
        fresh = self.crash_file.with_suffix(".new")
        fresh.write_text(text)
        fresh.replace(self.crash_file)
        try:
            self.until(lambda: not self.crash_file.exists(), ARMED_SECONDS, f"a process at {point}")
        finally:
            self.crash_file.unlink(missing_ok=True)

    def starts(self) -> int:
        """How often programs were started again so far."""
        return sum(state.restarts for state in self.programs.status().values())

    def watch(self, seconds: float) -> None:
        """Let a fault last, noting what shows of it."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.trouble()
            time.sleep(min(0.5, max(0.0, end - time.monotonic())))
        self.fault_ended = time.monotonic()

    def until(self, ask: Callable[[], Any], seconds: float, what: str) -> Any:
        """What ``ask`` returns as soon as it is true; FaultError after ``seconds``. Its errors count as not yet."""
        seconds *= self.load.patience_seconds / PATIENCE_SECONDS
        end, answer, trouble = time.monotonic() + seconds, None, ""
        while time.monotonic() < end:
            try:
                if answer := ask():
                    return answer
                trouble = ""
            except facts_trouble() as error:
                trouble = f" ({error!r})"
            time.sleep(0.1)
        raise FaultError(f"not within {seconds:g} s: {what}{trouble}")

    # --- recovery --------------------------------------------------------------------------------------------------

    def trouble(self) -> str:
        """What is not as it should be just now, seen from outside; empty: all is current."""
        try:
            found = self._trouble()
        except facts_trouble() as error:
            found = f"not to be seen: {type(error).__name__}"
        if found and found not in self.seen:
            self.seen.append(found)
        return found

    def _trouble(self) -> str:
        self.watch_memory()
        for name, state in self.programs.status().items():
            if state.state == "STOPPED":
                continue
            if state.state != "RUNNING" or (state.metrics_port and not is_ready(state.metrics_port)):
                return f"{name} {state.state}, not ready"
        for (exchange, symbol), state in facts.book_states(self.config).items():
            if state != "live":
                return f"book {exchange}/{symbol} {state}"
        for symbol in self.config.symbols:
            age = facts.heatmap_age_seconds(self.config, symbol)
            if age is None or age > FRESH_SECONDS:
                return f"newest heatmap of {symbol} in Redis is old"
        return self._stored_trouble()

    def _stored_trouble(self) -> str:
        with self.sql() as connection:
            rows = connection.execute(
                "SELECT symbol, max(timestamp) > now() - make_interval(secs => %s) FROM heatmap_ticks GROUP BY symbol",
                [STORED_SECONDS],
            ).fetchall()
        current = {symbol for symbol, is_current in rows if is_current}
        old = [symbol for symbol in self.config.symbols if symbol not in current]
        return f"newest heatmap of {old[0]} in the database is old" if old else ""

    def recover(self) -> float:
        """Seconds from the fault's end until nothing is wrong any more; FaultError after `Load.patience_seconds`."""
        began, last = self.fault_ended, ""
        while time.monotonic() - began < self.load.patience_seconds:
            if not (last := self.trouble()):
                return time.monotonic() - began
            time.sleep(0.2)
        raise FaultError(f"not recovered within {self.load.patience_seconds:g} s: {last}")

    def watch_memory(self) -> None:
        """Remember the most that one of our programs held."""
        for one in marked(self.programs.mark):
            with suppress(psutil.Error):
                self.memory_bytes_max = max(self.memory_bytes_max, psutil.Process(one.pid).memory_info().rss)

    def rest(self) -> None:
        """Stop the market, let ticks and candles end, stop what writes raw records, wait until all is done."""
        self.until(lambda: [self.ask("/_sim/stop", post=True)], 30, "the market stopped")
        self._let_ticks_go_on(5)  # a candle comes 2 s of stream time after its end: the clock has to go on
        for name in ("clock", *(f"producer-{exchange}" for exchange in EXCHANGES)):
            self.programs.stop(name)
        self.until(lambda: self.lag() == 0, 120, "lag 0 after the market's end")

    def _let_ticks_go_on(self, seconds: float) -> None:
        """So long, and as long as it takes the newest heatmaps, which may be old by now, to become so much newer."""
        end, wanted = time.monotonic() + PATIENCE_SECONDS, seconds + FRESH_SECONDS
        before = self.until(self._newest, 30, "heatmaps in Redis")
        time.sleep(seconds)
        while time.monotonic() < end:
            with suppress(*facts_trouble()):
                now = self._newest()
                if all(now[symbol] >= at + wanted for symbol, at in before.items()):
                    return
            time.sleep(0.2)

    def _newest(self) -> dict[str, float]:
        """Symbol -> the T of its newest heatmap, in seconds; 0 where there is none."""
        ages = {symbol: facts.heatmap_age_seconds(self.config, symbol) for symbol in self.config.symbols}
        return {symbol: 0.0 if age is None else time.time() - age for symbol, age in ages.items()}


def facts_trouble() -> tuple[type[BaseException], ...]:
    """What asking may raise while a part is down."""
    from deploy.local.demo import TROUBLE

    return (*TROUBLE, ValueError)
