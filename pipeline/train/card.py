"""The training card: curves, learning rate and pace of one training, as one HTML file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.core.page import BLUE, GREEN, ORANGE, chart, gallery, page, table
from pipeline.core.records import TrainingRecord
from pipeline.train.balance import WorkerPace
from pipeline.train.fitting import Fitted
from pipeline.train.plan import Plan
from pipeline.train.watch import Row


def facts(fitted: Fitted) -> dict[str, float]:
    """What a training cost, for the card and for MLflow.

    Returns:
        Of the worker with the longest step, as `WorkerPace` has it: `step_ms`; `input_share`,
        waiting for batches, and `others_share`, for other workers, both of the step, 0 to 1.
        `cores_busy`: CPU seconds per second, all workers together. `validation_share`: of the whole
        time. Of several workers `balance`, the least examples per second of one divided by the
        most, and `worker_N.examples_per_second`, `.step_ms`, `.input_share`, `.others_share` of
        each. Empty where the checkpoint taken up was already at the end.
    """
    if not fitted.workers:
        return {}
    longest = max(fitted.workers, key=lambda pace: pace.step_seconds)
    busy = sum(pace.cpu_seconds / pace.step_seconds for pace in fitted.workers)
    training = sum(fitted.epoch_seconds)
    whole = {
        **_shares(longest),
        "cores_busy": busy,
        "validation_share": max(0.0, 1 - training / fitted.seconds_here),
    }
    if len(fitted.workers) == 1:
        return whole
    speeds = [pace.examples_per_second for pace in fitted.workers]
    each = {
        f"worker_{number}.{name}": value
        for number, pace in enumerate(fitted.workers)
        for name, value in (_shares(pace) | {"examples_per_second": speeds[number]}).items()
    }
    return {**whole, "balance": min(speeds) / max(speeds), **each}


def _shares(pace: WorkerPace) -> dict[str, float]:
    return {
        "step_ms": 1e3 * pace.step_seconds,
        "input_share": pace.input_seconds / pace.step_seconds,
        "others_share": pace.others_seconds / pace.step_seconds,
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
    sections = {
        "Curves": gallery(charts),
        "Pace": table(("what", "value"), _rows(record, cut, measured)),
    }
    if len(fitted.workers) > 1:
        sections["Workers"] = _workers(fitted.workers)
    text = page(
        f"Training of {record.model}",
        f"{record.parameters:,} parameters · {record.epochs} epochs in {record.seconds:.1f} s ·"
        f" kept epoch {record.best_epoch} with validation loss {record.validation_loss:.6g}"
        + (f" · begun with {record.warm_start}" if record.warm_start else ""),
        sections,
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
    return [
        *rows,
        ("a step, past the first call", f"{measured['step_ms']:.3g} ms"),
        ("of it, waiting for input", f"{measured['input_share']:.1%}"),
        ("validation", f"{measured['validation_share']:.0%} of the time"),
        ("cores busy", f"{measured['cores_busy']:.2f}"),
    ]


def _workers(workers: Sequence[WorkerPace]) -> str:
    """A bar for each worker's step, and the figures."""
    charts: list[str] = []
    names = [f"worker {number}" for number in range(len(workers))]
    with chart(charts, "A step of each worker, ms") as axes:
        begun = [0.0] * len(workers)
        for label, color, seconds in (
            ("own work", BLUE, [pace.own_seconds for pace in workers]),
            ("waiting for input", ORANGE, [pace.input_seconds for pace in workers]),
            ("adding up with the others", GREEN, [pace.others_seconds for pace in workers]),
        ):
            widths = [1e3 * each for each in seconds]
            axes.barh(names, widths, left=begun, color=color, label=label)
            begun = [left + width for left, width in zip(begun, widths, strict=True)]
        axes.invert_yaxis()
        axes.legend()
    head = ("worker", "examples/s when not waiting for the others", "step", "input", "others")
    lines = [
        (
            number,
            f"{pace.examples_per_second:,.0f}",
            f"{1e3 * pace.step_seconds:.3g} ms",
            f"{pace.input_seconds / pace.step_seconds:.1%}",
            f"{pace.others_seconds / pace.step_seconds:.1%}",
        )
        for number, pace in enumerate(workers)
    ]
    return gallery(charts) + table(head, lines)


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
