"""The stack on one machine without Docker: real Kafka, TimescaleDB and Redis as plain processes.

Needs Debian and root, because the database comes as a Debian root tree entered by chroot.

>>> from deploy.local import Programs, Stack
>>> with Stack(folder) as stack, Programs(folder, table, env=stack.env()) as programs:
...     stack.kafka.port, programs.status()["streams"].pid
"""

from deploy.local.errors import LocalError

__all__ = ["LocalError", "Ports", "Programs", "Stack"]


def __getattr__(name: str) -> object:
    """Load the rest only when asked for: `fetch` must stay quick and needs no Kafka client."""
    if name in {"Stack", "Ports"}:
        from deploy.local import stack

        return getattr(stack, name)
    if name == "Programs":
        from deploy.local.supervise import Programs

        return Programs
    raise AttributeError(name)
