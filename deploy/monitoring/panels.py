"""What Grafana shows: one row is one panel, with its queries. dashboards.py makes Grafana's JSON of it."""

from __future__ import annotations

from typing import NamedTuple

Words = dict[str, tuple[str, str]]
"""Value -> word, colour."""

BOOKS: Words = {"0": ("blind", "orange"), "1": ("live", "green"), "2": ("not listed", "text")}
STATUS: Words = {
    "0": ("OK", "green"),
    "1": ("WARN", "yellow"),
    "2": ("STALL", "orange"),
    "3": ("STOP", "red"),
}
BREAKER: Words = {"0": ("closed", "green"), "1": ("half open", "yellow"), "2": ("open", "red")}
WRITES: Words = {"0": ("refused", "red"), "1": ("taken", "green")}
FULL: Words = {"0": ("enough", "green"), "1": ("full", "red")}


class Panel(NamedTuple):
    """One panel. ``queries``: (PromQL, legend); ``unit``: Grafana's name; ``words``: values shown as coloured words."""

    title: str
    queries: tuple[tuple[str, str], ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    words: Words | None = None


class Dashboard(NamedTuple):
    """``name`` is the file's and the uid's."""

    name: str
    title: str
    panels: tuple[Panel, ...]


def one(title: str, query: str, legend: str = "", unit: str = "short", **more: object) -> Panel:
    """A panel of one query."""
    return Panel(title, ((query, legend),), unit, **more)  # type: ignore[arg-type]


def stat(title: str, query: str, unit: str = "short", words: Words | None = None) -> Panel:
    """One number."""
    return Panel(title, ((query, ""),), unit, "stat", 4, words)


def states(title: str, query: str, legend: str, words: Words) -> Panel:
    """Bars over time, one a thing, coloured by state."""
    return Panel(title, ((query, legend),), "short", "state-timeline", 12, words)


def late(metric: str, by: str, share: float = 0.99, more: str = "") -> str:
    """The quantile of a histogram over five minutes."""
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket{more}[5m])))"


def per_second(metric: str, by: str, more: str = "") -> str:
    """The rate of a counter."""
    return f"sum by ({by}) (rate({metric}{more}[1m]))"


def lately(metric: str, by: str) -> str:
    """The increase of a counter in ten minutes."""
    return f"sum by ({by}) (increase({metric}[10m]))"


LIVE = "max by (exchange, symbol) (coby_book_state)"
LAG = "max by (consumergroup) (kafka_consumergroup_lag_seconds_min)"
AGE = "min by (symbol) (coby_heatmap_age_seconds)"
HOPS = Panel(
    "Latency by hop",
    (
        (late("coby_hop_latency_seconds", "hop"), "{{hop}} p99"),
        (late("coby_hop_latency_seconds", "hop", 0.5), "{{hop}} p50"),
    ),
    "s",
    width=12,
)

OVERVIEW = Dashboard(
    "coby-overview",
    "COBY overview",
    (
        stat("Books live", f"count({LIVE} == 1) / count({LIVE} < 2)", "percentunit"),
        stat("Frames", 'sum(rate(coby_frames_total{program="streams"}[1m]))', "cps"),
        stat("Largest lag", "max(kafka_consumergroup_lag_seconds_min)", "s"),
        stat("Oldest heatmap", f"max({AGE})", "s"),
        stat("Alerts", 'count(ALERTS{alertstate="firing", severity!="none"}) or vector(0)'),
        stat("Disk free", "min(coby_storage_free_bytes / coby_storage_size_bytes)", "percentunit"),
        one(
            "Frames",
            per_second("coby_frames_total", "exchange", '{program="streams"}'),
            "{{exchange}}",
            "cps",
        ),
        one("Age of the last frame", "min by (exchange) (coby_last_frame_age_seconds)", "{{exchange}}", "s"),
        one("Lag", LAG, "{{consumergroup}}", "s"),
        HOPS,
        one("Age of the newest heatmap", AGE, "{{symbol}}", "s", width=12),
        one("Memory", "sum by (program) (coby_resident_memory_bytes)", "{{program}}", "bytes"),
        one("Cores", "sum by (program) (rate(process_cpu_seconds_total[1m]))", "{{program}}"),
        one("Open files", "max by (program) (process_open_fds)", "{{program}}"),
        one("Requests", per_second("coby_api_requests_total", "status"), "{{status}}", "reqps"),
        one("Requests, slowest", late("coby_api_request_seconds", "route"), "{{route}}", "s"),
        Panel(
            "WebSocket clients",
            (
                ("sum(coby_ws_connections)", "connected"),
                ("sum(rate(coby_ws_messages_total[1m]))", "messages/s"),
                ("sum(rate(coby_ws_conflated_total[1m]))", "conflated/s"),
                (lately("coby_ws_cut_total", "code"), "cut off, {{code}}"),
            ),
        ),
    ),
)

