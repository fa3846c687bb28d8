"""Compares two tables column by column, and all columns together.

A column has drifted where a test says that the difference is no accident (after correction for
the many tests) and at least one measure says that it is large enough to matter. Either alone
misleads: with many rows every trifle is significant, with few rows every measure is noisy.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from pipeline.core.artifacts import Table
from pipeline.core.bags import tokens
from pipeline.core.dates import part_indices
from pipeline.core.encoding import possible
from pipeline.core.features import (
    BagFeature,
    BooleanFeature,
    CategoricalFeature,
    DatetimeFeature,
    FeatureSet,
    GeoFeature,
    NumericFeature,
    TargetFeature,
)
from pipeline.preprocess import drift_statistics as statistics
from pipeline.preprocess.config import DriftConfig
from pipeline.preprocess.drift_records import ColumnDrift, DriftReport, JointDrift
from pipeline.preprocess.parts import table_batches
from pipeline.preprocess.profile_statistics import cell_edges, stability_index
from pipeline.preprocess.profile_text import visible

Columns = Mapping[str, "pd.Series[Any]"]
"""Each column as it is compared: float64 numbers, or words; missing is NaN or ''."""

_CELLS = 10
_MOST_WORDS = 50
_SHOWN_WORDS = 5


@dataclass(frozen=True)
class Named:
    """A table in served dtypes and what people call it.

    Attributes:
        name: What people call it.
        frame: Its rows, or some of them, evenly spaced.
        of: How many rows it has; None: those of `frame`.
    """

    name: str
    frame: pd.DataFrame
    of: int | None = None

    @property
    def rows(self) -> int:
        """How many rows the table has."""
        return len(self.frame) if self.of is None else self.of


def compare(
    reference: Named,
    current: Named,
    features: FeatureSet,
    rules: DriftConfig,
    *,
    jointly: bool = False,
) -> DriftReport:
    """Compares the feature columns of two tables in served dtypes.

    Args:
        reference: Usually the training split.
        current: What is looked at.
        features: Says what each column is; of dates the calendar parts are compared that the
            model sees.
        rules: Thresholds.
        jointly: Whether a classifier looks at all columns together as well.
    """
    rows = (reference.rows, current.rows)
    empty = DriftReport(
        reference=reference.name,
        current=current.name,
        rows=rows,
        columns=(),
        joint=None,
        drifted=False,
        note="",
    )
    if min(rows) < rules.minimum_rows:
        return replace(empty, note=f"fewer than {rules.minimum_rows} rows: nothing can be said")
    sides = [compared(thinned(one.frame, rules.max_rows), features) for one in (reference, current)]
    columns = judged([_column(name, *(side[name] for side in sides)) for name in sides[0]], rules)
    joint = _jointly(sides, rules) if jointly and columns else None
    gone = sum(bool(one.reasons) for one in columns)
    drifted = gone > rules.drifted_fraction * len(columns) or (joint is not None and joint.drifted)
    return replace(empty, columns=columns, joint=joint, drifted=drifted)


def thinned(table: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most `most` rows, evenly spaced, in their order."""
    if len(table) <= most:
        return table
    return table.take(_spaced(len(table), most))


def _spaced(rows: int, most: int) -> statistics.Ints:
    return np.linspace(0, rows - 1, min(most, rows)).astype(np.int64)


def thinned_file(table: Table, most: int, batch_rows: int) -> tuple[pd.DataFrame, int]:
    """The same of a table on disk, read some rows at a time.

    Returns:
        The rows, and how many the table has.

    Raises:
        PipelineError: It is missing or damaged.
    """
    with table.parts() as file:
        rows, names = int(file.metadata.num_rows), file.schema_arrow.names
    taken = _spaced(rows, most)
    parts = []
    for frame in table_batches(table, names, batch_rows):
        start = int(frame.index[0])
        first, end = np.searchsorted(taken, [start, start + len(frame)])
        parts.append(frame.take(taken[first:end] - start))
    whole = pd.concat(parts, ignore_index=True) if parts else table.read()
    return whole, rows


