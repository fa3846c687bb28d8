"""The part of the profile page that compares two tables."""

from __future__ import annotations

from pipeline.preprocess.drift_records import ColumnDrift, DriftReport
from pipeline.preprocess.profile_text import percent, text

_SHOWN = 12
_HEAD = (
    '<tr><th>column</th><th>Jensen-Shannon</th><th class="right wide">PSI</th>'
    '<th class="right">test</th><th class="right wide">p, corrected</th>'
    '<th class="right wide">missing</th><th class="right">new values</th></tr>'
)


def drift_section(report: DriftReport) -> str:
    """One table against another: drifted columns first, the rest folded away."""
    title = f"<h2>Drift: {text(report.current)} against {text(report.reference)}</h2>"
    if report.note:
        return f'{title}<p class="fine">{text(report.note, 200)}</p>'
    drifted = len(report.drifted_columns)
    shown = report.columns[: max(drifted, _SHOWN)]
    rest = report.columns[len(shown) :]
    more = f"<details><summary>{len(rest)} more</summary>{_table(rest)}</details>" if rest else ""
    said = f"{drifted} of {len(report.columns)} columns have drifted" if drifted else "No drift"
    return (
        f'{title}<p class="quiet small">{said}.{_joint(report)}</p>'
        f'<div class="block scroll">{_table(shown)}{more}</div>'
    )


def _joint(report: DriftReport) -> str:
    if report.joint is None:
        return ""
    return f" A classifier tells the two tables apart with AUC {report.joint.auc:.2f}."


def _table(columns: tuple[ColumnDrift, ...]) -> str:
    return f"<table>{_HEAD}{''.join(_row(one) for one in columns)}</table>"


def _row(one: ColumnDrift) -> str:
    name = f'<span class="strong">{text(one.column)}</span>' if one.reasons else text(one.column)
    before, after = one.missing_fraction
    missing = f"{percent(before)}, {percent(after)}" if before or after else "none"
    statistic = "KS" if one.test == "kolmogorov_smirnov" else "V"
    return (
        f'<tr><td>{name}</td><td class="number"><span class="meter">'
        f'<i style="width:{100 * one.jensen_shannon:.1f}%"></i></span>{one.jensen_shannon:.2f}</td>'
        f'<td class="right wide">{one.stability_index:.2f}</td>'
        f'<td class="right">{statistic} {one.statistic:.2f}</td>'
        f'<td class="right wide">{_probability(one.adjusted_p_value)}</td>'
        f'<td class="right wide">{missing}</td>'
        f'<td class="right">{percent(one.new_fraction) if one.new_fraction else ""}</td></tr>'
        f"{_why(one)}"
    )


def _why(one: ColumnDrift) -> str:
    """A line below, since a phone hides some of the figures that count."""
    if not one.reasons:
        return ""
    reasons = "; ".join(text(reason, 200) for reason in one.reasons)
    return f'<tr><td class="why quiet small" colspan="7">{reasons}</td></tr>'


def _probability(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"{value:.2g}"
