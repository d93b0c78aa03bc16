"""Normalize by hand-made records of the exchange whose books are proven by a checksum alone."""

from zlib import crc32

from COBY.codec import decode
from COBY.config import load_config
from COBY.normalize import NormalizeTask
from COBY.topics import RAW_PARTITIONS, partition_of
from tests.normalize_log import Log, at


def kraken(seconds, kind, bids, digits):
    """A frame of the book; ``digits``: what its checksum is made of, by the exchange's description."""
    levels = ",".join(f'{{"price":{price},"qty":{size}}}' for price, size in bids)
    asks = '{"price":101.0,"qty":3.0}' if kind == "snapshot" else ""
    time = f"2023-11-14T22:13:{20 + seconds:09.6f}Z"
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"BTC/USDT","bids":[{levels}],"asks":[{asks}],'
        f'"checksum":{crc32(digits.encode())},"timestamp":"{time}"}}]}}'
    ).encode()


def kraken_deal(kind, number, seconds):
    time = f"2023-11-14T22:13:{20 + seconds:09.6f}Z"
    return (
        f'{{"channel":"trade","type":"{kind}","data":[{{"symbol":"BTC/USDT","side":"buy","price":100.0,"qty":1.0,'
        f'"ord_type":"limit","trade_id":{number},"timestamp":"{time}"}}]}}'
    ).encode()


def kraken_found(*frames, until=40.5):
    """What a log of these (seconds, frame) leads to, after a snapshot at 0.1; heartbeats keep it from going stale."""
    log = Log()
    log.slot = "kraken-0"
    log.event(at(0.05), "connected")
    snapshot = kraken(0.1, "snapshot", [("99.0", "1.0"), ("98.0", "2.0")], "101030" + "99010" + "98020")
    for seconds, frame in ((0.1, snapshot), *frames):
        log.beat(seconds, "c1")
        log.ws(seconds, frame)
    while log.passed < until:
        log.beat(log.passed + 5.0, "c1")
        log.ws(log.passed, b'{"channel":"heartbeat"}')
    config = load_config({"SYMBOLS": "BTCUSDT", "EXCHANGES": "kraken"})
    one = NormalizeTask(config, "kraken", partition_of(b"kraken-0", RAW_PARTITIONS))
    return [decode(output.value) for output in one.process(log.records) if output.topic != "dlq"]
