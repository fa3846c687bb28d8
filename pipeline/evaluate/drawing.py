"""One look for all pictures: figures, colours and saving, without pyplot and its global state."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8F98"
PALETTE = (BLUE, ORANGE, GREEN, "#CC79A7", "#E69F00", "#56B4E9", "#5B4B9A", GREY)
"""Distinguishable with any colour vision (Okabe and Ito, 2008), but for the last two."""
INK = "#22262B"

_SIZE = (6.0, 4.8)
_LONGEST_NAME = 24
_STYLE = {
    "figure.dpi": 110,
    "figure.subplot.left": 0.12,
    "figure.subplot.right": 0.97,
    "figure.subplot.bottom": 0.12,
    "figure.subplot.top": 0.92,
    "font.size": 10,
    "text.color": INK,
    "text.parse_math": False,  # names of classes and columns may hold a dollar sign
    "axes.edgecolor": "#C5C9CE",
    "axes.labelcolor": INK,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E8EAED",
    "grid.linewidth": 0.8,
    "xtick.color": "#5A6068",
    "ytick.color": "#5A6068",
    "legend.frameon": False,
    "lines.linewidth": 2.0,
}


@dataclass(frozen=True)
class Gallery:
    """A folder of pictures and of the points behind them.

    Attributes:
        folder: Where NAME.png and NAME.csv go.
    """

    folder: Path

    @contextmanager
    def picture(
        self, name: str, title: str, points: pd.DataFrame, size: tuple[float, float] | None = None
    ) -> Iterator[Axes]:
        """Yields axes to draw on; writes the picture and its points when the block ends.

        Args:
            name: File name without ending.
            title: One line above the picture.
            points: What is drawn, written beside it.
            size: Width and height in inches, of a picture with names along its axes, for which
                room is made. None: the common size and margins, which are drawn twice as fast.
        """
        points.to_csv(self.folder / f"{name}.csv", index=False, float_format="%.6g")
        with mpl.rc_context(_STYLE), warnings.catch_warnings():
            # A name in a script that the font lacks is drawn as boxes, which is no fault of ours.
            warnings.filterwarnings("ignore", message="Glyph .* missing from font")
            figure = Figure(figsize=size or _SIZE, layout="constrained" if size else None)
            FigureCanvasAgg(figure)
            axes = figure.add_subplot()
            axes.set_title(title)
            yield axes
            figure.savefig(self.folder / f"{name}.png")


def short(name: str) -> str:
    """A name that fits beside an axis."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"


def unit_square(axes: Axes, x: str, y: str) -> None:
    """Axes from 0 to 1 with labels."""
    axes.set(xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
