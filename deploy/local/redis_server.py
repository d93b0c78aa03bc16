"""A real Redis, from the Debian tree, listening on 127.0.0.1."""

from pathlib import Path

import redis

from deploy.local.server import Server


class Redis(Server):
    """The cache. Nothing survives a stop unless `persistent`; a `password` is asked of clients if given."""

    name = "redis"
    setting = "REDIS_PORT"

    def __init__(
        self, folder: Path, port: int, *, password: str = "", persistent: bool = False, detached: bool = False
    ) -> None:
        super().__init__(folder, port, detached=detached)
        self.password = password
        self.persistent = persistent

    def prepare(self) -> None:
        """Write the configuration."""
        settings = {
            "bind": self.host,
            "port": self.port,
            "dir": "/mnt",
            "save": '""',
            "appendonly": "yes" if self.persistent else "no",
            "maxmemory": "512mb",
            "maxmemory-policy": "volatile-lru",  # what has a time to live: the feeds, never a latest value
            "set-proc-title": "no",  # the title would overwrite the environment, and with it our mark
        }
        if self.password:
            settings["requirepass"] = self.password
        config = self.data / "redis.conf"
        config.touch(mode=0o600)
        config.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        self.give_to("redis")

    def command(self) -> list[str]:
        """The server."""
        return self.in_root("redis", ["/usr/bin/redis-server", "/mnt/redis.conf"])

    def probe(self) -> None:
        """PING."""
        with redis.Redis(self.host, self.port, password=self.password or None, socket_timeout=2) as client:
            client.ping()
