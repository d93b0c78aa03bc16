"""Frames that can't be used, through Kafka and Faust: each once in the dead letters, and the partition keeps moving."""

from collections import Counter

from COBY.codec import decode
from COBY.config import load_config
from COBY.runtime.kafka import apply_topics, make_producer
from COBY.topics import partition_of, topic_name
from deploy.local.programs import on_free_ports, pipeline
from deploy.local.supervise import Programs
from tests.e2e.system import System, until
from tests.raw import START_NS, RawLog, book_body, depth, trade

SECOND_NS = 1_000_000_000
LEVEL = [["100.00", "1.0"]]
FIVE_MB = b'{"stream":"btcusdt@depth@100ms","data":{"x":"' + b"a" * 5_000_000
POISON = {
    "frame.json": [b"{nonsense", b'{"stream":"\xff\xfe"}', FIVE_MB, b"[" * 100_000, b""],
    "frame.shape": [b"[1,2,3]", depth(5, 6, "no levels", [])],
    "frame.number": [
        depth(5, 6, [["NaN", "1"]], []),
        depth(5, 6, [["1e400", "1"]], []),
        depth(5, 6, [["100", "-1"]], []),
        trade(90, "0", "1", 1_700_000_000_000),
    ],
    "frame.unknown_symbol": [depth(5, 6, LEVEL, [], symbol="DOGEUSDT")],
    "frame.null": [None],
}


def poisoned() -> RawLog:
    log = RawLog()
    log.mark(START_NS)
    log.event(START_NS + 1, "connected")
    # A record without a value is a frame that is missing: a book built before it would be doubted.
    log.frame(START_NS + 2, None)
    for number, value in enumerate(
        value for values in POISON.values() for value in values if value is not None
    ):
        log.frame(START_NS + 1_000 + number, value)
    # After the poison: some of it may have been updates, so a book from before would wait for this one.
    log.frame(START_NS + 2_000, book_body(10, LEVEL, [["101.00", "2.0"]]), kind="http", symbol="BTCUSDT")
    log.frame(START_NS + SECOND_NS // 4, depth(11, 12, [["100.50", "3.0"]], []))
    log.frame(START_NS + SECOND_NS // 4 + 1, trade(1, "100.50", "0.5", START_NS // 1_000_000))
    for half in range(1, 12):
        log.mark(START_NS + half * SECOND_NS // 2)
        log.event(START_NS + half * SECOND_NS // 2 + 1, "alive")
    return log


def test_each_poison_frame_is_a_dead_letter_and_nothing_stops(kafka, topic_prefix, tmp_path):
    env = {**kafka.env, "TOPIC_PREFIX": topic_prefix, "SYMBOLS": "BTCUSDT", "LOG_FILE": "-"}
    env["RETENTION_RAW"] = "0"  # the frames' times are of 2023: nothing may expire
    config = load_config(env)
    apply_topics(config)
    write(config, poisoned())
    table = on_free_ports([program for program in pipeline(["binance"]) if program.name == "streams"])
    with Programs(tmp_path, table, env=env) as programs:
        programs.wait_ready(seconds=120)
        running = System(config, programs, "")
        until(lambda: running.count("book") >= 10, 60, "ticks after the poison")
        wanted = sum(map(len, POISON.values()))
        until(lambda: running.count("dlq") >= wanted, 60, "all letters: the large one takes its time")
        until(lambda: running.count("trade") >= 1, 60, "the trade after the poison")
        letters = running.messages("dlq")
        codes = Counter(dict(one.headers())["code"].decode() for one in letters)
        assert codes == {code: len(values) for code, values in POISON.items()}
        assert FIVE_MB in [one.value() for one in letters]
        last = decode(running.read("book")[-1].value)
        assert last.live
        assert [level.price for level in last.bids] == [10_050_000_000, 10_000_000_000]
        assert [decode(one.value).trade_id for one in running.read("trade")] == ["1"]
        assert not any(state.restarts for state in programs.status().values())


def write(config, log: RawLog) -> None:
    errors: list[Exception] = []
    producer = make_producer(config, errors.append)
    topic = topic_name(config.topic_prefix, "raw", "binance")
    for one in log.records:
        where = {"timestamp_ms": one.timestamp, "partition": partition_of(log.slot.encode(), 4)}
        producer.produce(topic, one.value, one.key, one.headers, **where)
    assert producer.flush(30) == 0
    assert errors == []
