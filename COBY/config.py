"""Settings from the environment, validated: `from COBY.config import config`, or `load_config()` in a main.

Importing never fails: `config` reads the environment at the first use of one of its attributes. Programs
build their Config once in `main` with load_config() and pass it down.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import NamedTuple, cast
from urllib.parse import quote

from COBY.environment import PATTERNS, contradictions, read_environment
from COBY.settings import Settings, table
from COBY.utils.exceptions import ConfigurationError

UNITS = 10**8  # prices, sizes and bucket sizes inside the pipeline are integers of 1e-8


class Row(NamedTuple):
    """One setting for the documents: variable, default as text ("": none), what is allowed, a sentence."""

    name: str
    default: str
    allowed: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Config(Settings):
    """All settings, and what follows from them. `Config()` is all defaults; secrets are not in its repr."""

    @property
    def update_frequency_us(self) -> int:
        """UPDATE_FREQUENCY in microseconds: the grid of the ticks."""
        return _microseconds(self.update_frequency)

    @property
    def store_interval_us(self) -> int:
        """STORE_INTERVAL in microseconds, a multiple of update_frequency_us."""
        return _microseconds(self.store_interval)

    @property
    def settings_hash(self) -> str:
        """First 16 hex digits of the SHA-256 of shaping_settings()."""
        return hashlib.sha256(self.shaping_settings().encode()).hexdigest()[:16]

    def get_database_url(self) -> str:
        """`postgresql://user:password@host:port/name`, quoted, `?sslmode=` if set. Holds the password."""
        password = "" if self.db_password is None else f":{quote(self.db_password, safe='')}"
        user = quote(self.db_user, safe="")
        mode = f"?sslmode={self.db_sslmode}" if self.db_sslmode else ""
        place = f"{_host(self.db_host)}:{self.db_port}/{quote(self.db_name, safe='')}"
        return f"postgresql://{user}{password}@{place}{mode}"

    def get_redis_url(self) -> str:
        """`redis://` (`rediss://` with TLS) `[:password@]host:port/0`. Holds the password."""
        scheme = "rediss" if self.redis_tls else "redis"
        login = "" if self.redis_password is None else f":{quote(self.redis_password, safe='')}@"
        return f"{scheme}://{login}{_host(self.redis_host)}:{self.redis_port}/0"

    def get_bucket_size(self, symbol: str) -> float:
        """Height of a heatmap cell of `symbol`, in its quote currency.

        BUCKET_SIZE_<SYMBOL> if set, else BTC_BUCKET_SIZE for symbols beginning with BTC, ETH_BUCKET_SIZE for
        ETH; for any other ConfigurationError `config.invalid`, naming the setting to set.
        """
        if (own := self.bucket_sizes.get(symbol)) is not None:
            return own
        if symbol.startswith("BTC"):
            return self.btc_bucket_size
        if symbol.startswith("ETH"):
            return self.eth_bucket_size
        name = f"BUCKET_SIZE_{symbol}"
        message = f"no bucket size for {symbol}: set {name}"
        raise ConfigurationError(
            "config.invalid", message, where=name, allowed=table()["btc_bucket_size"].kind.allowed
        )

    def bucket_size_units(self, symbol: str) -> int:
        """get_bucket_size() as an integer of 1e-8; exact, as bucket sizes are multiples of 0.01."""
        return int(Decimal(repr(self.get_bucket_size(symbol))) * UNITS)

    def ws_url(self, exchange: str) -> str | None:
        """The setting `<EXCHANGE>_WS_URL`; None means the exchange's own address."""
        return self.ws_urls.get(exchange)

    def rest_url(self, exchange: str) -> str | None:
        """The setting `<EXCHANGE>_REST_URL`; None means the exchange's own address."""
        return self.rest_urls.get(exchange)

    def exchange_symbol(self, exchange: str, symbol: str) -> str | None:
        """The setting `<EXCHANGE>_SYMBOL_<SYMBOL>`: "-": not listed there; None: the exchange's usual."""
        return self.exchange_symbols.get((exchange, symbol))

    def kafka_client_settings(self) -> dict[str, str]:
        """What any librdkafka client needs to connect, under librdkafka's names; passwords included."""
        values = {
            "bootstrap.servers": self.kafka_bootstrap_servers,
            "security.protocol": self.kafka_security_protocol,
            "sasl.mechanism": self.kafka_sasl_mechanism,
            "sasl.username": self.kafka_sasl_username,
            "sasl.password": self.kafka_sasl_password,
            "ssl.ca.location": self.kafka_ssl_ca_location,
            "ssl.certificate.location": self.kafka_ssl_certificate_location,
            "ssl.key.location": self.kafka_ssl_key_location,
            "ssl.key.password": self.kafka_ssl_key_password,
        }
        return {name: value for name, value in values.items() if value is not None}

    def shaping_settings(self) -> str:
        """The settings that shape results, as canonical JSON: sorted keys, no blanks, numbers as integers.

        Two processes whose text is equal turn the same raw records into the same results. An exchange's own
        name of a symbol belongs to them (it says which market is read), but only where a setting changes it.
        """
        shaping: dict[str, object] = {
            "bucket_sizes": {symbol: self.bucket_size_units(symbol) for symbol in self.symbols},
            "exchanges": sorted(self.exchanges),
            "heatmap_depth": self.heatmap_depth,
            "symbols": sorted(self.symbols),
            "update_frequency_us": self.update_frequency_us,
        }
        renamed = {
            f"{exchange}/{symbol}": name
            for (exchange, symbol), name in self.exchange_symbols.items()
            if exchange in self.exchanges and symbol in self.symbols
        }
        if renamed:
            shaping["exchange_symbols"] = renamed
        return json.dumps(shaping, sort_keys=True, separators=(",", ":"))

    def secrets(self) -> tuple[str, ...]:
        """The values that must never be written anywhere; setup_logging(secrets=…) masks them."""
        values = (getattr(self, name) for name, row in table().items() if row.secret)
        return tuple(value for value in values if value)

    @classmethod
    def documentation(cls) -> list[Row]:
        """Every setting, for the documents and the test that compares them with this table."""
        rows = (*table().values(), *PATTERNS.values())
        return [Row(row.name, row.default, row.kind.allowed, row.sentence) for row in rows]


