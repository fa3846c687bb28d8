"""One card of the profile page for each column: picture, tie with the label, figures."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.core.records import SPLITS, Split
from pipeline.preprocess import profile_drawing as drawing
from pipeline.preprocess.profile_records import ColumnProfile, Profile
from pipeline.preprocess.profile_text import MEASURE_NAMES, number, percent, swatch, text, value_of

_KINDS = {
    "number": "number",
    "category": "category",
    "truth": "yes or no",
    "date": "date",
    "text": "text",
}


def card(profile: Profile, position: int) -> str:
    """The card of the column at `position`."""
    column = profile.columns[position]
    kind = _KINDS[column.kind] if column.feature else f"{_KINDS[column.kind]}, not a feature"
    return (
        f'<article class="card" id="c{position}"><header><h3>{text(column.name)}</h3>'
        f'<span class="tag">{kind}</span></header>'
        f"{_tie(column)}{_picture(profile, column)}{_figures(column)}</article>"
    )


def meter(column: ColumnProfile) -> str:
    """Strength of the tie with the label as a bar and its statistic."""
    if not column.association:
        return '<span class="quiet">none measured</span>'
    headline = column.association[0]
    return (
        f'<span class="meter"><i style="width:{100 * headline.strength:.1f}%"></i></span>'
        f"{MEASURE_NAMES[headline.measure]} {headline.value:.2f}"
    )


def _tie(column: ColumnProfile) -> str:
    others = "".join(
        f' <span class="quiet">{MEASURE_NAMES[one.measure]} {one.value:.2f}</span>'
        for one in column.association[1:]
    )
    return f'<p class="tie small">{meter(column)}{others}</p>'


def _picture(profile: Profile, column: ColumnProfile) -> str:
    if not column.distribution.names:
        return '<p class="quiet">No values in training.</p>'
    if column.distribution.ordered:
        return f"<figure>{_histogram(profile, column)}</figure>"
    return f"<figure>{_values(profile, column)}</figure>"


def _histogram(profile: Profile, column: ColumnProfile) -> str:
    return (
        drawing.histogram(column.distribution)
        + f'<div class="axis small quiet">{_axis(column)}</div>'
        + _strip(profile, column)
    )


def _axis(column: ColumnProfile) -> str:
    """Ends of the axis; a cut-off tail is said so."""
    edges, names, summary = column.distribution.edges, column.distribution.names, column.summary
    if not edges:
        return "".join(f"<span>{_bar_name(column, name)}</span>" for name in (names[0], names[-1]))
    left, right = value_of(column.kind, edges[0]), value_of(column.kind, edges[-1])
    if summary.get("min", edges[0]) < edges[0]:
        left = f"{left} and less"
    if summary.get("max", edges[-1]) > edges[-1]:
        right = f"{right} and more"
    return f"<span>{left}</span><span>{right}</span>"


def _bar_name(column: ColumnProfile, name: str) -> str:
    return text(name.replace("T", " ")) if column.kind == "date" else number(float(name))


def _strip(profile: Profile, column: ColumnProfile) -> str:
    """What the label does along the axis."""
    if profile.task == "multiclass":
        caption = "classes from left to right"
        return f"{drawing.class_strip(column.distribution)}<figcaption>{caption}</figcaption>"
    levels = [level for level in drawing.label_levels(column.distribution) if level is not None]
    if not levels:
        return ""
    low, high = min(levels), max(levels)
    caption = f"{_level_name(profile)}: {_level(profile, low)} to {_level(profile, high)}"
    strip = drawing.level_strip(column.distribution, low, high)
    return f"{strip}<figcaption>{caption}</figcaption>"


def _level_name(profile: Profile) -> str:
    return text(profile.classes[-1]) if profile.task == "binary" else f"mean {text(profile.label)}"


def _level(profile: Profile, level: float) -> str:
    return percent(level) if profile.task == "binary" else number(level)


def _values(profile: Profile, column: ColumnProfile) -> str:
    """The commonest values: a bar for training, marks for the other splits, the label's level."""
    filled = {split: _filled_rows(profile, column, split) for split in SPLITS}
    counts = column.distribution.counts
    shares = {split: [n / filled[split] for n in counts[split]] for split in SPLITS}
    widest = max(max(row) for row in shares.values()) or 1.0
    levels = drawing.label_levels(column.distribution)
    rows = []
    for place, name in enumerate(column.distribution.names):
        at = {split: 100 * shares[split][place] / widest for split in SPLITS}
        marks = "".join(
            f'<b class="{split}" style="left:calc({at[split]:.1f}% - 2px)"></b>'
            for split in SPLITS[1:]
            if profile.rows[split]
        )
        shown = _value_label(profile, column, place, levels[place])
        rows.append(
            f'{text(name)}<span class="bar"><i style="width:{at["train"]:.1f}%"></i>{marks}</span>'
            f'<span class="number">{percent(shares["train"][place])}{shown}</span>'
        )
    return f'<div class="values">{"".join(rows)}</div>{_values_caption(profile, column)}'


