"""Reports as one HTML file each: tables and charts, no scripts, nothing loaded from elsewhere.

    with chart(charts, "Loss by epoch") as axes:
        axes.plot(...)
    path.write_text(page("Training", "dcn", {"Curves": gallery(charts)}))

Names and values go through `html.escape` here, so callers pass plain text.
"""

from __future__ import annotations

import html
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TEMPLATE = Path(__file__).with_name("page.html")
_SIZE = (5.4, 3.4)
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#8A8F98"
"""Distinguishable with any colour vision (Okabe and Ito, 2008)."""
_STYLE = {
    "font.size": 9,
    "text.parse_math": False,  # names of keys may hold a dollar sign
    "svg.fonttype": "none",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.edgecolor": "#C5C9CE",
    "grid.color": "#E8EAED",
    "legend.frameon": False,
}


@contextmanager
def chart(charts: list[str], title: str) -> Iterator[Axes]:
    """Yields axes to draw on; adds the picture to `charts` as SVG when the block ends."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    # Named by its place, so that two pictures on one page share no ids; no dates: equal runs give
    # equal pages.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": f"{len(charts)} {title}"}):
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_title(title)
        yield axes
        file = io.StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing)
    text = file.getvalue()
    charts.append(text[text.index("<svg") :])


def gallery(charts: Iterable[str]) -> str:
    """Charts side by side, as many as fit."""
    return '<div class="charts">' + "".join(f"<figure>{c}</figure>" for c in charts) + "</div>"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table of plain text."""
    lines = [f"<tr>{''.join(f'<th>{_text(cell)}</th>' for cell in head)}</tr>"]
    lines += [f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows]
    return f'<div class="block"><table>{"".join(lines)}</table></div>'


def page(title: str, subtitle: str, sections: Mapping[str, str]) -> str:
    """The whole page.

    Args:
        title: Plain text.
        subtitle: Plain text.
        sections: Heading to HTML, as `gallery` and `table` make it.
    """
    parts = [f"<h2>{_text(heading)}</h2>\n{body}" for heading, body in sections.items()]
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=_text(title), subtitle=_text(subtitle), sections="\n".join(parts)
    )


def _text(value: object) -> str:
    return html.escape(str(value))
