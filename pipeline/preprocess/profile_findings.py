"""What a person should look at before trusting the data: one rule a function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pipeline.core.records import SPLITS, Split
from pipeline.preprocess import profile_statistics as statistics
from pipeline.preprocess.profile_records import (
    Association,
    ColumnProfile,
    Distribution,
    Finding,
    FindingKind,
    Relation,
)
from pipeline.preprocess.profile_text import MEASURE_NAMES, percent, visible

_LEAK_STRENGTH = 0.95
_LEAK_INFORMATION = 0.9
"""Cells that lie across two classes cost mutual information its last tenth."""
_MISSING_LEAK_STRENGTH = 0.5
_NEAR_CONSTANT = 0.99
_MOSTLY_MISSING = 0.5
_MANY_VALUES = 1000
_ID_FRACTION = 0.5
_LARGE_DRIFT = 0.5
_UNSEEN, _MOSTLY_UNSEEN = 0.05, 0.2
_RARE_CLASS, _VERY_RARE_CLASS = 0.1, 0.01
_COPIES, _MANY_COPIES = 0.1, 0.5
"""Tables of few categories have equal rows by nature."""
_FEW_ROWS = 100
_SAME = 0.99


def findings(
    columns: Sequence[ColumnProfile],
    label: Distribution,
    rows: Mapping[Split, int],
    copied_fraction: Mapping[Split, float],
    related: Sequence[Relation] = (),
) -> tuple[Finding, ...]:
    """Everything worth a look, warnings first, then in the order of the columns.

    Args:
        columns: The described columns.
        label: The label's own distribution.
        rows: Rows of each split.
        copied_fraction: Share of each split's rows whose features equal a training row's.
        related: Pairs of columns that go together.
    """
    found = [
        *_split_sizes(rows),
        *_label(label, rows),
        *_copies(copied_fraction),
        *(finding for column in columns if column.feature for finding in _column(column, rows)),
        *_redundant(related),
    ]
    return tuple(sorted(found, key=lambda finding: finding.level != "warning"))


def _split_sizes(rows: Mapping[Split, int]) -> Iterator[Finding]:
    for split, count in rows.items():
        if count == 0:
            yield _warning("few_rows", None, f"The {split} split is empty.")
        elif count < _FEW_ROWS:
            text = f"The {split} split has only {count} rows: its figures are rough."
            yield _note("few_rows", None, text)


def _label(label: Distribution, rows: Mapping[Split, int]) -> Iterator[Finding]:
    if not label.ordered:
        yield from _imbalance(label, rows)
    train = np.asarray(label.counts["train"])
    for split in SPLITS[1:]:
        other = np.asarray(label.counts[split])
        index = statistics.stability_index(train, other)
        bound = 0.1 + statistics.stability_noise(len(train), rows["train"], rows[split])
        if index > bound:
            text = f"The label itself is distributed differently in {split} (PSI {index:.2f})."
            yield _note("drift", None, text)


def _imbalance(label: Distribution, rows: Mapping[Split, int]) -> Iterator[Finding]:
    for position, name in enumerate(label.names):
        absent = [split for split in SPLITS if rows[split] and not label.counts[split][position]]
        if absent:
            text = f"Class '{visible(name)}' has no rows in {' and '.join(absent)}."
            yield _warning("imbalance", None, text)
            continue
        share = label.counts["train"][position] / max(rows["train"], 1)
        text = (
            f"Class '{visible(name)}' is {percent(share)} of the training rows: "
            "accuracy alone will flatter; look at PR-AUC, or weight the classes."
        )
        if share < _VERY_RARE_CLASS:
            yield _warning("imbalance", None, text)
        elif share < _RARE_CLASS:
            yield _note("imbalance", None, text)


def _copies(copied_fraction: Mapping[Split, float]) -> Iterator[Finding]:
    for split, fraction in copied_fraction.items():
        text = (
            f"{percent(fraction)} of the {split} rows have exactly the features of a training "
            "row: if they are copies, the figures flatter; split by a key instead."
        )
        if fraction > _MANY_COPIES:
            yield _warning("copies", None, text)
        elif fraction > _COPIES:
            yield _note("copies", None, text)


def _redundant(related: Sequence[Relation]) -> Iterator[Finding]:
    for one in related:
        if abs(one.value) >= _SAME:
            figure = f"{MEASURE_NAMES[one.measure]} {one.value:.3f}"
            other = visible(one.second)
            text = f"Says nearly the same as '{other}' ({figure}): one of the two is enough."
            yield _note("redundant", one.first, text)


def _column(column: ColumnProfile, rows: Mapping[Split, int]) -> Iterator[Finding]:
    yield from _leakage(column)
    yield from _emptiness(column)
    if column.kind == "text":  # hardly a text is ever written twice
        return
    yield from _cardinality(column, rows["train"])
    yield from _drift(column)
    yield from _unseen(column)


def _leakage(column: ColumnProfile) -> Iterator[Finding]:
    strongest = max(column.association, key=lambda one: one.strength, default=None)
    if strongest is not None and strongest.strength >= _leak_bound(strongest):
        figure = f"{MEASURE_NAMES[strongest.measure]} {strongest.value:.3f}"
        text = f"Almost gives the label away by itself ({figure}): is it known when predicting?"
        yield _warning("leakage", column.name, text)
    if column.missing_strength is not None and column.missing_strength >= _MISSING_LEAK_STRENGTH:
        text = (
            "Whether it is missing says much about the label "
            f"(strength {column.missing_strength:.2f}): is it filled in only afterwards?"
        )
        yield _warning("leakage", column.name, text)


def _leak_bound(association: Association) -> float:
    is_information = association.measure == "mutual_information"
    return _LEAK_INFORMATION if is_information else _LEAK_STRENGTH


def _emptiness(column: ColumnProfile) -> Iterator[Finding]:
    missing = column.missing_fraction["train"]
    if missing == 1:
        yield _warning("missing", column.name, "Never has a value in training: leave it out.")
    elif missing >= _MOSTLY_MISSING:
        yield _note("missing", column.name, f"Missing in {percent(missing)} of the training rows.")
    if column.distinct == 1 and missing == 0:
        yield _warning("constant", column.name, "Never changes in training: leave it out.")
    elif missing < _NEAR_CONSTANT <= column.common_fraction:
        text = f"{percent(column.common_fraction)} of the training rows are alike."
        yield _note("constant", column.name, text)


def _cardinality(column: ColumnProfile, train_rows: int) -> Iterator[Finding]:
    if column.kind != "category":
        return
    filled = train_rows * (1 - column.missing_fraction["train"])
    text = f"{column.distinct:,} different values in {filled:,.0f} training rows"
    if filled >= _FEW_ROWS and column.distinct > _ID_FRACTION * filled:
        yield _warning("cardinality", column.name, f"{text}: almost an id, nothing to learn from.")
    elif column.distinct > _MANY_VALUES:
        yield _note("cardinality", column.name, f"{text}: hash it, or raise its minimum count.")


def _drift(column: ColumnProfile) -> Iterator[Finding]:
    # A date drifts in every split by time; what a model sees of it are its calendar parts.
    drifted = {s: v for s, v in column.drift.items() if v > column.drift_bound[s]}
    if column.kind == "date" or not drifted:
        return
    figures = ", ".join(f"{split} {value:.2f}" for split, value in drifted.items())
    large = max(drifted[split] - column.drift_bound[split] for split in drifted) > _LARGE_DRIFT
    level = _warning if large else _note
    yield level("drift", column.name, f"Distributed differently from training (PSI: {figures}).")


def _unseen(column: ColumnProfile) -> Iterator[Finding]:
    split, fraction = max(column.unseen_fraction.items(), key=lambda item: item[1])
    text = f"{percent(fraction)} of the {split} rows hold values that training never had."
    if fraction >= _MOSTLY_UNSEEN:
        yield _warning("unseen", column.name, text)
    elif fraction >= _UNSEEN:
        yield _note("unseen", column.name, text)


def _warning(kind: FindingKind, column: str | None, text: str) -> Finding:
    return Finding(kind=kind, level="warning", column=column, text=text)


def _note(kind: FindingKind, column: str | None, text: str) -> Finding:
    return Finding(kind=kind, level="note", column=column, text=text)