def _value_label(profile: Profile, column: ColumnProfile, place: int, level: float | None) -> str:
    """What the label does where the column has the value at `place`."""
    if profile.task == "multiclass":
        return f" {class_stack(column.distribution.classes[place])}"
    return "" if level is None else f' <span class="quiet">{_level(profile, level)}</span>'


def class_stack(counts: Sequence[int]) -> str:
    """Shares of the classes side by side."""
    total = sum(counts) or 1
    parts = "".join(
        f'<i class="class{min(place, 7)}" style="width:{100 * count / total:.2f}%"></i>'
        for place, count in enumerate(counts)
        if count
    )
    return f'<span class="stack">{parts}</span>'


def _filled_rows(profile: Profile, column: ColumnProfile, split: Split) -> float:
    return max(profile.rows[split] * (1 - column.missing_fraction[split]), 1.0)


def _values_caption(profile: Profile, column: ColumnProfile) -> str:
    others = column.distinct - len([n for n in column.distribution.counts["train"] if n])
    more = f"and {others:,} other values; " if others > 0 else ""
    label = (
        ", and its classes"
        if profile.task == "multiclass"
        else f"; in grey: {_level_name(profile)}"
    )
    return f"<figcaption>{more}share of training rows{label}</figcaption>"


def _figures(column: ColumnProfile) -> str:
    rows = [("missing", _by_split(column.missing_fraction))]
    if column.feature:
        drift = {split: f"{value:.2f}" for split, value in column.drift.items()}
        loud = {split for split, value in column.drift.items() if value > column.drift_bound[split]}
        rows.append(("drift (PSI)", _spans(drift, loud)))
    if any(column.unseen_fraction.values()):
        rows.append(("unseen values", _by_split(column.unseen_fraction)))
    rows.append(("different values", f"{column.distinct:,}"))
    rows += _summary(column)
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{value}</dd>' for name, value in rows)}</dl>"


def _summary(column: ColumnProfile) -> list[tuple[str, str]]:
    """Range, quarters, mean and spread of a number or date."""
    if not column.summary:
        return []
    shown = {field: value_of(column.kind, value) for field, value in column.summary.items()}
    rows = [("smallest, largest", f"{shown['min']}, {shown['max']}")]
    if column.kind == "date":
        return [*rows, ("median", shown["median"])]
    quarters = f"{shown['quarter']}, {shown['median']}, {shown['three_quarters']}"
    return [
        *rows,
        ("quartiles", quarters),
        ("mean ± sd", f"{shown['mean']} ± {shown['deviation']}"),
    ]


def _by_split(fractions: dict[Split, float]) -> str:
    if not any(fractions.values()):
        return "none"
    return _spans({split: percent(value) for split, value in fractions.items()}, set())


def _spans(shown: dict[Split, str], loud: set[Split]) -> str:
    return "".join(
        f"<span{' class=strong' if split in loud else ''}>{swatch(split)}{value}</span>"
        for split, value in shown.items()
    )