def load_config(environ: Mapping[str, str] | None = None) -> Config:
    """The Config of an environment (None: the process's own).

    Exchanges in the folder EXCHANGES_PATH are imported, and from then on known to COBY.exchanges in this process.
    Raises ConfigurationError `config.invalid`, `config.unknown_exchange`, `config.exchange_file` or
    `config.exchange_taken`; with several problems at once one error that lists each of them on a line (`problems`).
    """
    from COBY.exchanges import BUILT_IN, add  # here, so that importing settings imports no exchange

    values, problems = read_environment(os.environ if environ is None else environ, BUILT_IN, add)
    loaded = Config(**values)
    problems += contradictions(loaded)
    problems += _without_bucket_size(loaded)
    if problems:
        raise ConfigurationError.of(problems)
    return loaded


class _LazyConfig:
    """Stands for the Config of the process's environment, read at the first use."""

    def __getattr__(self, name: str) -> object:
        return getattr(_process_config(), name)

    def __repr__(self) -> str:
        return repr(_process_config())


@cache
def _process_config() -> Config:
    return load_config()


def _without_bucket_size(loaded: Config) -> Iterator[ConfigurationError]:
    for symbol in loaded.symbols:
        try:
            loaded.get_bucket_size(symbol)
        except ConfigurationError as problem:
            yield problem


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000) * 1_000  # milliseconds first: both settings are multiples of one


def _host(host: str) -> str:
    return f"[{host}]" if ":" in host else quote(host, safe="")


config = cast(Config, _LazyConfig())
