"""The curves of the report, drawn by Mermaid because job summaries show no picture files."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from pipeline.core.artifacts import Artifacts, require
from pipeline.core.errors import PipelineError
from pipeline.runner.markdown_text import line_chart, thinned

_GRID = np.linspace(0, 1, 21)


def loss_chart(artifacts: Artifacts) -> Iterator[str]:
    """Training and validation loss by epoch.

    Raises:
        PipelineError: There is no history, or it cannot be read.
    """
    history = _read(artifacts.history)
    curves = [_floats(history.get(name, [])) for name in ("loss", "val_loss")]
    drawn = [thinned(curve) for curve in curves if len(curve) > 1]
    if not drawn:
        yield "A single epoch: no curve."
        return
    low, high = min(map(min, drawn)), max(map(max, drawn))
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    title = "Loss by epoch" + (": training blue, validation orange" if len(drawn) > 1 else "")
    epochs = ("epoch", 0.0, float(max(map(len, curves)) - 1))
    yield from line_chart(title, epochs, ("loss", low - margin, high + margin), drawn)


def roc_chart(artifacts: Artifacts) -> Iterator[str]:
    """The ROC curve of the model (multi-class: of the first class), and the diagonal.

    Raises:
        PipelineError: There are no points, as for a regression.
    """
    roc = _read(artifacts.evaluation_plots.path / "roc.csv")
    names = roc.get("curve", [])
    mine = [place for place, name in enumerate(names) if name == names[0]]
    if not mine:
        return
    x, y = (
        [_floats(roc[name])[place] for place in mine]
        for name in ("false_positive_rate", "true_positive_rate")
    )
    # Mermaid wants points that stand evenly along the x axis.
    heights = np.interp(_GRID, x, y).tolist()
    axes = ("false positive rate", 0.0, 1.0), ("true positive rate", 0.0, 1.0)
    yield from line_chart(
        "ROC on the test split, with the diagonal", *axes, [heights, _GRID.tolist()]
    )


def _read(path: Path) -> dict[str, list[str]]:
    """A CSV file by column."""
    require(path)
    try:
        with path.open(encoding="utf-8", newline="") as file:
            head, *rows = csv.reader(file)
        return {name: [row[place] for row in rows] for place, name in enumerate(head)}
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise PipelineError(f"{path} is damaged: {error}") from error


def _floats(texts: list[str]) -> list[float]:
    return [float(text) for text in texts if text]
