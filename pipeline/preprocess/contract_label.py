"""The label of new rows, which a run would refuse or pass over."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from pipeline.core.records import LABEL
from pipeline.preprocess.check_breaches import examples, shortened
from pipeline.preprocess.clean import missing
from pipeline.preprocess.config import PreprocessStageConfig
from pipeline.preprocess.contract_records import Anomaly, whole
from pipeline.preprocess.raw import Typed


def unlabelled(typed: Typed, config: PreprocessStageConfig) -> Iterator[Anomaly]:
    """Rows without a label: an error where a run refuses them; a word about all of them."""
    if LABEL not in typed.frame:
        return
    gone = missing(typed.frame[LABEL])
    name, rows, of = config.label.column, int(gone.sum()), len(typed.raw)
    if rows and config.preprocess.missing_label == "error":
        said = f"is the label of every row: not so in {rows:,} of {of:,} rows"
        yield whole("too_many_missing", name, said, rows=rows, of=of, severity="error")
    elif rows and rows == of:
        said = "has no value in any row: these rows can be served, not learned from"
        yield whole("no_value", name, said, rows=rows, of=of)


def strange_classes(
    typed: Typed, config: PreprocessStageConfig, trained: tuple[str, ...]
) -> Iterator[Anomaly]:
    """Classes that the config does not name (an error), or that training never saw (a warning).

    Args:
        typed: The new rows.
        config: The data set's label.
        trained: The classes of the last run; empty where there was none.
    """
    how = config.label
    known = how.classes or trained
    if LABEL not in typed.frame or how.threshold is not None or not known:
        return
    values = typed.frame[LABEL].astype("str")
    strange = ~missing(typed.frame[LABEL]) & ~values.isin(known).to_numpy(np.bool_)
    rows, of, shown = int(strange.sum()), len(typed.raw), config.preprocess.shown_rows
    if not rows:
        return
    if how.classes:
        text = f"is a class of the label: not so in {rows:,} of {of:,} rows"
        named = examples(typed.raw[how.column], np.flatnonzero(strange), shown)
    else:
        counts: pd.Series[int] = values[strange].value_counts()
        text = f"{len(counts):,} classes that training never saw, in {rows:,} rows"
        named = [f"{shortened(repr(word))}: {n:,} rows" for word, n in counts.head(shown).items()]
    yield Anomaly(
        kind="not_allowed" if how.classes else "new_words",
        severity="error" if how.classes else "warning",
        column=how.column,
        rows=rows,
        fraction=rows / of,
        text=text,
        examples=tuple(named),
    )
