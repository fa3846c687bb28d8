"""How each picture is drawn from its points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm

from pipeline.evaluate.drawing import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALETTE,
    Gallery,
    short,
    unit_square,
)
from pipeline.evaluate.evidence import CHAMPION, LINEAR, MODEL
from pipeline.evaluate.measures import Labels, Scores
from pipeline.evaluate.points import confusion_points, spread

_MOST_CLASSES = 30
"""Largest confusion matrix; of more classes the most frequent are drawn."""
_WRITTEN_CELLS = 12
"""Up to this many classes a confusion matrix has room for its numbers."""
_DENSITY_BINS = 60
_MODELS = {MODEL: BLUE, CHAMPION: ORANGE, LINEAR: GREEN}
"""Each model keeps its colour, whichever of them are drawn."""
_ROOMY = (6.0, 4.8)
"""Size of pictures whose tick labels may be long numbers."""


def draw_confusion(
    gallery: Gallery, classes: Sequence[str], labels: Labels, scores: Scores
) -> None:
    """Confusion matrix: colour and percentage are shares of the actual class."""
    table = confusion_points(labels.astype(np.int64), scores.argmax(axis=1), classes)
    counts = table["rows"].to_numpy().reshape(len(classes), len(classes))
    shown = np.sort(np.argsort(-counts.sum(axis=1), kind="stable")[:_MOST_CLASSES])
    names = [short(classes[k]) for k in shown]
    inches = 3.4 + 0.32 * max(len(names), 5)
    title = "Confusion matrix, shares of the actual class"
    with gallery.picture("confusion_matrix", title, table, (inches + 0.6, inches)) as axes:
        _matrix(axes, counts[np.ix_(shown, shown)], names)


def draw_roc(gallery: Gallery, table: pd.DataFrame) -> None:
    """ROC curves and the diagonal of a model that guesses."""
    with gallery.picture("roc", "ROC", table) as axes:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
        _lines(axes, table)
        unit_square(axes, "false positive rate", "true positive rate")


def draw_pr(gallery: Gallery, table: pd.DataFrame, share: float | None) -> None:
    """Precision-recall curves, and the share of positive rows that guessing would give."""
    with gallery.picture("precision_recall", "Precision and recall", table) as axes:
        if share is not None:
            axes.axhline(share, color=GREY, linewidth=1, linestyle=":")
        _lines(axes, table)
        unit_square(axes, "recall", "precision")


def draw_calibration(gallery: Gallery, table: pd.DataFrame, what: str) -> None:
    """Calibration: on the diagonal, scores are the shares that come true."""
    with gallery.picture("calibration", "Calibration", table) as axes:
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle=":")
        mean, share = table["mean_score"].to_numpy(), table["share"].to_numpy()
        reach = _reach(table, share)
        axes.errorbar(mean, share, yerr=reach, fmt="-o", color=BLUE, elinewidth=1, capsize=2)
        unit_square(axes, "mean score of the bin", f"{what}, with 95 % interval")


def draw_scores(gallery: Gallery, table: pd.DataFrame, title: str) -> None:
    """Histogram of scores by group, as shares of each group."""
    with gallery.picture("scores", title, table) as axes:
        _, *groups = table.columns
        for colour, name in zip(PALETTE, groups, strict=False):
            rows = table[name].to_numpy()
            edges = np.linspace(0, 1, len(rows) + 1)
            share = rows / max(rows.sum(), 1)
            label = f"{short(name)} ({rows.sum():,} rows)"
            axes.stairs(share, edges, fill=True, alpha=0.3, color=colour)
            axes.stairs(share, edges, color=colour, linewidth=1.5, label=label)
        axes.set(xlabel="score", ylabel="share of the group's rows", xlim=(0, 1))
        axes.legend()


def draw_fit(gallery: Gallery, table: pd.DataFrame, labels: Labels, predicted: Scores) -> None:
    """Density of predicted against actual values, with group means on top."""
    title = "Predicted and actual values"
    with gallery.picture("predicted_vs_actual", title, table, _ROOMY) as axes:
        span = spread(np.r_[labels, predicted], 0.002)
        bins = int(np.clip(np.sqrt(len(labels)), 15, _DENSITY_BINS))
        density, across, up = np.histogram2d(predicted, labels, bins, (span, span))
        density[density == 0] = np.nan
        cells = axes.pcolormesh(across, up, density.T, cmap="Blues", norm=PowerNorm(0.5))
        axes.figure.colorbar(cells, ax=axes, label="rows", pad=0.02)
        axes.plot(span, span, color=GREY, linewidth=1, linestyle=":")
        axes.plot(table["predicted"], table["actual"], "-o", color=ORANGE, label="mean actual")
        axes.set(xlabel="predicted", ylabel="actual", xlim=span, ylim=span)
        axes.legend(loc="upper left")


def draw_residuals(gallery: Gallery, table: pd.DataFrame) -> None:
    """Histogram of predicted less actual."""
    with gallery.picture("residuals", "Residuals", table, _ROOMY) as axes:
        middle = table["residual"].to_numpy()
        width = 0.92 * (middle[1] - middle[0])
        axes.bar(middle, table["rows"], width=width, color=BLUE, alpha=0.8)
        axes.axvline(0, color=INK, linewidth=1)
        axes.set(xlabel="predicted less actual", ylabel="rows")


def draw_slices(gallery: Gallery, table: pd.DataFrame, title: str, overall: float | None) -> None:
    """Bars of one metric by slice, from its value on all rows outwards, with intervals.

    Args:
        gallery: Where to.
        table: column, value, rows, low, high, metric; NaN where undefined.
        title: What the metric is called.
        overall: Its value on all rows.
    """
    # Room above each column's first slice for the column's name.
    starts = (table["column"] != table["column"].shift()).to_numpy()
    place = np.arange(len(table)) + 1.1 * np.cumsum(starts)
    size = (7.0, 1.4 + 0.27 * (float(place[-1]) if len(place) else 1.0))
    with gallery.picture("slices", f"{title} by slice (rows)", table, size) as axes:
        order = list(dict.fromkeys(table["column"]))
        colours = [PALETTE[order.index(column) % len(PALETTE)] for column in table["column"]]
        middle = table["metric"].to_numpy(dtype=np.float64)
        # From the common value, because bars that start anywhere but there or at 0 mislead.
        start = overall or 0.0
        axes.barh(place, middle - start, left=start, height=0.75, color=colours, alpha=0.75)
        reach = _reach(table, middle)
        axes.errorbar(middle, place, xerr=reach, fmt="none", ecolor=INK, elinewidth=1, capsize=2)
        axes.axvline(start, color=INK, linewidth=1)
        axes.set_xlabel("" if overall is None else f"all rows: {overall:.4g}")
        _slice_names(axes, table, place, starts)


def _matrix(axes: Axes, counts: npt.NDArray[Any], names: list[str]) -> None:
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=0 if len(names) <= 3 else 60)
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="actual")
    axes.grid(visible=False)
    if len(names) > _WRITTEN_CELLS:
        return
    for (row, column), share in np.ndenumerate(shares):
        text = f"{share:.1%}\n{counts[row, column]:,}"
        colour = "white" if share > 0.55 else INK
        axes.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)


def _lines(axes: Axes, table: pd.DataFrame) -> None:
    """One line for each column against the first one."""
    x, *curves = table.columns
    for number, name in enumerate(curves):
        colour = _MODELS.get(name, PALETTE[number % len(PALETTE)])
        axes.plot(table[x], table[name], color=colour, label=short(name))
    if curves:
        axes.legend()


def _reach(table: pd.DataFrame, middle: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Lengths of the error bars below and above, none where there is no interval."""
    low, high = table["low"].to_numpy(np.float64), table["high"].to_numpy(np.float64)
    lengths: npt.NDArray[np.float64] = np.nan_to_num([middle - low, high - middle])
    return lengths.clip(0)


def _slice_names(
    axes: Axes, table: pd.DataFrame, place: npt.NDArray[np.float64], starts: npt.NDArray[np.bool_]
) -> None:
    values = zip(table["value"], table["rows"], strict=True)
    axes.set_yticks(place, [f"{short(str(value))} ({rows:,})" for value, rows in values])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    if len(place):
        axes.set_ylim(place[-1] + 0.6, place[0] - 1.4)
    across = axes.get_yaxis_transform()
    for column, first in zip(table["column"][starts], place[starts], strict=True):
        name, above = short(str(column)), first - 0.9
        axes.text(-0.01, above, name, transform=across, fontweight="bold", ha="right", va="center")
