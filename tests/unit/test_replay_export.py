"""Exports are whole or not there, replace nothing unasked, and say what they hold and what is missing in it."""

import json
import os
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from COBY.codec import encode
from COBY.records import Gap, TradeEvent
from COBY.runtime.cli import CommandGroup
from COBY.runtime.files import writing_bytes, writing_folder
from COBY.utils.exceptions import BrokerError, CobyError, ServiceError
from replay.export import PARQUET, RECORDING, Progress, export, format_of
from replay.export_cli import FILE_HELP, ProgressLine, export_options, run_export
from replay.items import Item

TRADE = TradeEvent("BTCUSDT", "okx", 1_500_000, 1_600_000, 6_183_763_000_000, 1, "sell", "t1", False, True)


def items(count=3):
    for number in range(count):
        yield Item(1_600 + number, "coby.trade.v1", b"BTCUSDT", encode(TRADE), [], number)


def gap(exchange, symbol, from_time, until_time, reason="checksum"):
    record = Gap(symbol, exchange, from_time + 1_000, from_time, until_time, reason, None, "")
    return Item(from_time // 1000, "coby.gap.v1", symbol.encode(), encode(record), [], 0)


def broken(count=3):
    yield from items(count)
    raise BrokerError("kafka.silent", "nothing came")


class TestFiles:
    @pytest.mark.parametrize(("kind", "name"), [(RECORDING, "x.jsonl"), (PARQUET, "x.parquet")])
    def test_while_it_is_written_and_when_that_breaks_off_nothing_bears_the_name(self, tmp_path, kind, name):
        seen = []

        def watched():
            for item in items():
                seen.append((tmp_path / name).exists())
                yield item
            raise BrokerError("kafka.silent", "nothing came")

        with pytest.raises(BrokerError):
            export(watched(), str(tmp_path / name), kind)
        assert (seen, list(tmp_path.iterdir())) == ([False] * 3, [])

    @pytest.mark.parametrize(("kind", "name"), [(RECORDING, "x.jsonl"), (PARQUET, "x.parquet")])
    def test_what_is_there_stays_unless_forced_and_until_the_new_one_is_whole(self, tmp_path, kind, name):
        place = tmp_path / name

        def content():
            return place.read_bytes() if kind == RECORDING else (place / "trade.parquet").read_bytes()

        export(items(1), str(place), kind)
        first = content()
        with pytest.raises(ServiceError, match=r"file\.exists"):
            export(items(2), str(place), kind)
        with pytest.raises(BrokerError):
            export(broken(), str(place), kind, force=True)
        assert content() == first
        assert export(items(2), str(place), kind, force=True).records == 2
        assert content() != first
        assert list(tmp_path.iterdir()) == [place]

    def test_a_forced_folder_leaves_no_file_of_the_former_one(self, tmp_path):
        place = str(tmp_path / "x.parquet")
        export([*items(1), gap("okx", "BTCUSDT", 5_000, None)], place, PARQUET)
        export(items(1), place, PARQUET, force=True)
        assert os.listdir(place) == ["trade.parquet"]

    def test_a_folder_of_other_things_is_not_replaced_even_by_force(self, tmp_path):
        (tmp_path / "x.parquet").mkdir()
        (tmp_path / "x.parquet" / "thesis.txt").write_text("mine")
        with pytest.raises(ServiceError, match=r"file\.exists"):
            export(items(), str(tmp_path / "x.parquet"), PARQUET, force=True)
        (tmp_path / "y.parquet").write_text("a file")
        with pytest.raises(ServiceError, match=r"file\.exists"):
            export(items(), str(tmp_path / "y.parquet"), PARQUET, force=True)

    def test_a_name_taken_meanwhile_is_not_taken_away(self, tmp_path):
        place = tmp_path / "x"
        with pytest.raises(ServiceError, match=r"file\.exists"), writing_bytes(str(place)):
            place.write_text("another program's")
        assert place.read_text() == "another program's"
        with pytest.raises(ServiceError, match=r"file\.exists"), writing_folder(f"{place}2", ".parquet"):
            (tmp_path / "x2").mkdir()
        assert sorted(os.listdir(tmp_path)) == ["x", "x2"]

    def test_a_link_stays_and_leads_to_the_new_file(self, tmp_path):
        (tmp_path / "real").write_text("old")
        (tmp_path / "link").symlink_to("real")
        with writing_bytes(str(tmp_path / "link"), force=True) as file:
            file.write(b"new")
        assert ((tmp_path / "link").is_symlink(), (tmp_path / "real").read_text()) == (True, "new")

    def test_a_device_is_written_to_and_not_replaced(self):
        assert export(items(), "/dev/null", RECORDING, force=True).records == 3
        with pytest.raises(ServiceError, match=r"file\.unwritable: No space left"):
            export(items(), "/dev/full", RECORDING, force=True)
        assert not os.path.isfile("/dev/null")

    @pytest.mark.parametrize(("kind", "name"), [(RECORDING, "x.jsonl"), (PARQUET, "x.parquet")])
    def test_a_folder_that_is_not_there_is_an_error(self, tmp_path, kind, name):
        with pytest.raises(ServiceError, match=r"file\.unwritable"):
            export(items(), str(tmp_path / "no" / name), kind)

    def test_a_time_run_out_at_the_source_is_not_blamed_on_the_file(self, tmp_path):
        def late():
            yield from items()
            raise TimeoutError

        with pytest.raises(TimeoutError):
            export(late(), str(tmp_path / "x.jsonl"), RECORDING)


class TestFormats:
    @pytest.mark.parametrize(
        ("path", "chosen", "meant"),
        [
            ("a.jsonl", None, RECORDING),
            ("a.jsonl.gz", None, RECORDING),
            ("-", None, RECORDING),
            ("a.parquet", None, PARQUET),
            ("a", "parquet", PARQUET),
            ("a.txt", "recording", RECORDING),
        ],
    )
    def test_the_name_or_the_option_says_what_it_is(self, path, chosen, meant):
        assert format_of(path, chosen) == meant

    @pytest.mark.parametrize(("path", "chosen"), [("a.csv", None), ("a", None), ("-", PARQUET)])
    def test_what_cannot_be_known_or_done_is_an_error(self, path, chosen):
        with pytest.raises(CobyError, match=r"replay\.format"):
            format_of(path, chosen)


@click.group(cls=CommandGroup)
def group():
    """A group as `coby` is."""


@group.command("export", epilog=FILE_HELP)
@export_options
def command(file, file_format, force):
    """Write."""
    gaps = [
        gap("okx", "BTCUSDT", 5_000, None),
        gap("okx", "BTCUSDT", 5_000, 9_000),
        gap("okx", "ETHUSDT", 1, None),
    ]
    run_export([*items(), *gaps, Item(8, "t", None, b"?", [], 0)], file, file_format, force)


class TestCommand:
    def test_it_ends_with_counts_and_gaps_each_hole_once(self, tmp_path):
        place = str(tmp_path / "x.jsonl")
        run = CliRunner().invoke(group, ["export", place])
        assert (run.exit_code, run.stdout) == (0, "")
        assert run.stderr.splitlines() == [
            "7 records (gap 3, trade 3) of stream time 1970-01-01T00:00:00.000000Z to "
            f"1970-01-01T00:00:01.602000Z written to {place}",
            "the range has 2 gaps: okx BTCUSDT 1, okx ETHUSDT 1",
            "1 record of no schema of ours, written as bytes",
        ]

    def test_parquet_says_what_it_leaves_out(self, tmp_path):
        run = CliRunner().invoke(group, ["export", str(tmp_path / "x.parquet")])
        assert run.stderr.splitlines()[-1] == (
            "1 record left out: no columns for what is in them (a recording has them)"
        )
        assert run.stderr.startswith("6 records (gap 3, trade 3) of")

    def test_standard_output_holds_lines_alone(self):
        run = CliRunner().invoke(group, ["export", "-"])
        assert [json.loads(line)["type"] for line in run.stdout.splitlines()] == [
            *["trade"] * 3, *["gap"] * 3, None,
        ]  # fmt: skip

    def test_errors_are_a_line_with_a_code(self, tmp_path):
        run = CliRunner().invoke(group, ["export", str(tmp_path / "x.csv")])
        assert (run.exit_code, run.stderr) == (
            2,
            f"error replay.format: what is {tmp_path}/x.csv to be? "
            "(allowed: .jsonl, .jsonl.gz, .parquet, or --format)\n",
        )

    def test_help_tells_where_parquet_goes(self):
        run = CliRunner().invoke(group, ["export", "--help"])
        assert "FILE/trade.parquet" in run.stdout
        assert "[recording|parquet]" in run.stdout

    def test_an_empty_export_says_so(self, tmp_path, capsys):
        run_export([], str(tmp_path / "x.jsonl"), None, False)
        assert capsys.readouterr().err == f"0 records written to {tmp_path / 'x.jsonl'}\n"


def test_progress_shows_records_position_and_rate_now_and_then(capsys):
    now = [100.0]
    line = ProgressLine(lambda: now[0])
    for seconds, count in ((0.1, 200), (0.5, 1_000), (0.6, 1_200), (2.0, 5_000)):
        now[0] = 100.0 + seconds
        line.show(Progress(count, 1_700_000_000_000))
    line.clear()
    first, second, cleared, end = capsys.readouterr().err.split("\r")[1:]
    assert first == "1,000 records, at 2023-11-14T22:13:20.000000Z, 2,000 records/s"
    assert second == "5,000 records, at 2023-11-14T22:13:20.000000Z, 2,500 records/s"
    assert (cleared.strip(), end) == ("", "")


def test_export_tells_how_far_it_is(tmp_path):
    told = []
    export(items(450), str(tmp_path / "x.jsonl"), RECORDING, tell=told.append)
    assert told == [Progress(200, 1_799), Progress(400, 1_999)]


def test_commands_that_write_no_parquet_do_not_load_it():
    program = "import sys, replay.export_cli, replay.cli; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
