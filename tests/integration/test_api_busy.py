"""More ranges at once than a process sends: `api.busy`, and the places come back."""

import time
from concurrent.futures import ThreadPoolExecutor

from tests.integration.replay_world import working
from tests.integration.ws_world import world
from tests.servers import eventually

AT_ONCE = 4
"""docs/api.md, "A range at once"."""


def test_a_fifth_range_is_told_to_wait_and_leaves_no_session(kafka, timescale, redis_session, tmp_path):
    def ask(_=None):
        return api.get("/v1/replay", params=span, timeout=60)

    def sessions():
        return api.get("/v1/replay/sessions").json()["data"]

    with (
        world(kafka, timescale, redis_session, tmp_path, "tapibusy", EXCHANGES="binance") as (cfg, started),
        started() as api,
        ThreadPoolExecutor(AT_ONCE) as threads,
    ):
        now_ms = int(time.time() * 1000)
        span = {"from": now_ms - 60_000, "to": now_ms - 1}
        # Without a worker each of them waits in its place for half a minute.
        waiting = [threads.submit(ask) for _ in range(AT_ONCE)]
        eventually(lambda: len(sessions()) == AT_ONCE, 25)
        for _ in range(3):
            refused = ask()
            assert (refused.status_code, refused.json()["code"]) == (503, "api.busy"), refused.text
            assert int(refused.headers["Retry-After"]) > 0
            assert f"{AT_ONCE} ranges" in refused.json()["detail"]
        assert len(sessions()) == AT_ONCE
        with working(cfg):
            assert {one.result().json()["code"] for one in waiting} == {"replay.empty"}
            assert list(threads.map(lambda _: ask().json()["code"], range(AT_ONCE))) == ["replay.empty"] * 4
            eventually(lambda: sessions() == [], 30)
