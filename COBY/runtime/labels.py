"""Values that labels of metrics have from the start: a series that first appears at 1 hides its first rise."""

HOPS = ("receive", "kafka", "normalize", "aggregate", "timescale", "redis", "api")

STATUSES = ("2xx", "4xx", "5xx")
CUTS = ("slow_consumer", "ws.too_many_operations")

GAP_REASONS = (
    "never_connected",
    "disconnected",
    "producer_lost",
    "stale",
    "sequence_gap",
    "checksum",
    "crossed",
    "not_listed",
    "time_jump",
    "retention",
)
_CODEC = ("codec.broken", "codec.format", "codec.null", "codec.unknown_schema", "codec.wrong_schema")
FRAME_CODES = (
    "event.format",
    "frame.gzip",
    "frame.json",
    "frame.null",
    "frame.number",
    "frame.protobuf",
    "frame.range",
    "frame.rest_error",
    "frame.shape",
    "frame.unknown_symbol",
    "record.headers",
    "record.repeated",
    "record.unknown_slot",
)
LETTER_CODES = {
    "normalize": FRAME_CODES,
    "aggregate": (*_CODEC, "record.headers", "record.not_configured", "record.schema"),
    "timescale": (*_CODEC, "reader.no_position"),
    "redis": (*_CODEC, "reader.no_position"),
}
"""What each stage writes dead letters for. Beside them timescale has a code for each SQLSTATE of a row refused."""
