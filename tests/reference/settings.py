"""What shapes results, and where a slot's records lie."""

from dataclasses import dataclass, field
from decimal import Decimal

from tests.reference.exchanges import EXCHANGES


@dataclass(frozen=True)
class Settings:
    """The parameters of a computation.

    slots: exchange -> slot -> its symbols; an exchange that is not named has one slot `<exchange>-0` with all symbols.
    silence_seconds: exchange -> how long frames may be missing before `stale`; not named: any time.
    exchange_symbols: (exchange, symbol) -> the exchange's name of it, where it is not the usual one.
    not_listed: (exchange, symbol) that are configured as not listed.
    """

    exchanges: tuple[str, ...]
    symbols: tuple[str, ...]
    bucket_sizes: dict[str, Decimal]
    heatmap_depth: int = 50
    update_frequency_us: int = 500_000
    slots: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    silence_seconds: dict[str, float] = field(default_factory=dict)
    exchange_symbols: dict[tuple[str, str], str] = field(default_factory=dict)
    not_listed: frozenset[tuple[str, str]] = frozenset()
    raw_partitions: int = 4

    def slots_of(self, exchange: str) -> dict[str, tuple[str, ...]]:
        """Slot -> its symbols."""
        return self.slots.get(exchange, {f"{exchange}-0": self.symbols})

    def slots_in(self, exchange: str, partition: int) -> dict[str, tuple[str, ...]]:
        """The slots whose key falls into this partition of the exchange's raw topic."""
        return {
            slot: symbols
            for slot, symbols in self.slots_of(exchange).items()
            if partition_of(slot.encode(), self.raw_partitions) == partition
        }

    def symbols_by_exchange_symbol(self, exchange: str) -> dict[str, str]:
        """The exchange's name -> symbol."""
        found = {}
        for symbol in self.symbols:
            named = self.exchange_symbols.get((exchange, symbol))
            found[named or EXCHANGES[exchange].exchange_symbol(symbol)] = symbol
        return found


def partition_of(key: bytes, count: int) -> int:
    """Kafka's default partitioner: murmur2 of the key, made positive, modulo the number of partitions."""
    return (murmur2(key) & 0x7FFFFFFF) % count


def murmur2(key: bytes) -> int:
    """Kafka's 32-bit murmur2 with seed 0x9747b28c (org.apache.kafka.common.utils.Utils), unsigned."""
    multiplier = 0x5BD1E995
    result = (0x9747B28C ^ len(key)) % 2**32
    while len(key) >= 4:
        word = int.from_bytes(key[:4], "little")
        word = word * multiplier % 2**32
        word = word ^ (word >> 24)
        word = word * multiplier % 2**32
        result = result * multiplier % 2**32
        result = result ^ word
        key = key[4:]
    if key:
        result = result ^ int.from_bytes(key, "little")
        result = result * multiplier % 2**32
    result = result ^ (result >> 13)
    result = result * multiplier % 2**32
    return result ^ (result >> 15)