QUALITY = Dashboard(
    "coby-quality",
    "COBY exchange quality",
    (
        states("Books", LIVE, "{{exchange}} {{symbol}}", BOOKS),
        states("Breakers", "max by (exchange, slot) (coby_breaker_state)", "{{slot}}", BREAKER),
        one("Gaps in ten minutes", lately("coby_gaps_total", "exchange, reason"), "{{exchange}} {{reason}}"),
        one(
            "Share of time blind",
            per_second("coby_blind_seconds_total", "exchange, symbol"),
            "{{exchange}} {{symbol}}",
            "percentunit",
        ),
        one(
            "Crossed in ten minutes",
            lately("coby_crossed_seconds_total", "exchange, symbol"),
            "{{exchange}} {{symbol}}",
            "s",
        ),
        one(
            "Checksum failures in ten minutes",
            lately("coby_checksum_failures_total", "exchange"),
            "{{exchange}}",
        ),
        one("Duplicates in ten minutes", lately("coby_duplicates_total", "exchange"), "{{exchange}}"),
        one("Anomalies in ten minutes", lately("coby_anomalies_total", "exchange"), "{{exchange}}"),
        one(
            "Rejected in ten minutes",
            lately("coby_rejected_total", "exchange, code"),
            "{{exchange}} {{code}}",
        ),
        one("Reconnects in ten minutes", lately("coby_reconnects_total", "exchange"), "{{exchange}}"),
        one(
            "Resyncs in ten minutes",
            lately("coby_resyncs_total", "exchange, symbol"),
            "{{exchange}} {{symbol}}",
        ),
        one(
            "Silent channels in ten minutes",
            lately("coby_silent_channels_total", "exchange, channel"),
            "{{exchange}} {{channel}}",
        ),
        one("Dropped frames in ten minutes", lately("coby_dropped_frames_total", "exchange"), "{{exchange}}"),
        Panel(
            "Clocks in ten minutes",
            (
                (lately("coby_clock_skew_total", "exchange"), "{{exchange}} ahead of the marks"),
                (lately("coby_skewed_events_total", "exchange"), "{{exchange}} far from receipt"),
            ),
        ),
        one("Events", "sum by (exchange) (rate(coby_events_total[5m]))", "{{exchange}}", "cps"),
    ),
)

