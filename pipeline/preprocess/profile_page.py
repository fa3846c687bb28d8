"""The profile as one HTML page: warnings first, then the table, then each column.

Names and values come from data nobody has checked: every one goes through `text`. The page has
no scripts, and its content policy refuses whatever would load or run something.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from string import Template

from pipeline.core.records import SPLITS, Split
from pipeline.preprocess import profile_drawing as drawing
from pipeline.preprocess.profile_cards import card, class_stack, meter
from pipeline.preprocess.profile_drift import drift_section
from pipeline.preprocess.profile_records import Finding, FindingKind, Profile
from pipeline.preprocess.profile_text import percent, swatch, text, value_of, visible
from pipeline.preprocess.profile_together import missing_section, relations_section

_TEMPLATE = Path(__file__).with_name("profile_page.html")
_SHOWN_FINDINGS = 6
_TITLES: dict[FindingKind, str] = {
    "leakage": "May give the label away",
    "copies": "Equal rows in training and elsewhere",
    "imbalance": "Classes out of balance",
    "constant": "Hardly ever changes",
    "cardinality": "Very many different values",
    "missing": "Mostly missing",
    "drift": "Differs between the splits",
    "unseen": "Values that training never had",
    "few_rows": "Few rows",
    "redundant": "Say nearly the same as another column",
}
_MEASURES = {
    "binary": (
        "Tie with the label, on the training split: for numbers and dates AUC (0.5 says nothing, "
        "0 or 1 everything), for categories Cramér's V (0 to 1, bias-corrected)."
    ),
    "multiclass": (
        "Tie with the label, on the training split: for numbers and dates the share of the "
        "label's entropy they explain (MI, mutual information over quantiles), for categories "
        "Cramér's V (0 to 1, bias-corrected)."
    ),
    "regression": (
        "Tie with the label, on the training split: for numbers and dates Pearson's and "
        "Spearman's correlation, for categories the correlation ratio η (0 to 1, bias-corrected)."
    ),
}


def page(profile: Profile) -> str:
    """The whole page."""
    features = sum(column.feature for column in profile.columns)
    kept = len(profile.columns) - features
    subtitle = (
        f"{sum(profile.table_rows.values()):,} rows"
        + _sampled(profile)
        + f" · {features:,} columns for the model"
        + (f", {kept} kept beside" if kept else "")
        + f" · {profile.task} label {text(profile.label)}"
    )
    sections = (
        _findings(profile),
        _splits(profile),
        _cleaning(profile),
        _overview(profile),
        missing_section(profile.missing_patterns),
        relations_section(profile.relations),
        *(drift_section(report) for report in profile.drift),
    )
    return Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=html.escape(visible(profile.label)),
        subtitle=subtitle,
        sections="\n".join((*sections, _cards(profile))),
        footer=f"{_MEASURES[profile.task]} Drift is the population stability index (PSI) against "
        "training: 0.1 is a slight shift, 0.25 a large one.",
    )


def _findings(profile: Profile) -> str:
    if not profile.findings:
        return '<h2>Warnings</h2><p class="fine">Nothing that needs a second look.</p>'
    places = {column.name: place for place, column in enumerate(profile.columns)}
    # Warnings come first, so a kind stands where its most serious finding stands.
    kinds = dict.fromkeys(one.kind for one in profile.findings)
    groups = [
        _finding_group([one for one in profile.findings if one.kind == kind], places)
        for kind in kinds
    ]
    return f"<h2>Warnings</h2>{''.join(groups)}"


def _finding_group(group: Sequence[Finding], places: dict[str, int]) -> str:
    title = _TITLES[group[0].kind]
    items = [_finding(one, places) for one in group]
    shown = f"<ul>{''.join(items[:_SHOWN_FINDINGS])}</ul>"
    rest = items[_SHOWN_FINDINGS:]
    if rest:
        shown += f"<details><summary>{len(rest)} more</summary><ul>{''.join(rest)}</ul></details>"
    return f'<section class="finding {group[0].level}"><h3>{title}</h3>{shown}</section>'


def _finding(finding: Finding, places: dict[str, int]) -> str:
    said = html.escape(finding.text)
    if finding.column is None:
        return f"<li>{said}</li>"
    link = f'<a href="#c{places[finding.column]}">{text(finding.column)}</a>'
    return f"<li><b>{link}</b> {said}</li>"


def _sampled(profile: Profile) -> str:
    described = sum(profile.rows.values())
    if described == sum(profile.table_rows.values()):
        return ""
    return f", of which {described:,}, evenly spaced, are described here"


def _splits(profile: Profile) -> str:
    whole = sum(profile.table_rows.values()) or 1
    rows = "".join(
        f'<div class="split"><span>{swatch(split)}{split}</span>'
        f'<span class="number">{profile.table_rows[split]:,} '
        f'<span class="quiet small">{percent(profile.table_rows[split] / whole)}</span></span>'
        f"{_split_classes(profile, split)}</div>"
        for split in SPLITS
    )
    if profile.task == "regression":
        below = _label_histogram(profile)
    else:
        below = f'<div class="legend small">{_class_legend(profile)}</div>'
    return (
        f'<h2>Splits and label</h2><div class="block"><div class="splits">{rows}</div>{below}</div>'
    )


def _split_classes(profile: Profile, split: Split) -> str:
    if profile.task == "regression":
        return ""
    return class_stack(profile.label_distribution.counts[split])


def _class_legend(profile: Profile) -> str:
    counts = profile.label_distribution.counts["train"]
    total = sum(counts) or 1
    return "".join(
        f'<span><span class="key class{min(place, 7)}"></span>{text(name)} '
        f'<span class="quiet">{percent(count / total)} of training</span></span>'
        for place, (name, count) in enumerate(zip(profile.classes, counts, strict=True))
    )


def _label_histogram(profile: Profile) -> str:
    distribution = profile.label_distribution
    ends = distribution.edges or tuple(float(name) for name in distribution.names)
    if not ends:
        return ""
    low, high = value_of("number", ends[0]), value_of("number", ends[-1])
    axis = f'<div class="axis small quiet"><span>{low}</span><span>{high}</span></div>'
    return f'<figure style="margin-top:1rem">{drawing.histogram(distribution)}{axis}</figure>'


def _cleaning(profile: Profile) -> str:
    if not profile.cleaning:
        return ""
    rows = "".join(
        f'<tr><td>{text(step.rule)}</td><td class="right">{step.rows:,}</td>'
        f'<td class="quiet">{text(step.note, 200) if step.note else ""}</td></tr>'
        for step in profile.cleaning
    )
    head = '<tr><th>rule</th><th class="right">rows touched</th><th></th></tr>'
    return f'<h2>Cleaning</h2><div class="block scroll"><table>{head}{rows}</table></div>'


def _overview(profile: Profile) -> str:
    """Every column in one line, the strongest tie first."""
    order = sorted(
        range(len(profile.columns)),
        key=lambda place: -max((a.strength for a in profile.columns[place].association), default=0),
    )
    head = (
        '<tr><th>column</th><th class="wide">kind</th><th>tie with the label</th>'
        '<th class="right">missing</th><th class="right">drift</th></tr>'
    )
    rows = "".join(_overview_row(profile, place) for place in order)
    return f'<h2>Columns</h2><div class="block scroll"><table>{head}{rows}</table></div>'


def _overview_row(profile: Profile, place: int) -> str:
    column = profile.columns[place]
    loud = any(column.drift[split] > column.drift_bound[split] for split in column.drift)
    drift = f"{max(column.drift.values()):.2f}" if column.feature else ""
    shown = f'<span class="strong">{drift}</span>' if loud and column.kind != "date" else drift
    return (
        f'<tr><td><a href="#c{place}">{text(column.name)}</a></td>'
        f'<td class="wide quiet">{column.kind}</td><td class="number">{meter(column)}</td>'
        f'<td class="right">{percent(column.missing_fraction["train"])}</td>'
        f'<td class="right">{shown}</td></tr>'
    )


def _cards(profile: Profile) -> str:
    keys = "".join(f"<span>{swatch(split)}{split}</span>" for split in SPLITS)
    cards = "\n".join(card(profile, place) for place in range(len(profile.columns)))
    return (
        f'<h2>Each column</h2><div class="legend small" style="margin:0 0 0.8rem">{keys}</div>'
        f'<div class="grid">{cards}</div>'
    )
