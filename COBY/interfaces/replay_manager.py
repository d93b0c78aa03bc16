"""Replays of what was."""

from abc import ABC, abstractmethod
from datetime import datetime

from COBY.models import ReplayStatus


class ReplayManager(ABC):
    """Replay sessions. An unknown session, or one in the wrong state for a call, raises ReplayError."""

    @abstractmethod
    def create_replay_session(self, start_time: datetime, end_time: datetime, speed: float) -> str:
        """A session over stream time [start_time, end_time), `speed` 1.0 = as it was, above 0; returns its
        id.

        Times need an offset (else `time.naive`).
        """

    @abstractmethod
    async def start_replay(self, session_id: str) -> None:
        """Begin to send."""

    @abstractmethod
    async def pause_replay(self, session_id: str) -> None:
        """Stop sending and keep the place."""

    @abstractmethod
    async def stop_replay(self, session_id: str) -> None:
        """End the session for good."""

    @abstractmethod
    def get_replay_status(self, session_id: str) -> ReplayStatus:
        """State, place, speed and count of the session."""

    @abstractmethod
    async def resume(self, session_id: str) -> None:
        """Go on where it was paused."""

    @abstractmethod
    async def seek(self, session_id: str, position: datetime) -> None:
        """Go on from `position` (stream time within the session's range); records get a higher `run`."""

    @abstractmethod
    async def set_speed(self, session_id: str, speed: float) -> None:
        """Change the speed (above 0) without losing the place."""
