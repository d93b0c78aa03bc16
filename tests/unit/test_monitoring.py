"""Rules, alerts, dashboards and runbook: by Debian's own promtool and amtool, and against each other."""

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from COBY.exchanges import names
from COBY.lag import Status
from COBY.normalize import COUNTED
from COBY.runtime.labels import FRAME_CODES, GAP_REASONS, HOPS, LETTER_CODES
from COBY.runtime.lag import Lag, Watched
from COBY.runtime.lag_exporter import Exporter
from COBY.runtime.metrics import Metrics
from COBY.settings import Settings
from deploy import docs
from deploy.local import fetch
from deploy.monitoring import dashboards
from deploy.monitoring.panels import DASHBOARDS
from tests.monitoring import (
    BOARDS,
    FOLDER,
    PROMETHEUS,
    ROOT,
    RULES,
    TESTS,
    alerts,
    expressions,
    panels,
    selectors,
    tried,
)

ASKED_FOR = """ExchangeDown BookBlind GapRateHigh ChecksumFailures CrossedBook LagSeconds LagGrowing ConsumerStuck
RetentionRace HeatmapLate DBWriteErrors DiskLow RedisDown SlowClients DeadLetters ClockSkew BackupTooOld Watchdog"""
OTHERS = re.compile(r"up|ALERTS|process_\w+|prometheus_notifications_\w+|alertmanager_notifications_\w+")
"""Metrics of others: of Prometheus' client, of Prometheus and of Alertmanager."""
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}
KNOWN = {name + suffix for name, kind, *_ in docs.metric_rows() for suffix in ("", *SUFFIXES.get(kind, ()))}
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()