def compared(frame: pd.DataFrame, features: FeatureSet) -> Columns:
    """The columns that are compared: each raw column once, dates as their parts."""
    columns: dict[str, pd.Series[Any]] = {}
    for feature in features.features:
        match feature:
            case NumericFeature():
                columns.setdefault(feature.column, _possible(frame[feature.column], feature))
            case BooleanFeature():
                truths = frame[feature.column].astype("float64")
                words = truths.map({1.0: "true", 0.0: "false"})
                columns[feature.column] = words.astype("str").where(truths.notna(), "")
            case CategoricalFeature() | TargetFeature():
                columns[feature.column] = frame[feature.column]
            case GeoFeature():
                for name in (feature.latitude, feature.longitude):
                    columns[name] = frame[name].astype("float64")
            case BagFeature():
                columns |= _bag(frame[feature.column], feature)
            case DatetimeFeature():
                columns |= _parts(frame[feature.column], feature)
    return columns


def _possible(values: pd.Series[Any], feature: NumericFeature) -> pd.Series[Any]:
    """Impossible numbers are missing ones to the model, and are none in the cleaned splits."""
    numbers = values.astype("float64")
    return numbers.where(possible(np.asarray(numbers, np.float64), feature.least, feature.most))


def _bag(texts: pd.Series[Any], feature: BagFeature) -> dict[str, pd.Series[Any]]:
    """How many words a text has, and what share of them the model does not know."""
    known = {word.encode() for word in feature.vocabulary}
    cut = [tokens(text, feature.separator) for text in texts.tolist()]
    unknown = [sum(token not in known for token in row) / len(row) if row else 0.0 for row in cut]
    return {
        f"{feature.column}.words": pd.Series([float(len(row)) for row in cut], dtype="float64"),
        f"{feature.column}.unknown": pd.Series(unknown, dtype="float64"),
    }


def _parts(words: pd.Series[Any], feature: DatetimeFeature) -> dict[str, pd.Series[Any]]:
    codes, known = pd.factorize(words)
    indices = part_indices(known.tolist(), feature.parts)[codes]
    # Index 0 stands for a missing date.
    return {
        f"{feature.column}.{part}": pd.Series(np.where(of == 0, "", of.astype(str)), dtype="str")
        for part, of in zip(feature.parts, indices.T, strict=True)
    }


def _column(name: str, reference: pd.Series[Any], current: pd.Series[Any]) -> ColumnDrift:
    is_number = reference.dtype.kind == "f"
    missing = [one.isna() if is_number else one == "" for one in (reference, current)]
    present = [one[~gone] for one, gone in zip((reference, current), missing, strict=True)]
    gone = [np.array([side.sum(), (~side).sum()]) for side in missing]
    new, new_p_value = pd.Series(dtype="int64"), 1.0
    if is_number:
        before, after = (one.to_numpy(dtype=np.float64) for one in present)
        cells = _tenths(before, after)
        statistic, p_value = statistics.kolmogorov_smirnov(before, after)
    else:
        cells, new, new_p_value = _words(*present)
        statistic, p_value = statistics.chi_squared(*cells)
    return ColumnDrift(
        column=name,
        kind="number" if is_number else "category",
        jensen_shannon=statistics.jensen_shannon(*cells),
        stability_index=stability_index(*cells),
        test="kolmogorov_smirnov" if is_number else "chi_squared",
        statistic=statistic,
        p_value=p_value,
        missing_fraction=(float(missing[0].mean()), float(missing[1].mean())),
        missing_p_value=statistics.chi_squared(*gone)[1],
        new_fraction=float(new.sum()) / len(current),
        new_values=tuple(visible(str(word)) for word in new.index[:_SHOWN_WORDS]),
        new_p_value=new_p_value,
        adjusted_p_value=1.0,
        reasons=(),
    )


