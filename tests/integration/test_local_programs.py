"""Our programs under the local supervisor: restarted, counted, ended. Small ones stand in for ours."""

import signal
import socket
import sys
from pathlib import Path

import pytest

from deploy.local import LocalError, Programs
from deploy.local.ports import free_port
from deploy.local.process import Identity, mark_of, marked, spawn, sweep
from deploy.local.programs import Program, on_free_ports, pipeline, simulated, simulator
from tests.servers import eventually

SLEEP = "import time; time.sleep(1000)"
SPEAK = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("drained", flush=True), sys.exit(0)))
print(os.environ["OWN"], os.environ["OTHER"], os.environ["SHARED"], os.environ["METRICS_PORT"], flush=True)
time.sleep(1000)
"""
SERVE = """
import http.server, os, pathlib
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if pathlib.Path(os.environ["FLAG"]).exists() else 503)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(os.environ["METRICS_PORT"])), Ready).serve_forever()
"""


@pytest.fixture
def folder(tmp_path: Path):
    """A folder for programs; whatever a failing test leaves in it is ended."""
    yield tmp_path / "local"
    sweep(mark_of(tmp_path / "local"))


@pytest.fixture
def program(tmp_path: Path):
    """Makes a Program of a piece of Python."""

    def make(name: str, code: str, **more) -> Program:
        path = tmp_path / f"{name}.py"
        path.write_text(code)
        return Program(name, (sys.executable, str(path)), **more)

    return make


def test_a_killed_program_is_restarted_and_counted_and_all_end_gracefully(folder: Path, program) -> None:
    quiet = program("quiet", SLEEP)
    said = program("said", SPEAK, env={"OWN": '100% "mine"', "OTHER": "it's"})
    with Programs(folder, [quiet, said], env={"SHARED": "all"}) as programs:
        programs.wait_ready()
        before = programs.status()
        assert {state.restarts for state in before.values()} == {0}
        assert programs.kill("quiet") == before["quiet"].pid
        after = eventually(lambda: (now := programs.status())["quiet"].restarts == 1 and now)
        assert after["quiet"].pid != before["quiet"].pid
        assert after["quiet"].last_exit == "terminated by SIGKILL"
        assert after["said"].pid == before["said"].pid
        programs.stop("quiet")
        assert programs.status()["quiet"].pid is None
        programs.start("quiet")
        assert programs.status()["quiet"].restarts == 2
        with pytest.raises(LocalError, match="program_unknown: no program 'x'; there are: quiet, said"):
            programs.stop("x")
        eventually(lambda: programs.log("said").read_text())  # from now on it hears a SIGTERM
    assert programs.log("said").read_text() == '100% "mine" it\'s all 0\ndrained\n'
    assert programs.status() == {}
    assert marked(programs.mark) == []


def test_programs_end_with_their_supervisor_even_if_it_is_killed(folder: Path, program) -> None:
    with Programs(folder, [program("one", SLEEP)]) as programs:
        programs.wait_ready()
        Identity.load(programs.note).send(signal.SIGKILL)
        eventually(lambda: not marked(programs.mark))
        with pytest.raises(LocalError, match="no_programs"):
            programs.stop("one")


def test_wait_ready_asks_the_program_itself(folder: Path, program, tmp_path: Path) -> None:
    flag = tmp_path / "flag"
    port = free_port()
    with Programs(folder, [program("one", SERVE, metrics_port=port, env={"FLAG": str(flag)})]) as programs:
        with pytest.raises(LocalError, match="server_timeout: not ready within 4 s: one"):
            programs.wait_ready(seconds=4)
        flag.touch()
        programs.wait_ready(seconds=60)
        assert programs.status()["one"].metrics_port == port


def test_a_program_that_cannot_start_is_told_with_its_own_words(folder: Path, program) -> None:
    with Programs(folder, [program("one", "raise SystemExit('error config.invalid: DB_PORT')")]) as programs:
        eventually(lambda: programs.status()["one"].last_exit)
        with pytest.raises(LocalError, match="server_timeout") as caught:
            programs.wait_ready(seconds=2)
        assert "error config.invalid: DB_PORT" in caught.value.detail
        assert programs.status()["one"].last_exit == "exit status 1"


def test_an_occupied_metrics_port_stops_the_start(folder: Path, program) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        one = program("one", SLEEP, metrics_port=taken.getsockname()[1])
        with pytest.raises(LocalError, match="port_in_use: one needs"):
            Programs(folder, [one]).start()
    assert marked(mark_of(folder)) == []


def test_stopping_programs_leaves_servers_of_the_same_folder_alone(folder: Path, program) -> None:
    bystander = spawn((sys.executable, "-c", SLEEP), folder / "log", mark=mark_of(folder))
    Programs(folder, [program("one", SLEEP)]).start().stop()
    assert bystander.alive
    assert [one.pid for one in sweep(mark_of(folder))] == [bystander.pid]
    assert not bystander.alive


def test_a_command_the_supervisor_could_not_hold_is_refused_and_not_cut_short(folder: Path) -> None:
    with pytest.raises(LocalError, match="setting_invalid"):
        Programs(folder, [Program("one", ("sh", "-c", "exit 0 # or not"))]).start()
    with pytest.raises(LocalError, match="setting_invalid"):
        Programs(folder, [Program("one", ("true",), env={"A": "two\nlines"})]).start()


def test_the_table_has_one_producer_an_exchange_and_no_port_twice() -> None:
    table = pipeline(["aa", "bb"])
    names = [one.name for one in table]
    assert sorted(names) == [
        "clock", "producer-aa", "producer-bb", "replay", "sink-redis", "sink-timescale", "streams",
    ]  # fmt: skip
    for programs in (table, on_free_ports(table)):
        ports = [one.metrics_port for one in programs]
        assert len(set(ports)) == len(ports)
        assert 0 not in ports
    command = simulator(["aa", "bb"], port=1).command
    assert " ".join(command[1:]) == "-m simulator --port 1 --exchange aa --exchange bb"
    urls = {"AA_WS_URL": "ws://127.0.0.1:1/aa", "AA_REST_URL": "http://127.0.0.1:1/aa"}
    assert simulated(["aa"], 1) == urls
