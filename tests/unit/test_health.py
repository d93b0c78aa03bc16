"""The health server, over real sockets; and the metrics it serves."""

import json
import os
import socket
import urllib.error
import urllib.request
from http.client import HTTPResponse

import psutil
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from COBY.runtime.health import HealthServer, serve_health
from COBY.runtime.metrics import Metrics, metrics
from COBY.utils.exceptions import ServiceError


def get(port: int, path: str, accept: str = "") -> tuple[int, str, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept})
    try:
        response: HTTPResponse = urllib.request.urlopen(request, timeout=60)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()
    with response:
        return response.status, response.headers["Content-Type"], response.read().decode()


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def registry():
    return CollectorRegistry()


def test_a_live_process_says_so_whatever_its_dependencies(registry):
    with HealthServer(0, {"kafka": lambda: (False, "down")}, registry=registry) as server:
        assert get(server.port, "/health/live") == (200, "application/json", '{"live": true}')


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/health?verbose=1"])
def test_a_ready_process_lists_its_checks(registry, path):
    with HealthServer(0, {"kafka": lambda: (True, "3 brokers")}, registry=registry) as server:
        status, _, body = get(server.port, path)
    assert status == 200
    assert json.loads(body) == {"ready": True, "checks": [{"name": "kafka", "ok": True, "text": "3 brokers"}]}


def test_one_failed_check_makes_503_with_the_list(registry):
    def broken() -> tuple[bool, str]:
        raise ConnectionError("postgresql://user:hunter22@host refused")

    checks = {"kafka": lambda: (True, "fine"), "database": broken, "redis": lambda: (False, "no answer")}
    with HealthServer(0, checks, registry=registry) as server:
        status, _, body = get(server.port, "/health/ready")
    assert status == 503
    assert json.loads(body) == {
        "ready": False,
        "checks": [
            {"name": "kafka", "ok": True, "text": "fine"},
            {
                "name": "database",
                "ok": False,
                "text": "ConnectionError: postgresql://user:***@host refused",
            },
            {"name": "redis", "ok": False, "text": "no answer"},
        ],
    }


def test_checks_are_asked_anew_each_time(registry):
    answers = [(False, "starting"), (True, "started")]
    with HealthServer(0, {"kafka": lambda: answers.pop(0)}, registry=registry) as server:
        assert [get(server.port, "/health")[0] for _ in range(2)] == [503, 200]


def test_an_unknown_path_is_404_with_those_that_exist(registry):
    with HealthServer(0, registry=registry) as server:
        status, _, body = get(server.port, "/")
    assert status == 404
    assert "/metrics" in json.loads(body)["allowed"]


def test_an_occupied_port_is_one_clear_error(registry):
    with socket.create_server(("0.0.0.0", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ServiceError) as caught:
            HealthServer(port, registry=registry)
    assert (caught.value.code, caught.value.where) == ("runtime.port_occupied", "METRICS_PORT")
    assert str(port) in caught.value.message


def test_an_address_that_is_not_ours_is_another_error(registry):
    with pytest.raises(ServiceError, match=r"runtime\.port_refused"):
        HealthServer(0, registry=registry, host="192.0.2.1")  # RFC 5737: nobody's


def test_port_zero_as_a_setting_means_off(registry):
    assert serve_health(0, registry=registry) is None


def test_a_closed_server_frees_its_port(registry):
    server = HealthServer(0, registry=registry)
    server.close()
    server.close()
    with serve_health(server.port, registry=registry) as again:
        assert get(again.port, "/health/live")[0] == 200


def test_a_silent_client_holds_nobody_up(registry):
    with HealthServer(0, registry=registry) as server, socket.create_connection(("127.0.0.1", server.port)):
        assert get(server.port, "/health/live")[0] == 200


def test_metrics_are_served_with_names_units_and_labels(registry):
    made = Metrics(registry)
    made.init_exchange("binance", ["BTCUSDT"])
    made.init_books("binance", ["BTCUSDT"])
    made.init_stage("normalize", ["coby.trade.v1"])
    made.frames.labels("binance").inc(3)
    made.gaps.labels("binance", "BTCUSDT", "sequence_gap").inc()
    made.batch_seconds.labels("normalize").observe(0.004)
    made.lag.labels("coby", "coby.raw.binance.v1", "0").set(7)
    made.show_frame_age("binance", lambda: 1.5)
    with HealthServer(0, registry=registry) as server:
        status, content_type, text = get(server.port, "/metrics")
    assert status == 200
    assert content_type.startswith("text/plain")
    seen = samples(text)
    binance = ("exchange", "binance")
    btc = ("symbol", "BTCUSDT")
    assert seen["coby_frames_total", (binance,)] == 3
    assert seen["coby_dropped_frames_total", (binance,)] == 0
    assert seen["coby_book_state", (binance, btc)] == 0
    assert seen["coby_gaps_total", (binance, ("reason", "sequence_gap"), btc)] == 1
    assert seen["coby_outputs_total", (("stage", "normalize"), ("topic", "coby.trade.v1"))] == 0
    assert seen["coby_batch_seconds_bucket", (("le", "0.005"), ("stage", "normalize"))] == 1
    assert seen["coby_batch_seconds_bucket", (("le", "0.002"), ("stage", "normalize"))] == 0
    assert seen["coby_last_frame_age_seconds", (binance,)] == 1.5
    lag_labels = (("group", "coby"), ("partition", "0"), ("topic", "coby.raw.binance.v1"))
    assert seen["coby_lag_records", lag_labels] == 7
    resident = psutil.Process(os.getpid()).memory_info().rss
    assert seen["coby_resident_memory_bytes", ()] == pytest.approx(resident, rel=0.5)
    assert all(name.startswith("coby_") for name, _ in seen)


def test_openmetrics_is_served_where_asked_for(registry):
    Metrics(registry)
    with HealthServer(0, registry=registry) as server:
        _, content_type, text = get(server.port, "/metrics", "application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_a_process_has_one_set_of_metrics():
    assert metrics() is metrics()
    with pytest.raises(ValueError, match="Duplicated"):
        Metrics(metrics().registry)