PIPELINE = Dashboard(
    "coby-pipeline",
    "COBY pipeline and lag",
    (
        states(
            "Consumers",
            "max by (consumergroup, topic) (kafka_consumergroup_status)",
            "{{consumergroup}} {{topic}}",
            STATUS,
        ),
        HOPS,
        one(
            "Lag",
            "max by (consumergroup, topic) (kafka_consumergroup_lag_seconds)",
            "{{consumergroup}} {{topic}}",
            "s",
        ),
        one(
            "Lag",
            "sum by (consumergroup, topic) (kafka_consumergroup_lag_sum)",
            "{{consumergroup}} {{topic}}",
            "records",
        ),
        one(
            "Share of what Kafka keeps that is unread",
            "max by (consumergroup, topic) (kafka_consumergroup_lag / on (topic, partition) group_left () "
            "(kafka_topic_partition_current_offset - kafka_topic_partition_oldest_offset))",
            "{{consumergroup}} {{topic}}",
            "percentunit",
        ),
        one("Records", per_second("coby_records_total", "stage"), "{{stage}}", "cps"),
        one("Written", per_second("coby_outputs_total", "stage, topic"), "{{stage}} {{topic}}", "cps"),
        one("Batches, slowest", late("coby_batch_seconds", "stage"), "{{stage}}", "s"),
        one("Snapshots, slowest", late("coby_snapshot_seconds", "stage"), "{{stage}}", "s"),
        one("Age of the oldest snapshot", "max by (stage) (coby_snapshot_age_seconds)", "{{stage}}", "s"),
        one("Buffered", "sum by (stage) (coby_buffered_records)", "{{stage}}", "records"),
        one(
            "Dead letters in ten minutes",
            lately("coby_dead_letters_total", "stage, code"),
            "{{stage}} {{code}}",
        ),
        one(
            "Lag, as the sinks see it",
            "sum by (group, topic) (coby_lag_records)",
            "{{group}} {{topic}}",
            "records",
        ),
        states("Memory full", "max by (program) (coby_memory_full)", "{{program}}", FULL),
    ),
)

STORAGE = Dashboard(
    "coby-storage",
    "COBY storage",
    (
        states("Writes are taken", "min by (stage) (coby_writes_ok)", "{{stage}}", WRITES),
        one(
            "Writes tried again in ten minutes",
            lately("coby_write_retries_total", "stage"),
            "{{stage}}",
            width=12,
        ),
        one("Rows", per_second("coby_outputs_total", "topic", '{stage="timescale"}'), "{{topic}}", "cps"),
        one(
            "Values in Redis",
            per_second("coby_outputs_total", "topic", '{stage="redis"}'),
            "{{topic}}",
            "cps",
        ),
        one(
            "Batches, slowest",
            late("coby_batch_seconds", "stage", more='{stage=~"timescale|redis"}'),
            "{{stage}}",
            "s",
        ),
        one(
            "Latency",
            late("coby_hop_latency_seconds", "hop", more='{hop=~"timescale|redis"}'),
            "{{hop}}",
            "s",
        ),
        one("Age of the newest heatmap", AGE, "{{symbol}}", "s"),
        one("Free by what lies there", "min by (place) (coby_storage_free_bytes)", "{{place}}", "bytes"),
        one("Full in", "min by (place) (coby_storage_left_seconds)", "{{place}}", "s"),
        one("Age of the newest backup", "min by (database) (coby_backup_age_seconds)", "{{database}}", "s"),
        one(
            "Size of the newest backup", "max by (database) (coby_backup_size_bytes)", "{{database}}", "bytes"
        ),
    ),
)

REPLAY = Dashboard(
    "coby-replay",
    "COBY replay",
    (
        one(
            "Records of paced replays",
            "sum by (program) (rate(coby_replay_late_seconds_count[1m]))",
            "{{program}}",
            "cps",
        ),
        Panel(
            "Released late by",
            (
                ("histogram_quantile(0.99, sum by (le) (rate(coby_replay_late_seconds_bucket[5m])))", "p99"),
                ("histogram_quantile(0.5, sum by (le) (rate(coby_replay_late_seconds_bucket[5m])))", "p50"),
            ),
            "s",
        ),
        one(
            "Memory",
            'sum by (program) (coby_resident_memory_bytes{program="replay"})',
            "{{program}}",
            "bytes",
        ),
        one(
            "Cores", 'sum by (program) (rate(process_cpu_seconds_total{program="replay"}[1m]))', "{{program}}"
        ),
        one("Open files", 'max by (program) (process_open_fds{program="replay"})', "{{program}}"),
        one("Latency of live meanwhile", late("coby_hop_latency_seconds", "hop"), "{{hop}}", "s"),
    ),
)

DASHBOARDS = (OVERVIEW, QUALITY, PIPELINE, STORAGE, REPLAY)
