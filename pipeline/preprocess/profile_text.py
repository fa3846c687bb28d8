"""How the profile page writes words and numbers: escaped, short, and the same everywhere."""

from __future__ import annotations

import html
import math

import numpy as np

from pipeline.core.records import Split
from pipeline.preprocess.profile_records import ColumnKind, Measure

_LONGEST = 60

MEASURE_NAMES: dict[Measure, str] = {
    "auc": "AUC",
    "pearson": "Pearson",
    "spearman": "Spearman",
    "cramers_v": "Cramér's V",
    "correlation_ratio": "ratio η",
    "mutual_information": "MI",
}
"""Short names; the foot of the page says what they mean."""


def text(value: str, longest: int = _LONGEST) -> str:
    """Hostile text as HTML: cut, control characters made visible, escaped, isolated.

    `<bdi>` keeps right-to-left text from turning its neighbours around.
    """
    # Long names may break after an underscore, which browsers do not do by themselves.
    escaped = html.escape(visible(value, longest)).replace("_", "_<wbr>")
    return f"<bdi>{escaped or '(empty)'}</bdi>"


def visible(value: str, longest: int = _LONGEST) -> str:
    """Hostile text as plain text: cut, control characters made visible; not yet escaped."""
    cut = value if len(value) <= longest else value[: longest - 1] + "…"
    return "".join(one if one.isprintable() else f"\\u{ord(one):04x}" for one in cut)


def number(value: float) -> str:
    """Four significant digits, thousands apart; powers of ten beyond a million."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    if not 1e-3 <= abs(value) < 1e6:
        return f"{value:.3g}"
    digits = max(0, 3 - math.floor(math.log10(abs(value))))
    written = f"{value:,.{digits}f}"
    return written.rstrip("0").rstrip(".") if "." in written else written


def value_of(kind: ColumnKind, value: float) -> str:
    """A number or a date (seconds since 1970) of a column."""
    if kind != "date":
        return number(value)
    written = str(np.datetime_as_string(np.datetime64(int(value), "s"), unit="m"))
    return written.removesuffix("T00:00").replace("T", " ")


def percent(fraction: float) -> str:
    """A share as people read it: `0 %`, `0.3 %`, `12 %`; never 0 or 100 when it is not quite."""
    if fraction in {0.0, 1.0}:
        return f"{100 * fraction:.0f} %"
    if fraction < 0.0005 or fraction > 0.9995:
        return "< 0.1 %" if fraction < 0.5 else "> 99.9 %"
    return f"{100 * fraction:.{0 if 0.1 <= fraction <= 0.9 else 1}f} %"


def swatch(split: Split) -> str:
    """The little square that stands for a split everywhere."""
    return f'<span class="key {split}"></span>'
