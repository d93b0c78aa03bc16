"""One session being played: a thread that obeys orders, releases records when they are due, and says where it is."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from time import monotonic, time_ns

import msgspec

from COBY.codec import encode
from COBY.config import Config
from COBY.models.sessions import FULL
from COBY.records import Place, Session
from COBY.replays.sessions import ENDED, Known, failure_text, place_key, session_partition
from COBY.runtime import crash
from COBY.runtime.metrics import metrics
from COBY.topics import topic_name
from COBY.utils.exceptions import BrokerError, CobyError, StorageError
from COBY.utils.logging import get_logger
from replay.available import require_records
from replay.items import Cursor, Item, Name
from replay.livelag import YIELD_SECONDS, LiveLag
from replay.log import Log
from replay.pacing import Pace
from replay.plan import plan, plan_of
from replay.release import Release
from replay.scene import SCENE
from replay.sources import Sources, cursors_text, mark_of
from replay.topic_streams import Stopped

PLACE_SECONDS = 1.0
"""From one place written to the next: what a successor may release again, identical."""
FLUSH_SECONDS = 10.0
AGAIN_SECONDS = 2.0
STAGE = "replay"
PASSING = ("kafka.silent", "kafka.unreachable", "kafka.refused", "db.unreachable")
"""A session waits until these are over."""

log = get_logger(__name__)


class Player(threading.Thread):
    """Plays a session until it ends, or is told to give it up."""

    def __init__(self, cfg: Config, known: Known, live: LiveLag, worker: str) -> None:
        """Not started; ``worker``: the name of this process."""
        super().__init__(name=f"replay-{known.session.id}", daemon=True)
        self._cfg = cfg
        self._session = known.session
        self._place = known.place or _first_place(known.session, worker)
        self._live = live
        self._worker = worker
        place = self._place
        mark = mark_of(place.run, place.n, place.records, place.position, place.cursors)
        self._release = Release(cfg, known.session.id, mark)
        self._pace = Pace(self._session.speed_milli, monotonic())
        self._lock = threading.Lock()
        self._newest = known.session
        self._attention = threading.Event()
        self._given_up = False
        self.is_new = self._place.obeyed == 0  # nothing was looked for, told or released yet
        self._written = 0.0
        self._late = metrics().replay_late
        self._counted = place.records

    # --- from the worker's thread ----------------------------------------------------------------------------------

    def order(self, session: Session) -> None:
        """A newer order of the session."""
        with self._lock:
            self._newest = session
        self._attention.set()

    def give_up(self) -> None:
        """Another worker has the session from now on, or none: say where it stands, and end."""
        self._given_up = True
        self._attention.set()

    # --- the thread ------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Until the session has ended or is given up."""
        try:
            if self.is_new and not self._is_there():
                return
            self._obey()
            while not self._given_up and self._place.state not in ENDED:
                if self._place.state == "running":
                    self._play()
                else:
                    self._attention.wait()
                if not self._given_up and self._place.state not in ENDED:
                    self._obey()
            if self._given_up:
                self._tell(self._place.state)
        except CobyError as error:
            self._fail(error)
        except Exception as error:  # a bug ends this session, not the others
            log.critical("player_failed", session=self._session.id, exc_info=True)
            self._fail(CobyError("replay.broken", repr(error)))

    def _is_there(self) -> bool:
        """Look whether there is anything of the range; it may take long. False if it was given up meanwhile."""
        try:
            require_records(self._cfg, self._session)
        except CobyError:
            with self._lock:
                self._place = _with(self._place, obeyed=self._newest.number)
            if not self._given_up:
                raise
        finally:
            self.is_new = False
        return not self._given_up

    def _obey(self) -> None:
        """Take up the newest order and confirm it: what was released before is delivered, nothing else follows."""
        with self._lock:
            session, self._session = self._session, self._newest
            self._attention.clear()
        new = self._session
        if self._given_up or (self._place.obeyed >= new.number and session is new and self._place.obeyed):
            return
        self._settled()
        if new.run != self._release.mark.run:
            self._release.begin_run(new.run)
        self._pace.stop()
        self._pace.set_speed(new.speed_milli, monotonic())
        self._place = _with(self._place, obeyed=new.number)
        self._tell("stopped" if new.state in ("stopped", "deleted") else new.state)

    def _play(self) -> None:
        if not self._place.plan:
            self._settle()
        sources = Sources(self._cfg, self._session, plan_of(self._place.plan), self._must_stop)
        try:
            self._pace.stop()
            is_over = self._play_items(sources.items(self._release.mark))
            self._place = _with(self._place, missing=[*dict.fromkeys(self._place.missing + sources.lost())])
            if is_over:
                self._tell("finished")
        except Stopped:
            pass
        except (BrokerError, StorageError) as error:
            if error.code not in PASSING:
                raise
            log.warning("waits", session=self._session.id, error=str(error))
            self._attention.wait(AGAIN_SECONDS)
        finally:
            sources.close()

    def _settle(self) -> None:
        reader = Log(self._cfg)
        try:
            settled = plan(self._cfg, reader, self._session)
        finally:
            reader.close()
        self._place = _with(self._place, plan=settled.text(), missing=settled.missing)
        self._tell("running")

    def _play_items(self, items: Iterator[tuple[Name, Cursor, Item]]) -> bool:
        """Release what comes; False if something else is to be done first."""
        release, pace, attention = self._release, self._pace, self._attention
        looked = monotonic()
        for name, cursor, item in items:
            is_scene = name == SCENE
            if pace.speed_milli != FULL and not is_scene:
                if not self._await(cursor.reached_ms):
                    return False
            elif attention.is_set() and not self._goes_on():
                return False
            if not release.put(name, cursor, item, is_scene, self._must_stop):
                return False
            crash.reached("player.released")
            if (now := monotonic()) - looked > YIELD_SECONDS:
                looked = now
                self._look(now)
        return not self._given_up

    def _await(self, reached_ms: int) -> bool:
        """Wait until that time is due, which no record was later than so far; False if something else comes first."""
        while True:
            now = monotonic()
            wait = self._pace.due(reached_ms, now) - now
            if self._attention.is_set():
                if not self._goes_on():
                    return False
                continue
            if wait <= 0:
                self._late.observe(-wait)
                return True
            if wait > YIELD_SECONDS:
                self._look(now)
            self._attention.wait(min(wait, PLACE_SECONDS))

    def _goes_on(self) -> bool:
        """Whether the newest order changes nothing but the speed, which is then in force."""
        with self._lock:
            new = self._newest
        if self._given_up or new.state != "running" or new.run != self._session.run:
            return False
        self._attention.clear()
        self._session = new
        self._pace.set_speed(new.speed_milli, monotonic())
        self._settled()
        self._place = _with(self._place, obeyed=new.number)
        self._tell("running")
        return True

    def _look(self, now: float) -> None:
        """Serve confirmations, say where we are, give way to live processing."""
        self._release.poll()
        if now - self._written > PLACE_SECONDS:
            self._tell("running", flushed=False)
            self._release.keep()
        while self._pace.speed_milli == FULL and self._live.is_late() and not self._attention.is_set():
            self._attention.wait(YIELD_SECONDS)

    def _must_stop(self) -> bool:
        return self._attention.is_set() and (self._given_up or not self._is_speed_only())

    def _is_speed_only(self) -> bool:
        with self._lock:
            return self._newest.state == "running" and self._newest.run == self._session.run

    # --- places ----------------------------------------------------------------------------------------------------

    def _tell(self, state: str, *, flushed: bool = True, error: CobyError | None = None) -> None:
        """Write the place: all before it is delivered."""
        if flushed:
            self._settled()
        mark = self._release.delivered
        self._place = _with(
            self._place,
            state=state,
            run=mark.run,
            n=mark.n,
            records=mark.records,
            position=None if mark.position_ms is None else mark.position_ms * 1000,
            speed_milli=self._session.speed_milli,
            error=None if error is None else str(error),
            failure=None if error is None else failure_text(error),
            cursors=cursors_text(mark),
            worker=self._worker,
            observed_at=time_ns() // 1000,
        )
        self._written = monotonic()
        self._count(mark.records)
        self._release.producer.produce(
            topic_name(self._cfg.topic_prefix, "session"),
            encode(self._place),
            place_key(self._session.id),
            partition=session_partition(self._session.id),
        )
        crash.reached("player.told")
        if flushed:
            self._settled()

    def _count(self, records: int) -> None:
        shown = metrics()
        shown.records.labels(STAGE).inc(records - self._counted)
        shown.outputs.labels(STAGE, STAGE).inc(records - self._counted)
        self._counted = records

    def _settled(self) -> None:
        """Wait until all that was handed over is delivered, however long the broker is away; unless given up."""
        while not self._release.flush(FLUSH_SECONDS) and not self._given_up:
            log.warning("not_delivered", session=self._session.id, seconds=FLUSH_SECONDS)

    def _fail(self, error: CobyError) -> None:
        log.error("session_failed", session=self._session.id, error=str(error))
        try:
            self._tell("failed", error=error)
        except CobyError as again:  # the broker is the trouble: a successor will see the session as it was
            log.error("place_not_written", session=self._session.id, error=str(again))


def _first_place(session: Session, worker: str) -> Place:
    return Place(
        session.id,
        0,
        "created",
        0,
        0,
        None,
        0,
        session.speed_milli,
        None,
        [],
        "",
        "",
        worker,
        session.created_at,
    )


_with = msgspec.structs.replace
