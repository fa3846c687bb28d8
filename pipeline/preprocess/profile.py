"""The data profile: what a person should know about the table before trusting a model of it.

`profile.json` says it for programs, `profile.html` shows it: one page without outside addresses
or scripts, and the same bytes for the same data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core.artifacts import write_json
from pipeline.core.features import FeatureSet
from pipeline.core.publishing import publish_file
from pipeline.core.records import SPLITS, Split
from pipeline.core.schema import dump
from pipeline.preprocess import profile_relations
from pipeline.preprocess.config import DriftConfig
from pipeline.preprocess.drift import Named, compare, thinned
from pipeline.preprocess.profile_columns import describe, describe_label
from pipeline.preprocess.profile_findings import findings
from pipeline.preprocess.profile_page import page
from pipeline.preprocess.profile_records import CleaningStep, ColumnProfile, Profile
from pipeline.preprocess.profile_table import Stack, Values, read

Keys = npt.NDArray[np.uint64]

_THREADS = 2
"""NumPy works outside the interpreter lock, so two columns can be described at once."""


def write_profile(
    folder: Path,
    splits: Mapping[Split, pd.DataFrame],
    features: FeatureSet,
    cleaning: Sequence[CleaningStep],
    drift: DriftConfig,
) -> Profile:
    """Writes profile.json and profile.html into `folder`.

    Args:
        folder: An existing folder.
        splits: Rows of the processed tables in served dtypes, label in `records.LABEL`.
        features: Their schema.
        cleaning: What each cleaning rule did, in the order they ran.
        drift: What counts as drift.

    Returns:
        What was written, e.g. to show its findings.
    """
    profile = describe_table(splits, features, cleaning, drift)
    write_json(folder / "profile.json", _rounded(dump(profile)))
    with publish_file(folder / "profile.html") as aside:
        aside.write_text(page(profile), encoding="utf-8", errors="replace")
    return profile


def describe_table(
    splits: Mapping[Split, pd.DataFrame],
    features: FeatureSet,
    cleaning: Sequence[CleaningStep],
    drift: DriftConfig,
) -> Profile:
    """Describes the table; arguments as for `write_profile`."""
    stack = Stack.of(splits, features)
    served = tuple(column.name for column in features.columns)
    kept = tuple(name for name in features.kept if name not in served)

    def work(name: str) -> tuple[ColumnProfile, Keys]:
        values = read(stack, name, features)
        return describe(stack, values, feature=name in served), _keys(values)

    columns: list[ColumnProfile] = []
    row_keys = np.zeros(sum(stack.rows.values()), dtype=np.uint64)
    with ThreadPoolExecutor(_THREADS) as pool:
        for column, keys in pool.map(work, served + kept):
            columns.append(column)
            if column.feature:
                row_keys = row_keys * _ODD + keys
    label = describe_label(stack)
    rows = thinned(splits["train"], profile_relations.ROWS)
    kinds = {column.name: column.kind for column in columns if column.feature}
    related = profile_relations.relations(rows, kinds)
    return Profile(
        label=features.label.column,
        task=stack.task,
        classes=stack.classes,
        rows=stack.rows,
        table_rows={name: features.rows[name] for name in SPLITS},
        label_distribution=label,
        findings=findings(columns, label, stack.rows, _copied(stack, row_keys), related),
        cleaning=tuple(cleaning),
        columns=tuple(columns),
        relations=related,
        missing_patterns=profile_relations.missing_patterns(rows, list(kinds)),
        drift=tuple(
            compare(Named("train", splits["train"]), Named(name, splits[name]), features, drift)
            for name in SPLITS[1:]
        ),
    )


_ODD = np.uint64(0x9E3779B97F4A7C15)


def _keys(values: Values) -> Keys:
    """A number for each value of a column; equal values, equal numbers."""
    if len(values.numbers):
        # Adding zero turns -0.0 into 0.0.
        bits = np.where(values.missing, np.inf, values.numbers + 0.0).view(np.uint64)
    else:
        bits = values.codes.view(np.uint64)
    # Multiplying reaches only the upper bits; the shift brings them down (as in splitmix64).
    mixed: Keys = bits * _ODD
    return mixed ^ (mixed >> np.uint64(29))


def _copied(stack: Stack, row_keys: Keys) -> dict[Split, float]:
    """Share of validation and test rows whose features equal those of a training row."""
    train = np.sort(row_keys[stack.train])
    return {
        split: _found(np.sort(row_keys[stack.bounds[split]]), train)
        for split in SPLITS[1:]
        if stack.rows[split] and len(train)
    }


def _found(keys: Keys, among: Keys) -> float:
    """Share of `keys` that occur in `among`; both sorted, which is what makes this quick."""
    places = np.minimum(np.searchsorted(among, keys), len(among) - 1)
    return float((among[places] == keys).mean())


def _rounded(value: object) -> object:
    """Twelve significant digits: the last ones depend on the processor's instructions."""
    match value:
        case float():
            return float(f"{value:.12g}")
        case dict():
            return {key: _rounded(one) for key, one in value.items()}
        case list():
            return [_rounded(one) for one in value]
    return value