def _tenths(
    reference: statistics.Floats, current: statistics.Floats
) -> tuple[statistics.Ints, statistics.Ints]:
    """Rows of both sides in each tenth of the reference."""
    if not len(reference):
        return np.zeros(1, np.int64), np.array([len(current)])
    tenths = np.quantile(reference, np.arange(1, _CELLS) / _CELLS, method="inverted_cdf")
    edges = cell_edges(tenths)
    sides = [np.searchsorted(edges, side, side="right") for side in (reference, current)]
    low, high = (np.bincount(side, minlength=len(edges) + 1) for side in sides)
    return low, high


def _words(
    reference: pd.Series[Any], current: pd.Series[Any]
) -> tuple[tuple[statistics.Ints, statistics.Ints], pd.Series[Any], float]:
    """Rows of both sides by word, those of new words by word, and the p value of so many.

    The commonest words of both sides together have a cell each, all others share one. Cells
    chosen by one side alone would differ from the other side even without drift.
    """
    before, after = reference.value_counts(), current.value_counts()
    table = pd.concat([before, after], axis=1, keys=["before", "after"], sort=True).fillna(0)
    order = np.argsort(-table.sum(axis=1).to_numpy(), kind="stable")
    counts = table.to_numpy(dtype=np.int64)[order]
    shown, others = counts[:_MOST_WORDS], counts[_MOST_WORDS:].sum(axis=0)
    cells = np.vstack([shown, others])
    new = after[~after.index.isin(before.index)]
    p_value = statistics.new_words_p_value(counts[:, 0], counts[:, 1])
    return (cells[:, 0], cells[:, 1]), new, p_value


def judged(columns: list[ColumnDrift], rules: DriftConfig) -> tuple[ColumnDrift, ...]:
    """Holds the measures against the thresholds; drifted columns come first.

    Args:
        columns: Measured columns.
        rules: Thresholds; the p values of all columns are corrected together.
    """
    raw = np.array([(one.p_value, one.missing_p_value, one.new_p_value) for one in columns])
    adjusted = np.ones((len(columns), 3))
    # Numbers are not asked for new values, nor columns that miss nothing for missing ones.
    asked = np.array(
        [(True, any(one.missing_fraction), one.kind == "category") for one in columns], np.bool_
    )
    if columns:
        adjusted[asked] = statistics.false_discovery_adjusted(raw[asked])
    made = [
        replace(
            one,
            adjusted_p_value=float(p_values.min()),
            reasons=tuple(_reasons(one, p_values, rules)),
        )
        for one, p_values in zip(columns, adjusted, strict=True)
    ]
    return tuple(sorted(made, key=lambda one: (not one.reasons, -one.jensen_shannon)))


def _reasons(one: ColumnDrift, adjusted: statistics.Floats, rules: DriftConfig) -> Iterator[str]:
    if adjusted[0] <= rules.false_discovery_rate:
        for name, measure, most in (
            ("Jensen-Shannon", one.jensen_shannon, rules.jensen_shannon),
            ("PSI", one.stability_index, rules.stability_index),
        ):
            if measure > most:
                yield f"{name} {measure:.3f} above {most:g}"
        if one.kind == "number" and one.statistic > rules.kolmogorov_smirnov:
            yield f"Kolmogorov-Smirnov {one.statistic:.3f} above {rules.kolmogorov_smirnov:g}"
    before, after = one.missing_fraction
    significant = adjusted[1] <= rules.false_discovery_rate
    if significant and abs(after - before) > rules.missing_difference:
        yield f"missing {before:.1%}, then {after:.1%}"
    significant = adjusted[2] <= rules.false_discovery_rate
    if significant and one.new_fraction > rules.new_fraction:
        yield f"{one.new_fraction:.1%} new values ({', '.join(one.new_values)})"


def _jointly(sides: list[Columns], rules: DriftConfig) -> JointDrift:
    # scikit-learn takes a second to import, and only those who ask need it.
    from pipeline.preprocess.drift_classifier import tell_apart

    auc, p_value, rows = tell_apart(sides[0], sides[1], rules.max_rows)
    significant = p_value <= rules.false_discovery_rate
    return JointDrift(
        auc=auc,
        p_value=p_value,
        rows=rows,
        drifted=significant and auc > rules.classifier_auc,
    )
