"""The folder of scheduled backups: when the next one is due, making it, and which go."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from math import inf
from pathlib import Path

from COBY.config import Config
from COBY.utils.exceptions import ServiceError
from sinks.backup import Manifest, back_up
from sinks.pg_tools import Tools

FORM = "%Y%m%dT%H%M%SZ"
SUFFIX = ".backup"


class Backups:
    """One database's backups in one folder. Their names say when they were begun, so a restart changes nothing."""

    def __init__(self, cfg: Config) -> None:
        """ServiceError `file.unwritable` if the folder can't be made."""
        self.folder = Path(cfg.backup_folder)
        self._cfg = cfg
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(self.folder, error) from error

    def there(self) -> list[tuple[datetime, Path]]:
        """(when it was begun, file), oldest first; files of other names are none of ours."""
        return sorted(
            (begun, file)
            for file in self.folder.glob(f"{self._cfg.db_name}-*{SUFFIX}")
            if (begun := _begun(file.name.removeprefix(f"{self._cfg.db_name}-").removesuffix(SUFFIX)))
        )

    def age_seconds(self, now: datetime) -> float:
        """Of the newest one; infinite: there is none."""
        there = self.there()
        return (now - there[-1][0]).total_seconds() if there else inf

    def newest_bytes(self) -> int:
        """Of the newest one; 0: there is none."""
        there = self.there()
        return there[-1][1].stat().st_size if there else 0

    def is_due(self, now: datetime) -> bool:
        """Whether the newest one is older than BACKUP_INTERVAL; never with an interval of 0."""
        interval = self._cfg.backup_interval
        return bool(interval) and self.age_seconds(now) >= interval

    def make(self, tools: Tools, now: datetime, stopped: Callable[[], bool]) -> tuple[Path, Manifest]:
        """Make the next one, then remove those beyond BACKUP_KEEP, the oldest first.

        Errors of `back_up`; those that are there then stay, however old.
        """
        try:
            for part in self.folder.glob(f"{self._cfg.db_name}-*{SUFFIX}.part"):
                part.unlink(missing_ok=True)  # of one that was killed
            file = self.folder / f"{self._cfg.db_name}-{now.strftime(FORM)}{SUFFIX}"
            manifest = back_up(self._cfg, tools, file, stopped=stopped)
            for _, old in self.there()[: -self._cfg.backup_keep]:
                old.unlink(missing_ok=True)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        return file, manifest


def _begun(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, FORM).replace(tzinfo=UTC)
    except ValueError:
        return None


def _unwritable(folder: Path, error: OSError) -> ServiceError:
    return ServiceError(
        "file.unwritable",
        error.strerror or str(error),
        where=str(folder),
        allowed="a folder that may be written (BACKUP_FOLDER)",
    )
