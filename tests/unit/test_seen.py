"""What an onlooker has seen: whole seconds only, the last ten, and figures by hand."""

from api.seen import MOST_LATENCIES, Seen


def test_a_rate_is_of_whole_seconds():
    seen = Seen()
    assert (seen.seconds(100.2), seen.rates(100.2)) == (0, {})
    for second in (100.5, 100.9, 101.0, 101.9, 102.0, 103.5):
        seen.frame("binance", second)
    # Seconds 101 and 102 are whole by 103.6: three frames in them. Second 100 was not seen from its beginning.
    assert seen.seconds(103.6) == 2
    assert seen.rates(103.6) == {"binance": 1.5}


def test_what_is_long_ago_is_forgotten():
    seen = Seen()
    for second in range(100, 150):
        seen.frame("okx", second)
        seen.latency("kafka", None, 1.0 if second < 139 else 0.002, second)
    assert seen.rates(149.5) == {"okx": 1.0}
    (hop,) = seen.hops(149.5)
    assert (hop.records, hop.median_ms, hop.max_ms) == (10, 2.0, 2.0)


def test_silence_lowers_the_rate_to_nothing():
    seen = Seen()
    for second in range(100, 110):
        seen.frame("okx", second)
    assert seen.rates(114.0) == {"okx": 0.6}
    assert seen.rates(130.0) == {}
    assert seen.seconds(130.0) == 10


def test_hops_come_in_their_order_and_by_exchange():
    seen = Seen()
    seen.latency("receive", "binance", 0.004, 10.0)
    for number in range(1, 101):
        seen.latency("tick", None, number / 1000, 11.0)
    seen.latency("receive", "okx", -0.003, 11.0)
    rows = seen.hops(12.0)
    assert [(one.hop, one.exchange) for one in rows] == [("receive", "okx"), ("tick", None)]
    assert rows[0].median_ms == -3.0  # a clock that is ahead is told, not hidden
    assert (rows[1].records, rows[1].median_ms, rows[1].p99_ms, rows[1].max_ms) == (100, 50.0, 99.0, 100.0)


def test_many_latencies_of_a_second_keep_the_newest_and_their_number():
    seen = Seen()
    seen.latency("kafka", None, 9.0, 10.0)
    for _ in range(MOST_LATENCIES):
        seen.latency("kafka", None, 9.0, 11.0)
    for _ in range(MOST_LATENCIES):
        seen.latency("kafka", None, 0.001, 11.5)
    (hop,) = seen.hops(12.0)
    assert (hop.records, hop.max_ms) == (2 * MOST_LATENCIES, 1.0)
