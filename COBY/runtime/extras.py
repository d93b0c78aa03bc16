"""Which extra of the package brings a library, and the one clear line where it was not installed.

The package alone has what pure COBY and `coby` itself need; `coby[client]` adds what reads Kafka and the API and makes
arrays of it; `coby[server]` everything that the programs need, the client's included (pyproject.toml).
"""

from collections.abc import Iterator
from contextlib import contextmanager

from COBY.utils.exceptions import ServiceError

EXTRAS: dict[str, frozenset[str]] = {
    "client": frozenset({"aiohttp", "confluent_kafka", "numpy", "pandas", "pyarrow", "websockets"}),
    "server": frozenset(
        {
            "aiokafka",
            "fastapi",
            "faust",
            "mode",
            "prometheus_client",
            "psutil",
            "psycopg",
            "psycopg_pool",
            "pydantic",
            "redis",
            "uvicorn",
            "uvloop",
        }
    ),
}
"""Extra -> the modules that it brings, each with the smallest extra that has it."""


@contextmanager
def needing(what: str) -> Iterator[None]:
    """Turn the absence of a library of ours into ServiceError `runtime.library_missing`, which names the extra."""
    try:
        yield
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        extra = next((name for name, modules in EXTRAS.items() if library in modules), None)
        if extra is None:  # a module of ours, or a plugin's: a bug, not an installation
            raise
        message = f"{what} needs {library}: pip install 'coby[{extra}]'"
        raise ServiceError("runtime.library_missing", message) from error
