"""``make bench``: the ratios, side by side, into bench/results.json."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import click

from deploy.local.stack import ROOT
from tests.bench import core, replay, stage
from tests.frames import frames_folder
from tests.servers import servers

RESULTS = ROOT / "bench" / "results.json"
RECORDING = Path("binance") / "hftbacktest_btcusdt_651s.jsonl.gz"
GOALS = {"core_vs_parse": 0.35, "stage_vs_bare": 0.4, "replay_vs_copy": 0.5}


@click.command()
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Best of so many.")
def main(rounds: int) -> None:
    """Measure both sides of each ratio in one run on this machine.

    \b
    Example:
      python -m tests.bench --rounds 3
    """
    frames = frames_folder()
    if frames is None:
        sys.exit(
            "error bench.no_frames: no recorded frames beside the repository; COBY_FRAMES names their folder"
        )
    recording = frames / RECORDING
    results = {"core_vs_parse": core.measure(recording, max(rounds, 5))}
    with tempfile.TemporaryDirectory(prefix="coby-bench-") as folder, servers(Path(folder)).kafka() as kafka:
        results["stage_vs_bare"] = stage.measure(recording, kafka.env, rounds)
        results["replay_vs_copy"] = replay.measure(recording, kafka.env, rounds)
    for name, figures in results.items():
        sides = ", ".join(f"{side} {value:,.0f}/s" for side, value in figures.items() if side != "ratio")
        click.echo(f"{name:15} {figures['ratio']:.2f} (goal {GOALS[name]}): {sides}")
    RESULTS.parent.mkdir(exist_ok=True)
    ratios = {name: round(figures["ratio"], 3) for name, figures in results.items()}
    RESULTS.write_text(json.dumps({"ratios": ratios, "figures": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
