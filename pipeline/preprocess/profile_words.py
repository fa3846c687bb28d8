"""Words and truth values of the profile: commonest values, tie with the label."""

from __future__ import annotations

import numpy as np

from pipeline.core.records import Split
from pipeline.preprocess import profile_statistics as statistics
from pipeline.preprocess.check_breaches import shortened
from pipeline.preprocess.profile_records import Association
from pipeline.preprocess.profile_table import Sketch, Stack, Tally, Values

_SHOWN = 8
_CELLS = 50
"""Drift looks at so many of the commonest words; all others share one more cell."""


def sketch(stack: Stack, values: Values) -> Sketch:
    """Describes a column of words or truth values."""
    tally = stack.tally(values.codes, len(values.words))
    train = tally.rows["train"][:-1]
    # Stable, so that words equally common stay in order of appearance.
    order = np.argsort(-train, kind="stable")
    shown = order[:_SHOWN]
    names = [shortened(values.words[i]) for i in shown]
    return Sketch(
        distinct=int((train > 0).sum()),
        common_rows=int(train.max(initial=0)),
        summary={},
        association=_association(stack, values, tally),
        distribution=tally.distribution(shown, names, ordered=False),
        missing_classes=tally.missing_classes,
        cells=tally.commonest(order, _CELLS),
        unseen=_unseen(tally),
    )


def _unseen(tally: Tally) -> dict[Split, int]:
    """Rows of each split whose word no training row has."""
    new = tally.rows["train"][:-1] == 0
    return {split: int(rows[:-1][new].sum()) for split, rows in tally.rows.items()}


def _association(stack: Stack, values: Values, tally: Tally) -> tuple[Association, ...]:
    if stack.task == "regression":
        train = values.codes[stack.train]
        label = stack.label[stack.train][train >= 0].astype(np.float64)
        ratio = statistics.correlation_ratio(train[train >= 0], label)
        if ratio is None:
            return ()
        return (Association(measure="correlation_ratio", value=ratio, strength=ratio),)
    v = statistics.cramers_v(tally.classes[:-1])
    return () if v is None else (Association(measure="cramers_v", value=v, strength=v),)
