"""How a simulator is set up, and the checks that need no socket."""

from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

import msgspec

from simulator.errors import SimulatorError
from simulator.limits import Limits
from simulator.mishaps import SECOND_US, Mishap, bad_day
from simulator.runner import Pace

RATE_MAX = 20_000
TRADES_KEPT = 200_000
BAD_RATE, BAD_RATE_MAX = 6.0, 120.0
HOUR = 3_600


class Options(msgspec.Struct, frozen=True):
    """rate: frames a second over all exchanges and symbols; seconds: market time, None = endless; limits: what
    differs from the exchanges' own figures, by field of Limits; bad_day: a seed, None for a day without mishaps;
    bad_rate: of them a minute and exchange.
    """

    host: str = "127.0.0.1"
    port: int = 0
    exchanges: tuple[str, ...] = ("binance",)
    seed: int = 1
    symbols: tuple[str, ...] = ("BTCUSDT", "ETHUSDT")
    rate: int = 500
    seconds: int | None = None
    recording: Path | None = None
    log: Path | None = None
    trades_kept: int = TRADES_KEPT
    pace: Pace = Pace()
    limits: Mapping[str, float] = {}
    bad_day: int | None = None
    bad_rate: float = BAD_RATE

    def day(self, kinds: tuple[str, ...]) -> Iterator[Mishap]:
        """A bad day's mishaps by market time, each exchange's own; of an endless market hour after hour."""
        if self.bad_day is None:
            return
        length = self.seconds or HOUR
        for hour in count() if self.seconds is None else (0,):
            # A symbol delisted in the first hour is no longer there in the second.
            some = kinds if not hour else tuple(kind for kind in kinds if kind != "delist")
            for mishap in bad_day(self.bad_day + hour, self.bad_rate, length, self.symbols, some):
                yield msgspec.structs.replace(mishap, at_us=mishap.at_us + hour * HOUR * SECOND_US)

    def check(self, known: frozenset[str]) -> None:
        """Errors: `simulator.option_invalid`, naming what is allowed."""
        unknown = [name for name in self.exchanges if name not in known]
        if unknown or not self.exchanges:
            raise SimulatorError("option_invalid", f"exchange {' '.join(unknown)}", allowed=sorted(known))
        if len(set(self.symbols)) != len(self.symbols) or not self.symbols:
            raise SimulatorError("option_invalid", f"symbols {','.join(self.symbols)}", allowed=["each once"])
        wrong = [name for name in self.symbols if not (name.isalnum() and name.isascii() and name.isupper())]
        if wrong:
            raise SimulatorError("option_invalid", f"symbol {wrong[0]!r}", allowed=["letters A-Z and digits"])
        least = len(self.exchanges)
        if not least <= self.rate <= RATE_MAX:
            raise SimulatorError("option_invalid", f"rate {self.rate}", allowed=[f"{least} to {RATE_MAX}"])
        unlimited = [name for name in self.limits if name not in Limits.__struct_fields__]
        if unlimited:
            raise SimulatorError("option_invalid", f"limit {unlimited[0]}", allowed=Limits.__struct_fields__)
        if not 0 < self.bad_rate <= BAD_RATE_MAX:
            raise SimulatorError(
                "option_invalid", f"rate of mishaps {self.bad_rate}", allowed=[f"up to {BAD_RATE_MAX:g}"]
            )
        if self.bad_day is not None and self.recording is not None:
            raise SimulatorError("option_invalid", "a bad day of a recording", allowed=["a seeded market"])
        if self.pace.speed < 0:
            raise SimulatorError(
                "option_invalid", f"speed {self.pace.speed}", allowed=["0 (unpaced) and more"]
            )
        if self.recording is not None and len(self.exchanges) != 1:
            raise SimulatorError(
                "option_invalid", "a recording is of one exchange", allowed=["one --exchange"]
            )

    def rates(self) -> dict[str, int]:
        """Each exchange's frames a second: the same for all, up to one."""
        count = len(self.exchanges)
        return {
            name: self.rate * (place + 1) // count - self.rate * place // count
            for place, name in enumerate(self.exchanges)
        }
