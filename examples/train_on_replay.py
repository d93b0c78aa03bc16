"""Train a small network on a replayed range: it is to say how far the mid price will have moved a few seconds on.

    pip install 'coby[client]'
    python train_on_replay.py 2026-01-02T03:00:00Z 2026-01-02T04:00:00Z --api http://localhost:8080

Without --api it reads Kafka (KAFKA_BOOTSTRAP_SERVERS); a replay worker has to run either way. What goes in is the
heatmap around the mid price and the imbalances at a tick; a cell that nobody knows is told apart from an empty one. The
network learns from the first three quarters and is judged by the last one: each part is a cut of its own, so that
nothing received after the first ends can have shaped it. The same range gives the same network.
"""

from __future__ import annotations

import asyncio
import os
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from COBY.orchestrator import DataAdapter, OrchestratorInterface, TrainingSet
from COBY.runtime.guard import guarded
from COBY.utils.intervals import from_us, parse_time

LEAST_ROWS = 20
Arrays = dict[str, np.ndarray]


class Examples(NamedTuple):
    """What a network is shown: inputs [row, feature], outcomes [row] in basis points."""

    inputs: np.ndarray
    outcomes: np.ndarray


async def replayed(
    source: OrchestratorInterface, adapter: DataAdapter, start: datetime, end: datetime
) -> tuple[TrainingSet, TrainingSet]:
    """The range as fast as can be, as two sets: to learn from, and to judge by."""
    async with source:
        await adapter.collect(source.history(start, end, channels=adapter.CHANNELS, symbols=adapter.symbol))
    border = start + (end - start) * 3 / 4
    return adapter.cut(start, border), adapter.cut(border, end)


def examples(rows: TrainingSet, ahead: int) -> Examples:
    """The rows whose mid price is known at the tick and ``ahead`` ticks later."""
    now, later = rows.mid[:-ahead], rows.mid[ahead:]
    usable = np.isfinite(now) & np.isfinite(later)
    count, cells = len(now), 4 * rows.depth
    features = (
        np.log1p(np.nan_to_num(rows.volumes[:count])).reshape(count, cells),
        rows.known[:count].reshape(count, cells),
        np.nan_to_num(rows.imbalances[:count]),
        np.isfinite(rows.imbalances[:count]),
    )
    inputs = np.concatenate(features, axis=1, dtype=float)
    return Examples(inputs[usable], ((later - now) / now * 10_000)[usable])


def trained(shown: Examples, rounds: int, hidden: int = 16, rate: float = 0.01) -> tuple[Arrays, list[float]]:
    """A network of one hidden layer by gradient descent with Adam; (its arrays, the error of each round)."""
    random = np.random.default_rng(0)
    network = {
        "mean": shown.inputs.mean(0),
        "scale": np.where(shown.inputs.std(0) > 0, shown.inputs.std(0), 1.0),
        "unit": np.array(shown.outcomes.std() or 1.0),
    }
    inputs, wanted = (shown.inputs - network["mean"]) / network["scale"], shown.outcomes / network["unit"]
    width = inputs.shape[1]
    learned = {
        "first": random.normal(0, width**-0.5, (width, hidden)),
        "first_bias": np.zeros(hidden),
        "second": random.normal(0, hidden**-0.5, hidden),
        "second_bias": np.zeros(()),
    }
    slopes = {name: (np.zeros_like(one), np.zeros_like(one)) for name, one in learned.items()}
    errors = []
    for number in range(1, rounds + 1):
        inner = np.tanh(inputs @ learned["first"] + learned["first_bias"])
        wrong = inner @ learned["second"] + learned["second_bias"] - wanted
        errors.append(float(np.sqrt(np.mean(wrong**2)) * network["unit"]))
        outer = 2 * wrong / len(wrong)
        back = np.outer(outer, learned["second"]) * (1 - inner**2)
        gradient = {"first": inputs.T @ back, "first_bias": back.sum(0)}
        gradient |= {"second": inner.T @ outer, "second_bias": outer.sum()}
        for name, slope in gradient.items():
            first, second = slopes[name]
            first += 0.1 * (slope - first)
            second += 0.001 * (slope**2 - second)
            step = first / (1 - 0.9**number) / (np.sqrt(second / (1 - 0.999**number)) + 1e-8)
            learned[name] = learned[name] - rate * step
    return network | learned, errors


def predicted(network: Arrays, inputs: np.ndarray) -> np.ndarray:
    """What a network says of rows, in basis points."""
    inner = np.tanh((inputs - network["mean"]) / network["scale"] @ network["first"] + network["first_bias"])
    return (inner @ network["second"] + network["second_bias"]) * network["unit"]


def error(said: np.ndarray, outcomes: np.ndarray) -> float:
    """Root of the mean square, in basis points."""
    return float(np.sqrt(np.mean((said - outcomes) ** 2)))


@click.command()
@click.argument("start", type=parse_time)
@click.argument("end", type=parse_time)
@click.option("--symbol", default="BTCUSDT", show_default=True)
@click.option(
    "--step", default=0.5, show_default=True, help="Seconds between rows: a multiple of UPDATE_FREQUENCY."
)
@click.option("--ahead", default=4, show_default=True, help="How many rows ahead it is to look.")
@click.option("--depth", default=25, show_default=True, help="Price buckets on each side of the mid.")
@click.option("--rounds", default=300, show_default=True)
@click.option("--api", help="The API's address; its key in COBY_API_KEY.")
@click.option("--out", type=Path, default="network.npz", show_default=True, help="Where the network goes.")
def main(
    start: int,
    end: int,
    symbol: str,
    step: float,
    ahead: int,
    depth: int,
    rounds: int,
    api: str | None,
    out: Path,
) -> None:
    """Train on [START, END) of what was received."""
    interface = OrchestratorInterface
    source = interface.from_api(api, os.environ.get("COBY_API_KEY")) if api else interface.from_kafka()
    adapter = DataAdapter(symbol, step_seconds=step, depth=depth)
    sets = asyncio.run(replayed(source, adapter, from_us(start), from_us(end)))
    learn, judge = (examples(rows, ahead) for rows in sets)
    for name, rows, shown in zip(("learn", "judge"), sets, (learn, judge), strict=True):
        holes = f"{len(rows.gaps)} gaps, {len(rows.missed)} missed"
        cells = f"{rows.known.mean():.1%} of its cells known"
        click.echo(f"to {name} from: {len(shown.outcomes)} of {len(rows.times)} rows, {cells}, {holes}")
        if len(shown.outcomes) < LEAST_ROWS:
            raise click.ClickException(f"fewer than {LEAST_ROWS} rows whose outcome is known")
    network, errors = trained(learn, rounds)
    click.echo(f"while learning: {errors[0]:.4f} -> {errors[-1]:.4f} bp")
    still, said = np.zeros_like(judge.outcomes), predicted(network, judge.inputs)
    told = f"{error(said, judge.outcomes):.4f} bp, by 'it stays': {error(still, judge.outcomes):.4f} bp"
    click.echo(f"{ahead * step:g} s ahead: {told}")
    np.savez(out, **network)
    click.echo(f"the network is in {out}")


if __name__ == "__main__":
    with guarded():
        main()