def run(name: str, *arguments: str, text: str = "") -> str:
    binary = fetch.monitoring_binary(name)
    if binary is None:
        pytest.skip(f"{name} could not be had here: make setup fetches it where Debian's packages are")
    done = subprocess.run(
        [str(binary), *arguments], cwd=PROMETHEUS, input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# --- by the tools ------------------------------------------------------------------------------------------------


def test_promtool_finds_the_configuration_of_prometheus_well():
    assert f"{len(RULES)} rule files found" in run("promtool", "check", "config", "prometheus.yml")


def test_promtool_finds_the_rules_well():
    said = run("promtool", "check", "rules", "--lint-fatal", *map(str, RULES))
    assert sum(int(count) for count in re.findall(r"SUCCESS: (\d+) rules found", said)) == len(alerts())


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_alerts_fire_and_clear_as_their_unit_tests_say(path):
    assert "SUCCESS" in run("promtool", "test", "rules", str(path))


def test_a_rule_that_is_wrong_fails_its_unit_test(tmp_path):
    binary = fetch.monitoring_binary("promtool")
    if binary is None:
        pytest.skip("no promtool here")
    rule = (PROMETHEUS / "rules" / "stores.yml").read_text()
    (tmp_path / "rules").mkdir()
    (tmp_path / "tests").mkdir()
    (tmp_path / "rules" / "stores.yml").write_text(
        rule.replace('{stage="redis"}) == 0', '{stage="redis"}) == 2')
    )
    (tmp_path / "tests" / "stores.yml").write_text((PROMETHEUS / "tests" / "stores.yml").read_text())
    done = subprocess.run(
        [str(binary), "test", "rules", "tests/stores.yml"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "RedisDown" in done.stdout + done.stderr


def test_promtool_can_read_the_query_of_every_panel(tmp_path):
    """As recording rules: Grafana itself is not here to say so."""
    records = [{"record": f"panel:{number}", "expr": query} for number, (_, query) in enumerate(panels())]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": records}]}))
    assert f"SUCCESS: {len(records)} rules found" in run("promtool", "check", "rules", str(path))


def test_amtool_finds_the_example_of_alertmanager_well():
    assert "SUCCESS" in run("amtool", "check-config", str(FOLDER / "alertmanager" / "alertmanager.yml"))


def test_promtool_finds_our_metrics_well_but_for_names_that_kafka_exporter_has():
    registry = CollectorRegistry()
    made = Metrics(registry)
    made.init_exchange("x", ["S"])
    made.init_books("x", ["S"])
    for stage in LETTER_CODES:
        made.init_stage(stage, ["t"])
    exporter = Exporter()
    exporter.took([Watched(Lag("g", "t", 0, 1, 3, 2, 0.5, 0, True), Status.OK, 0.5)])
    registry.register(exporter)
    binary = fetch.monitoring_binary("promtool")
    if binary is None:
        pytest.skip("no promtool here")
    done = subprocess.run(
        [str(binary), "check", "metrics"], input=generate_latest(registry), capture_output=True
    )
    complaints = done.stdout.decode() + done.stderr.decode()
    assert [line for line in complaints.splitlines() if not line.startswith("kafka_")] == []
    assert done.returncode in (0, 3), "3: it complains, of the names above"


# --- rules, tests and runbook against each other -------------------------------------------------------------------


def test_every_alert_that_was_asked_for_is_there_with_severity_for_and_a_link_to_the_runbook():
    assert set(ASKED_FOR.split()) <= {rule["alert"] for rule in alerts()}
    for rule in alerts():
        assert rule["labels"]["severity"] in {"critical", "warning", "none"}
        assert re.fullmatch(r"\d+[sm]", rule["for"])
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


def test_every_alert_has_a_unit_test_in_which_it_fires_and_one_in_which_it_does_not():
    fires = {(name, one["exp_labels"]["severity"]) for name, _, found in tried() for one in found}
    assert fires == {(rule["alert"], rule["labels"]["severity"]) for rule in alerts()}
    assert {name for name, _, found in tried() if not found} == {name for name, _ in fires} - {"Watchdog"}


def test_every_alert_has_an_entry_in_the_runbook_that_says_what_it_means_what_to_look_at_and_what_to_do():
    entries = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)[1:]
    told = {entry.splitlines()[0]: entry for entry in entries}
    assert set(told) == {rule["alert"] for rule in alerts()}
    for name, entry in told.items():
        assert [word for word in ("**Means**", "**Look at**", "**Do**") if word not in entry] == [], name
        severities = {rule["labels"]["severity"] for rule in alerts() if rule["alert"] == name}
        assert {word for word in ("critical", "warning") if f"({word})" in entry} == severities - {"none"}, (
            name
        )


# --- metrics -------------------------------------------------------------------------------------------------------


def unknown(where_expressions):
    """Metrics that nobody has."""
    wanted = {
        re.sub(r"\{.*", "", selector)
        for _, expression in where_expressions
        for selector in selectors(expression)
    }
    return {name for name in wanted if name not in KNOWN and not OTHERS.fullmatch(name)}


def test_every_metric_in_rules_and_panels_is_one_of_ours_or_of_those_we_know():
    assert unknown(expressions()) == set()
    assert len({one for _, text in expressions() for one in selectors(text)}) > 50, "they are found"


@pytest.mark.parametrize("wrong", ["coby_framez_total", "cobi_frames_total", "kafka_consumergroup_lags"])
def test_a_misspelt_metric_is_found(wrong):
    assert unknown([("", f'sum by (exchange) (rate({wrong}{{stage="x"}}[5m])) > 3')]) == {wrong}


def test_selectors_are_names_with_their_matchers():
    text = 'sum by (a, b) (rate(x_total{c="d e", f=~"g|h"}[1m])) / on (a) group_left () y > 0.5'
    text += " or absent(z) unless w offset 5m"
    assert selectors(text) == {'x_total{c="d e", f=~"g|h"}', "y", "z", "w"}


def test_no_metric_has_a_label_that_could_take_any_value():
    words = "exchange symbol slot channel stage topic partition group consumergroup code reason hop method route status"
    allowed = {*words.split(), "database", "place", "result"}
    used = {label.strip(" `") for row in docs.metric_rows() for label in row[2].split(",") if label}
    assert used <= allowed


def test_label_sets_are_there_from_the_start():
    registry = CollectorRegistry()
    made = Metrics(registry)
    made.init_books("x", ["S"])
    for stage in LETTER_CODES:
        made.init_stage(stage)
    for reason in GAP_REASONS:
        labels = {"exchange": "x", "symbol": "S", "reason": reason}
        assert registry.get_sample_value("coby_gaps_total", labels) == 0
    for code in FRAME_CODES:
        assert registry.get_sample_value("coby_rejected_total", {"exchange": "x", "code": code}) == 0
        letters = {"stage": "normalize", "code": code}
        assert registry.get_sample_value("coby_dead_letters_total", letters) == 0
    assert set(made.by_book) == set(COUNTED)
    for name in ("events", "rejected_events", "duplicates", "checksum_failures", "blind_seconds"):
        assert registry.get_sample_value(f"coby_{name}_total", {"exchange": "x", "symbol": "S"}) == 0
    stages = set(LETTER_CODES) & set(HOPS)
    for stage in stages:
        assert registry.get_sample_value("coby_hop_latency_seconds_count", {"hop": stage}) == 0


def test_the_reasons_of_gaps_are_those_of_the_documents():
    page = (ROOT / "docs" / "faults-and-codes.md").read_text()
    blind = page.split("## Why a book is blind")[1].split("## Gaps")[0]
    told = set(re.findall(r"^\| `(\w+)` \|", blind, re.MULTILINE)) | {"time_jump", "retention"}
    assert told == set(GAP_REASONS)


def test_the_codes_of_what_normalize_rejects_are_those_of_its_sources():
    pure = [*Path(ROOT / "COBY").glob("*.py"), *Path(ROOT / "COBY" / "exchanges").glob("*.py")]
    source = "".join(path.read_text() for path in pure)
    made = set(re.findall(r'"((?:frame|event)\.[a-z_]+)"', source)) - {"frame.no_book", "frame.no_trade"}
    assert made <= set(FRAME_CODES)
    assert {code for code in FRAME_CODES if not code.startswith("record.")} <= made


# --- prometheus.yml and grafana ------------------------------------------------------------------------------------


def test_prometheus_looks_at_every_exchange_and_every_program():
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    scaled = set(jobs["coby-scaled"]["dns_sd_configs"][0]["names"])
    assert scaled == {"streams"} | {f"producer-{name}" for name in names()}
    compose = yaml.safe_load((ROOT / "docker-compose.kafka.yml").read_text())["services"]
    own = {name for name, service in compose.items() if "9100" in service.get("expose", [])}
    once = {name for name, service in compose.items() if service.get("restart") == "no"}
    single = {target.split(":")[0] for target in jobs["coby"]["static_configs"][0]["targets"]}
    assert own - once <= scaled | single
    interval = int(config["global"]["scrape_interval"].removesuffix("s"))
    stuck = next(rule for rule in alerts() if rule["alert"] == "ConsumerStuck")
    window, look = 30, 2
    slowest = window + look + 2 * interval + int(stuck["for"].removesuffix("s")) + interval
    assert slowest < Settings().watchdog_seconds, "it fires before the watchdog restarts what is stuck"


def test_the_dashboards_are_what_their_program_writes():
    assert {path.stem for path in BOARDS} == {board.name for board in DASHBOARDS}
    for board in DASHBOARDS:
        path = dashboards.FOLDER / f"{board.name}.json"
        assert path.read_text() == dashboards.text(board), "run: python -m deploy.monitoring.dashboards"


def test_every_panel_asks_the_source_that_is_provisioned_and_lies_beside_the_others():
    provisioned = yaml.safe_load((FOLDER / "grafana/provisioning/datasources/coby.yml").read_text())
    uids = {source["uid"] for source in provisioned["datasources"]}
    for path in BOARDS:
        cells = set()
        for panel in json.loads(path.read_text())["panels"]:
            assert panel["datasource"]["uid"] in uids
            assert {target["datasource"]["uid"] for target in panel["targets"]} <= uids
            place = panel["gridPos"]
            own = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert place["x"] + place["w"] <= 24
            assert not own & cells
            cells |= own
