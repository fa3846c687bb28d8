"""The training card: curves, learning rate and pace of one training, as one HTML file."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.core.page import BLUE, GREEN, ORANGE, chart, gallery, page, table
from pipeline.core.records import TrainingRecord
from pipeline.train.config import TrainConfig
from pipeline.train.fitting import Fitted, Plan
from pipeline.train.input import Source, endless
from pipeline.train.watch import Row

_INPUT_SECONDS = 0.1
_INPUT_BATCHES = 64


def input_seconds(train: Source, options: TrainConfig, cut: Plan) -> float:
    """Seconds that the input takes for a batch when nothing else runs; measured for 0.1 s.

    In training the next batches are made beside the steps, so this share of a step is the most
    that steps can wait for input.
    """
    batches = iter(endless(train, cut.batch_rows, options.seed))
    for _ in range(2):  # the first ones pay for threads and buffers
        next(batches)
    made, started = 0, time.perf_counter()
    while made < _INPUT_BATCHES and time.perf_counter() - started < _INPUT_SECONDS:
        next(batches)
        made += 1
    return (time.perf_counter() - started) / made


def facts(fitted: Fitted, cut: Plan, input_alone: float, cpu_seconds: float) -> dict[str, float]:
    """What a training cost, for the card and for MLflow.

    Returns:
        `step_ms`: a step's time, without the first epoch, which pays for tracing, where there is
        another; `input_ms`: its input's, alone; `input_share`: of the step, 0 to
        1; `validation_share`: of the whole time; `cores_busy`: CPU seconds per second. Empty
        where the checkpoint taken up was already at the end.
    """
    if not fitted.epoch_seconds:
        return {}
    steady = fitted.epoch_seconds[1:] or fitted.epoch_seconds
    step = sum(steady) / len(steady) / cut.steps_per_epoch
    training = sum(fitted.epoch_seconds)
    return {
        "step_ms": 1e3 * step,
        "input_ms": 1e3 * input_alone,
        "input_share": min(1.0, input_alone / step),
        "validation_share": max(0.0, 1 - training / fitted.seconds_here),
        "cores_busy": cpu_seconds / fitted.seconds_here,
    }


def write_card(
    path: Path, record: TrainingRecord, fitted: Fitted, cut: Plan, measured: Mapping[str, float]
) -> None:
    """Writes the card.

    Args:
        path: Where to; the caller publishes it.
        record: What training did.
        fitted: Its history and pace.
        cut: How the epochs were cut into steps.
        measured: What `facts` says.
    """
    history = fitted.history
    charts: list[str] = []
    _draw_losses(charts, history, fitted.best_epoch)
    for name in [name for name in history[0] if name.startswith("val_") and name != "val_loss"]:
        _draw(charts, name.removeprefix("val_") + " on the validation split", history, name, GREEN)
    _draw(charts, "Learning rate at the end of each epoch", history, "learning_rate", ORANGE)
    _draw_pace(charts, fitted, cut)
    text = page(
        f"Training of {record.model}",
        f"{record.parameters:,} parameters · {record.epochs} epochs in {record.seconds:.1f} s ·"
        f" kept epoch {record.best_epoch} with validation loss {record.validation_loss:.6g}"
        + (f" · begun with {record.warm_start}" if record.warm_start else ""),
        {"Curves": gallery(charts), "Pace": table(("what", "value"), _rows(record, cut, measured))},
    )
    path.write_text(text, encoding="utf-8")


def _rows(
    record: TrainingRecord, cut: Plan, measured: Mapping[str, float]
) -> Sequence[tuple[str, str]]:
    rows = [
        ("examples per second", f"{record.examples_per_second:,.0f}"),
        ("rows of a batch", f"{cut.batch_rows:,}"),
        ("steps of an epoch", f"{cut.steps_per_epoch:,}, {cut.steps_per_call} in one call"),
        ("peak memory", f"{record.peak_memory_bytes / 2**20:,.0f} MiB"),
    ]
    if not measured:
        return rows
    share = f"{measured['input_share']:.0%} of the step: the most that steps can have waited"
    return [
        *rows,
        ("a step, past the first epoch", f"{measured['step_ms']:.3g} ms"),
        ("its input, made alone", f"{measured['input_ms']:.3g} ms, {share}"),
        ("validation", f"{measured['validation_share']:.0%} of the time"),
        ("cores busy", f"{measured['cores_busy']:.2f}"),
    ]


def _draw_losses(charts: list[str], history: Sequence[Row], best: int) -> None:
    epochs = [row["epoch"] for row in history]
    with chart(charts, "Loss by epoch") as axes:
        axes.plot(
            epochs, [row["loss"] for row in history], color=BLUE, marker="o", label="training"
        )
        validation = [row["val_loss"] for row in history]
        axes.plot(epochs, validation, color=ORANGE, marker="o", label="validation")
        axes.axvline(best, color=GREEN, linestyle=":", label="kept")
        axes.set(xlabel="epoch")
        axes.locator_params(axis="x", integer=True)
        axes.legend()


def _draw(charts: list[str], title: str, history: Sequence[Row], name: str, color: str) -> None:
    having = [row for row in history if name in row]
    with chart(charts, title) as axes:
        axes.plot([row["epoch"] for row in having], [r[name] for r in having], "o-", color=color)
        axes.set(xlabel="epoch")
        axes.locator_params(axis="x", integer=True)


def _draw_pace(charts: list[str], fitted: Fitted, cut: Plan) -> None:
    first = len(fitted.history) - len(fitted.epoch_seconds)  # earlier ones ran before a resume
    rows = cut.steps_per_epoch * cut.batch_rows
    epochs = [fitted.history[first + i]["epoch"] for i in range(len(fitted.epoch_seconds))]
    with chart(charts, "Examples per second, validation apart") as axes:
        axes.bar(
            epochs, [rows / seconds for seconds in fitted.epoch_seconds], color=BLUE, width=0.6
        )
        axes.set(xlabel="epoch")
        axes.locator_params(axis="x", integer=True)
