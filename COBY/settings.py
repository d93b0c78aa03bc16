"""The table of all settings: one field is one setting, with its variable, kind, default and a sentence.

Every variable `X` may also be given as `X_FILE`, the path of a file that holds the value (for secrets).
An empty variable counts as not set. environment.py reads the environment by it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TypeVar, cast

from COBY.utils.kinds import (
    BOOLEAN,
    BUCKET_SIZE,
    DURATION,
    FREE_PORT,
    HOST,
    ORIGINS,
    PORT,
    SERVERS,
    SYMBOLS,
    TEXT,
    WORDS,
    Kind,
    decimal_steps,
    integer,
    matching,
    one_of,
    url,
)
from COBY.utils.validation import Setting

T = TypeVar("T")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_SSLMODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
_MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_PREFIX = matching(r"[a-z0-9][a-z0-9-]{0,63}", "lower case letters, digits and -, not beginning with -")
_PATH = Kind(str, "the path of a file")
_FOLDER = Kind(str, "the path of a folder with one file per exchange")
_DIRECTORY = Kind(str, "the path of a folder")
_LOG = Kind(str, "the path of a file, {program} in it becomes the program's name, or - for none")
_EXCHANGES = Kind(WORDS.parse, "names of exchanges separated by commas, none twice")


def _setting(name: str, kind: Kind[T], default: str, sentence: str) -> T:
    """A dataclass field that carries its Setting; typed as the value, as dataclasses.field is."""
    row = Setting(name, kind, default, sentence)
    return field(default=kind.parse(default), metadata={"setting": row})


def _optional(name: str, kind: Kind[T], sentence: str, *, secret: bool = False) -> T | None:
    """The same for a setting that is None when not set; a secret stays out of repr()."""
    row = Setting(name, kind, "", sentence, secret)
    return cast(T | None, field(default=None, repr=not secret, metadata={"setting": row}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The values of all settings; attributes keep the names of the user's documents."""

    db_host: str = _setting("DB_HOST", HOST, "localhost", "Host of TimescaleDB.")
    db_port: int = _setting("DB_PORT", PORT, "5432", "Port of TimescaleDB.")
    db_name: str = _setting("DB_NAME", TEXT, "market_data", "Name of the database.")
    db_user: str = _setting("DB_USER", TEXT, "market_user", "User of the database.")
    db_password: str | None = _optional("DB_PASSWORD", TEXT, "Password of the database user.", secret=True)
    db_sslmode: str | None = _optional(
        "DB_SSLMODE", one_of(*_SSLMODES), "TLS to the database, as libpq has it."
    )

    redis_host: str = _setting("REDIS_HOST", HOST, "localhost", "Host of Redis.")
    redis_port: int = _setting("REDIS_PORT", PORT, "6379", "Port of Redis.")
    redis_password: str | None = _optional("REDIS_PASSWORD", TEXT, "Password of Redis.", secret=True)
    redis_tls: bool = _setting("REDIS_TLS", BOOLEAN, "false", "Whether Redis is reached by TLS.")

    kafka_bootstrap_servers: str = _setting(
        "KAFKA_BOOTSTRAP_SERVERS", SERVERS, "localhost:9092", "Kafka brokers to ask first."
    )
    kafka_security_protocol: str = _setting(
        "KAFKA_SECURITY_PROTOCOL", one_of(*_PROTOCOLS, upper=True), "PLAINTEXT", "How Kafka is spoken to."
    )
    kafka_sasl_mechanism: str | None = _optional(
        "KAFKA_SASL_MECHANISM", one_of(*_MECHANISMS, upper=True), "How one logs in to Kafka."
    )
    kafka_sasl_username: str | None = _optional("KAFKA_SASL_USERNAME", TEXT, "User at Kafka.")
    kafka_sasl_password: str | None = _optional(
        "KAFKA_SASL_PASSWORD", TEXT, "Password at Kafka.", secret=True
    )
    kafka_ssl_ca_location: str | None = _optional(
        "KAFKA_SSL_CA_LOCATION", _PATH, "CA that signed the brokers."
    )
    kafka_ssl_certificate_location: str | None = _optional(
        "KAFKA_SSL_CERTIFICATE_LOCATION", _PATH, "Our certificate for Kafka."
    )
    kafka_ssl_key_location: str | None = _optional("KAFKA_SSL_KEY_LOCATION", _PATH, "Key of our certificate.")
    kafka_ssl_key_password: str | None = _optional(
        "KAFKA_SSL_KEY_PASSWORD", TEXT, "Password of that key.", secret=True
    )
    kafka_group_instance_id: str | None = _optional(
        "KAFKA_GROUP_INSTANCE_ID",
        TEXT,
        "Name of this process within its consumer group, kept over restarts, no other's; @hostname takes the host's.",
    )
    schema_registry_url: str | None = _optional(
        "SCHEMA_REGISTRY_URL",
        url("http", "https"),
        "Registry the schema ids come from; fixed ids without it.",
    )
    topic_prefix: str = _setting("TOPIC_PREFIX", _PREFIX, "coby", "First part of every topic's name.")

    exchanges: tuple[str, ...] = _setting(
        "EXCHANGES",
        _EXCHANGES,
        "binance,bitfinex,bybit,coinbase,gateio,huobi,kraken,kucoin,mexc,okx",
        "Exchanges to read.",
    )
    exchanges_path: str | None = _optional(
        "EXCHANGES_PATH", _FOLDER, "Exchanges of one's own, beside those built in."
    )
    symbols: tuple[str, ...] = _setting("SYMBOLS", SYMBOLS, "BTCUSDT,ETHUSDT", "Symbols to follow.")

    btc_bucket_size: float = _setting(
        "BTC_BUCKET_SIZE", BUCKET_SIZE, "10.0", "Height of a heatmap cell of symbols beginning with BTC."
    )
    eth_bucket_size: float = _setting(
        "ETH_BUCKET_SIZE", BUCKET_SIZE, "1.0", "Height of a heatmap cell of symbols beginning with ETH."
    )
    heatmap_depth: int = _setting("HEATMAP_DEPTH", integer(1, 10_000), "50", "Buckets a side of a heatmap.")
    update_frequency: float = _setting(
        "UPDATE_FREQUENCY",
        decimal_steps(
            "0.01", "1", "0.001", "seconds"
        ),  # marks come by it, and stream time waits for none longer
        "0.5",
        "From one tick to the next.",
    )

    max_connections_per_exchange: int = _setting(
        "MAX_CONNECTIONS_PER_EXCHANGE",
        integer(1, 100),
        "5",
        "Sockets that a producer holds to its exchange, beside those that are to take the place of another.",
    )
    collectors: int = _setting(
        "COLLECTORS",
        integer(1, 3),
        "1",
        "Producers of each exchange behind one address: each takes its part of what the exchange allows an address.",
    )
    collector: str | None = _optional(
        "COLLECTOR",
        TEXT,
        "Name of this producer among several of one exchange, told in its status; the host's if COLLECTORS is not 1.",
    )
    data_buffer_size: int = _setting(
        "DATA_BUFFER_SIZE",
        integer(1, 10_000_000),
        "10000",
        "Records a process holds between source and sink.",
    )
    batch_write_size: int = _setting(
        "BATCH_WRITE_SIZE", integer(1, 100_000), "1000", "Rows written to the database at once, at most."
    )
    max_memory_usage: int = _setting(
        "MAX_MEMORY_USAGE", integer(64, 1_048_576, "MiB"), "2048", "Memory of one process."
    )
    store_interval: float = _setting(
        "STORE_INTERVAL",
        decimal_steps("0.01", "86400", "0.001", "seconds, a multiple of UPDATE_FREQUENCY"),
        "1.0",
        "Ticks that this divides are stored in the database.",
    )
    snapshot_interval: float = _setting(
        "SNAPSHOT_INTERVAL",
        decimal_steps("0.1", "3600", "0.001", "seconds"),
        "10.0",
        "From one recovery snapshot of a task to the next.",
    )
    watchdog_seconds: int = _setting(
        "WATCHDOG_SECONDS",
        integer(2, 86_400, "seconds"),
        "60",
        "A stream worker with something to read that takes nothing for so long ends, to be started again.",
    )
    retention_raw: int = _setting("RETENTION_RAW", DURATION, "7d", "How long raw topics keep frames.")
    retention_raw_bytes: int = _setting(
        "RETENTION_RAW_BYTES",
        integer(-1, 10**15, "bytes, -1: no limit"),
        "8589934592",
        "Size limit of one raw partition.",
    )
    retention_tables: int = _setting(
        "RETENTION_TABLES", DURATION, "30d", "How long tables keep rows, save candles."
    )
    retention_candles: int = _setting(
        "RETENTION_CANDLES", DURATION, "0", "How long ohlcv_data keeps candles."
    )

    compress_after: int = _setting(
        "COMPRESS_AFTER",
        DURATION,
        "7d",
        "Age at which chunks of the large tables are compressed, by an edition of TimescaleDB that can; 0: never.",
    )

    backup_folder: str = _setting("BACKUP_FOLDER", _DIRECTORY, "backups", "Where sinks.keeper puts backups.")
    backup_interval: int = _setting(
        "BACKUP_INTERVAL", DURATION, "1d", "From one backup of the database to the next; 0: none are made."
    )
    backup_keep: int = _setting(
        "BACKUP_KEEP", integer(1, 1000), "7", "Backups that are kept; older ones go after the next."
    )

    replay_sessions: int = _setting(
        "REPLAY_SESSIONS", integer(1, 1000), "20", "Replay sessions that may exist at once."
    )
    replay_ttl: int = _setting(
        "REPLAY_TTL",
        DURATION,
        "1d",
        "Session and topic are deleted so long after a replay's end or last order.",
    )

    api_host: str = _setting("API_HOST", HOST, "0.0.0.0", "Address the API listens on.")
    api_port: int = _setting("API_PORT", FREE_PORT, "8080", "Port of the REST API.")
    websocket_port: int = _setting("WS_PORT", FREE_PORT, "8081", "Port of the WebSocket API.")
    api_open: bool = _setting("API_OPEN", BOOLEAN, "false", "Whether the API serves everyone without a key.")
    api_origins: tuple[str, ...] | None = _optional(
        "API_ORIGINS", ORIGINS, "Origins of web pages that may use the API, beside those it serves itself."
    )
    api_rate: int = _setting(
        "API_RATE",
        integer(1, 100_000),
        "100",
        "Requests a second of one key, or of one address without a key; twice as many at once.",
    )
    ws_connections: int = _setting(
        "WS_CONNECTIONS",
        integer(1, 100_000),
        "100",
        "WebSocket connections of one key, or of one address without a key, to one API process.",
    )
    metrics_port: int = _setting(
        "METRICS_PORT", integer(0, 65_535, "0: off"), "0", "Port of /metrics and /health of every process."
    )

    log_level: str = _setting(
        "LOG_LEVEL", one_of(*_LEVELS, upper=True), "INFO", "Least level that is logged."
    )
    log_file: str = _setting(
        "LOG_FILE", _LOG, "logs/{program}.log", "File the log goes to, beside standard error."
    )

    # Settings whose names hold an exchange or a symbol: see PATTERNS in environment.py.
    bucket_sizes: Mapping[str, float] = field(default_factory=dict)
    ws_urls: Mapping[str, str] = field(default_factory=dict)
    rest_urls: Mapping[str, str] = field(default_factory=dict)
    exchange_symbols: Mapping[tuple[str, str], str] = field(default_factory=dict)


def table() -> dict[str, Setting]:
    """The rows by attribute name, in the order above."""
    return {item.name: item.metadata["setting"] for item in fields(Settings) if "setting" in item.metadata}
