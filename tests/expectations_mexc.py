"""MEXC's part of `expectations.LEFT_OUT`: JSON, all of it. What is expected of binary frames: test_mexc_frames.py."""

from tests.expectation_reasons import CHANNEL, DEAD, all_of

LEFT_OUT: dict[tuple[str, str], dict[int, tuple[str, str]]] = {
    ("mexc", "cryptomsgparser_spot"): {
        0: (DEAD, '"channel":"push.deal"'),
        1: (DEAD, '"channel":"push.depth"'),
        2: (DEAD, '"channel":"push.limit.depth"'),
        **all_of(DEAD, '["push.symbol"', 3, 4),
        5: (DEAD, '"channel":"push.kline"'),
        6: (DEAD, '["push.kline"'),
        7: (DEAD, '{"code":200'),
    },
    ("mexc", "cryptomsgparser_derivatives"): {
        **all_of(CHANNEL, '"channel":"push.deal"', 0, 1),
        **all_of(CHANNEL, '"channel":"push.depth"', 2, 3),
        **all_of(CHANNEL, '"channel":"push.depth.full"', 4, 5),
        **all_of(CHANNEL, '{"success":true', 6, 7),
    },
}


def is_dead(frame: object) -> bool:
    """Whether it is of spot's JSON protocol, which was shut in 2025; that of futures has a ``ts`` and lives."""
    if not isinstance(frame, dict):
        return True
    return frame.get("code") == 200 or ("channel" in frame and "ts" not in frame)
