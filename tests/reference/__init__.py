"""A second, independent computation of all that the pipeline derives: the tests' source of expected values.

It imports nothing of ours but itself (a test sees to that), reads the raw records itself, and computes with
decimal.Decimal, as plainly as it can: lists are sorted whenever an order is wanted, nothing is kept incrementally that
can be computed anew. Sources of truth: DESIGN.md, EXCHANGES.md and the `doc` sentences of schemas/*.avsc. Where those
leave a choice, the line says which one was taken (`Choice:`).

    run.compute(records, Settings(...)) -> {topic: [record, …]}, topics: trade, book, heatmap, consolidated, ohlcv, gap,
    continuity

The records are of any number of raw partitions of any of the exchanges in exchanges.py. What differs between exchanges
is in one file each; exchange.py says what such a file offers.

Records and results are plain dicts; prices, sizes and ratios are Decimals, times ints of microseconds.
Not computed: the `detail` of gaps, dead letters, resync requests; of continuity what is told while an interval goes on
and what it counts; quality records, whose parts count what the reference throws away (tests/unit/test_quality.py has
them by hand).
"""
