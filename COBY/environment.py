"""From environment variables to the values of Settings: files of secrets, names with an exchange or symbol
in them, and settings that contradict each other. Collects every problem instead of stopping at the first.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from COBY.settings import Settings, table
from COBY.utils.exceptions import ConfigurationError
from COBY.utils.kinds import BUCKET_SIZE, SYMBOL, SYMBOL_ALLOWED, Kind, matching, url
from COBY.utils.validation import Setting, validate_settings, wrong_setting

Problems = list[ConfigurationError]

_NAME: Kind[str] = matching(r"\S{1,40}", "the exchange's own name of the symbol, or - if it does not list it")
PATTERNS = {
    "bucket_sizes": Setting(
        "BUCKET_SIZE_<SYMBOL>", BUCKET_SIZE, "", "Height of a heatmap cell of this symbol, before all others."
    ),
    "ws_urls": Setting(
        "<EXCHANGE>_WS_URL",
        url("ws", "wss"),
        "",
        "WebSocket address of an exchange: a region, a proxy, the simulator.",
    ),
    "rest_urls": Setting("<EXCHANGE>_REST_URL", url("http", "https"), "", "REST address of an exchange."),
    "exchange_symbols": Setting(
        "<EXCHANGE>_SYMBOL_<SYMBOL>", _NAME, "", "How an exchange names a symbol, where not as usual."
    ),
}


def read_environment(
    environ: Mapping[str, str], built_in: tuple[str, ...], add: Callable[[str, str], object]
) -> tuple[dict[str, Any], Problems]:
    """The values of Settings by attribute name, and every problem.

    `built_in` are the exchanges there are anyway; those in the folder EXCHANGES_PATH are given to `add(folder, name)`,
    which raises ConfigurationError for one that can't be used.
    """
    rows = table()
    texts, problems = _with_files(environ, [row.name for row in rows.values()])
    by_name, wrong = validate_settings(rows.values(), texts)
    values = {attribute: by_name[row.name] for attribute, row in rows.items() if row.name in by_name}
    problems += wrong
    known = tuple(sorted({*built_in, *own_exchanges(values.get("exchanges_path"), add, problems)}))
    problems += _unknown(values.get("exchanges", ()), known)
    return values | _patterned(environ, known, problems), problems


def contradictions(settings: Settings) -> Iterator[ConfigurationError]:
    """Settings that are allowed by themselves but not together."""
    if round(settings.store_interval * 1_000) % round(settings.update_frequency * 1_000):
        allowed = f"a multiple of UPDATE_FREQUENCY, which is {settings.update_frequency}"
        yield wrong_setting("STORE_INTERVAL", str(settings.store_interval), allowed)
    if settings.kafka_security_protocol.startswith("SASL"):
        for attribute in ("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password"):
            if getattr(settings, attribute) is None:
                allowed = f"a value, as KAFKA_SECURITY_PROTOCOL is {settings.kafka_security_protocol}"
                yield wrong_setting(attribute.upper(), "", allowed)
    if settings.kafka_ssl_certificate_location and not settings.kafka_ssl_key_location:
        yield wrong_setting("KAFKA_SSL_KEY_LOCATION", "", "a value, as KAFKA_SSL_CERTIFICATE_LOCATION is set")
    if settings.schema_registry_url:
        # Better refused than ignored: whoever sets it expects that registry's ids on the wire.
        yield wrong_setting(
            "SCHEMA_REGISTRY_URL",
            settings.schema_registry_url,
            "nothing yet: ids are the fixed ones of schemas/",
        )
    if settings.api_port and settings.api_port == settings.websocket_port:
        yield wrong_setting("WS_PORT", str(settings.websocket_port), "another port than API_PORT")


def _with_files(environ: Mapping[str, str], names: list[str]) -> tuple[dict[str, str], Problems]:
    """The variables, with the contents of the files named by X_FILE put in place of X."""
    texts, problems = dict(environ), Problems()
    for name in names:
        if not (path := environ.get(f"{name}_FILE")):
            continue
        if environ.get(name):
            problems.append(wrong_setting(f"{name}_FILE", path, f"only one of {name} and {name}_FILE"))
            continue
        try:
            # Only the line's end goes: blanks may belong to a password.
            texts[name] = Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            problems.append(wrong_setting(f"{name}_FILE", path, f"the path of a readable file ({reason})"))
    return texts, problems


def own_exchanges(path: str | None, add: Callable[[str, str], object], problems: Problems) -> list[str]:
    """The names of the files in the folder, usable or not; hidden ones and those with _ in front are no exchanges."""
    if path is None:
        return []
    folder = Path(path).resolve()
    if not folder.is_dir():
        problems.append(wrong_setting("EXCHANGES_PATH", path, "the path of a folder"))
        return []
    found = [file.stem for file in sorted(folder.glob("*.py")) if not file.name.startswith(("_", "."))]
    for name in found:
        try:
            add(str(folder), name)
        except ConfigurationError as problem:
            problems.append(problem)
    return found


def _unknown(exchanges: tuple[str, ...], known: tuple[str, ...]) -> Iterator[ConfigurationError]:
    for exchange in exchanges:
        if exchange not in known:
            yield ConfigurationError(
                "config.unknown_exchange",
                f"EXCHANGES names {exchange!r}, which is no exchange of ours",
                where="EXCHANGES",
                allowed=", ".join(known),
            )


def _patterned(
    environ: Mapping[str, str], known: tuple[str, ...], problems: Problems
) -> dict[str, dict[Any, Any]]:
    """The settings of PATTERNS: attribute -> {symbol, exchange, or (exchange, symbol): value}."""
    found: dict[str, dict[Any, Any]] = {attribute: {} for attribute in PATTERNS}
    for name, raw in environ.items():
        if not (text := raw.strip()) or (match := _match(name, known)) is None:
            continue
        attribute, key, symbol = match
        kind = PATTERNS[attribute].kind
        if symbol is not None and not SYMBOL.fullmatch(symbol):
            allowed = f"a symbol at the end of its name: {SYMBOL_ALLOWED}"
            problems.append(wrong_setting(name, text, allowed))
            continue
        try:
            found[attribute][key] = kind.parse(text)
        except ValueError:
            problems.append(wrong_setting(name, text, kind.allowed))
    return found


def _match(name: str, known: tuple[str, ...]) -> tuple[str, object, str | None] | None:
    """(attribute, key, symbol) of a variable whose name follows a pattern, else None."""
    if name.startswith("BUCKET_SIZE_"):
        symbol = name.removeprefix("BUCKET_SIZE_")
        return "bucket_sizes", symbol, symbol
    for exchange in known:
        prefix = f"{exchange.upper()}_"
        if name == f"{prefix}WS_URL":
            return "ws_urls", exchange, None
        if name == f"{prefix}REST_URL":
            return "rest_urls", exchange, None
        if name.startswith(f"{prefix}SYMBOL_"):
            symbol = name.removeprefix(f"{prefix}SYMBOL_")
            return "exchange_symbols", (exchange, symbol), symbol
    return None
