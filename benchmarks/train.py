"""Stage `train`'s input and fit against `keras.Model.fit` on the same arrays in memory.

    python benchmarks/train.py                          every model, on made-up rows like flights
    python benchmarks/train.py --rows 20000 --rounds 1 --models linear
    python benchmarks/train.py --write                  also writes docs/benchmarks.md

Every side trains the same core with the same optimiser and batch size, in one process, in turn.
The first epoch, which traces the graph, is left out; of the others the median counts. Sides:

- `stage`: the endless stream and the steps per call of configs/train/default.yaml;
- `stage, one step per call`: the same stream, a call into TensorFlow for every step;
- `fit`: `model.fit(x, y)` as people write it (Keras compiles with XLA where it can);
- `fit, no XLA`: the same with `jit_compile=False`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from document import table, write_section  # noqa: E402

from pipeline.core import runtime  # noqa: E402

runtime.quiet_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import yaml  # noqa: E402

from pipeline.core.encoding import Encoded  # noqa: E402
from pipeline.core.features import (  # noqa: E402
    CategoricalFeature,
    FeatureSet,
    Label,
    NumericFeature,
)
from pipeline.train import STAGE, models  # noqa: E402
from pipeline.train.config import TrainStageConfig  # noqa: E402
from pipeline.train.core import build_core  # noqa: E402
from pipeline.train.examples import Examples  # noqa: E402
from pipeline.train.fitting import trainer_of  # noqa: E402
from pipeline.train.input import InMemory, endless  # noqa: E402
from pipeline.train.plan import Plan, plan  # noqa: E402

SMALL = "mlp-32-16"
NUMBERS = 30
WORDS = {"carrier": 16, "origin": 3, "dest": 100, "maker": 15, "engine": 5, "day": 7, "pair": 90}
"""Categorical columns and their vocabularies, about as flights has them."""


def made_up(rows: int) -> tuple[FeatureSet, Examples]:
    """Features and rows of the shape of flights; what they say does not matter for speed."""
    rng = np.random.default_rng(0)
    numbers = [NumericFeature(name=f"n{i}", column=f"n{i}") for i in range(NUMBERS)]
    words = [
        CategoricalFeature(name=name, column=name, vocabulary=tuple(f"{name}{i}" for i in range(n)))
        for name, n in WORDS.items()
    ]
    features = FeatureSet(
        columns=(),
        label=Label(column="y", task="binary", classes=("no", "yes")),
        features=(*numbers, *words),
        rows={"train": rows},
    )
    dense = rng.normal(size=(rows, NUMBERS)).astype(np.float32)
    indices = rng.integers(0, list(WORDS.values()), (rows, len(WORDS))).astype(np.int32)
    labels = (rng.random((rows, 1)) < 0.2).astype(np.float32)
    return features, Examples(Encoded(dense, indices), labels)


def settings(model: str) -> TrainStageConfig:
    """The shipped defaults with this model; `SMALL` is `mlp` with narrower layers."""
    if model == SMALL:
        return settings_of({**section("model", "mlp"), "layers": [32, 16]})
    return settings_of(section("model", model))


def settings_of(model: dict[str, Any]) -> TrainStageConfig:
    """The shipped defaults with this section `model`, of whatever builder."""
    chosen = {"train": "default", "strategy": "one_device", "launcher": "local"}
    sections = {name: section(name, choice) for name, choice in chosen.items()}
    if "_target_" in model:
        sections["train"]["allowed_targets"] = [model["name"]]
    config: TrainStageConfig = STAGE.configure({**sections, "model": model})
    return config


def section(group: str, choice: str) -> dict[str, Any]:
    """A file of configs/."""
    text = (ROOT / "configs" / group / f"{choice}.yaml").read_text(encoding="utf-8")
    values: dict[str, Any] = yaml.safe_load(text)
    return values


class Clock(keras.callbacks.Callback):
    """Notes wall and CPU time at the start of training and after each epoch."""

    def __init__(self) -> None:
        """Starts with no notes."""
        super().__init__()
        self.notes: list[tuple[float, float]] = []

    def on_train_begin(self, logs: Any = None) -> None:
        """The first note."""
        del logs
        self.notes.append((time.perf_counter(), time.process_time()))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """A further note."""
        del epoch
        self.on_train_begin(logs)

    def medians(self) -> tuple[float, float]:
        """Wall and CPU seconds of the median epoch after the first."""
        wall, cpu = np.median(np.diff(np.array(self.notes), axis=0)[1:], axis=0)
        return float(wall), float(cpu)


def stage_side(config: TrainStageConfig, features: FeatureSet, rows: Examples, cut: Plan) -> Clock:
    """What `fitting.fit` does, without validation and publishing."""
    clock = Clock()
    trainer = trainer_of(build_core(config, features), config, features, cut)
    stream = endless(InMemory(rows), cut.batch_rows, config.train.seed)
    trainer.fit(
        stream,
        steps_per_epoch=cut.steps_per_epoch,
        epochs=4,
        callbacks=[clock],
        shuffle=False,
        verbose=0,
    )
    return clock


def fit_side(
    config: TrainStageConfig, features: FeatureSet, rows: Examples, cut: Plan, *, xla: bool
) -> Clock:
    """`model.fit` on the arrays, as it comes."""
    clock = Clock()
    core = build_core(config, features)
    trainer = trainer_of(core, config, features, cut)
    plain = keras.Model(core.input, core.output)
    plain.compile(
        optimizer=trainer.optimizer, loss=trainer.loss, jit_compile="auto" if xla else False
    )
    plain.fit(*rows.arrays(), batch_size=cut.batch_rows, epochs=4, callbacks=[clock], verbose=0)
    return clock


def compare(model: str, rows: int, rounds: int) -> dict[str, tuple[float, float]]:
    """Examples per second of wall time and of CPU time of every side; median over the rounds."""
    config = settings(model)
    features, data = made_up(rows)
    cut = plan(rows, config.train.global_batch_size, config.train.steps_per_execution)
    single = replace(cut, steps_per_call=1, calls_per_epoch=cut.steps_per_epoch)
    seen = cut.steps_per_epoch * cut.batch_rows
    sides: dict[str, tuple[Callable[[], Clock], int]] = {
        "stage": (lambda: stage_side(config, features, data, cut), seen),
        "stage, one step per call": (lambda: stage_side(config, features, data, single), seen),
        "fit": (lambda: fit_side(config, features, data, cut, xla=True), rows),
        "fit, no XLA": (lambda: fit_side(config, features, data, cut, xla=False), rows),
    }
    found: dict[str, list[list[float]]] = {name: [] for name in sides}
    for number in range(rounds):
        for name, (side, examples) in sides.items():
            with runtime.session(seed=7):
                found[name].append([examples / seconds for seconds in side().medians()])
            wall, cpu = found[name][-1]
            print(f"{model} round {number}: {name}: {wall:,.0f}/s, {cpu:,.0f} per CPU second")
    medians = {name: np.median(values, axis=0) for name, values in found.items()}
    return {name: (float(wall), float(cpu)) for name, (wall, cpu) in medians.items()}


def report(model: str, found: dict[str, tuple[float, float]]) -> list[list[str]]:
    """Rows of the table: each side against `fit`."""
    wall, cpu = found["fit"]
    return [
        [f"{model}: {name}", f"{w:,.0f}", f"{w / wall:.2f}", f"{c / cpu:.2f}"]
        for name, (w, c) in found.items()
    ]


def verdict(found: dict[str, dict[str, tuple[float, float]]]) -> str:
    """What is wanted, and which models reach it."""

    def against_fit(side: str) -> dict[str, float]:
        return {model: sides[side][0] / sides["fit"][0] for model, sides in found.items()}

    least = min(against_fit("stage, one step per call").values())
    ratios = against_fit("stage")
    told = [f"{name} {ratio:.2f}" + " (no)" * (ratio < 2) for name, ratio in ratios.items()]
    return (
        f"With one step per call {least:.2f} times `fit` at least; 0.95 is wanted. With the"
        f" defaults, of a small model, 2 is wanted: {', '.join(told)}. Where it is missed the"
        " model's own arithmetic is the larger part of a step."
    )


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=240_000)
    parser.add_argument("--rounds", type=int, default=3)
    known = sorted([*models.names(), SMALL])
    parser.add_argument("--models", nargs="+", default=known, choices=known)
    parser.add_argument("--write", action="store_true", help="into docs/benchmarks.md")
    options = parser.parse_args()
    found = {m: compare(m, options.rows, options.rounds) for m in options.models}
    lines = [line for model in options.models for line in report(model, found[model])]
    head = ["side", "examples/s", "of `fit`, wall", "of `fit`, per CPU second"]
    text = [*table(head, lines), "", verdict(found)]
    print(*text, sep="\n")
    if options.write:
        write_section("train", "python benchmarks/train.py", text)


if __name__ == "__main__":
    main()
