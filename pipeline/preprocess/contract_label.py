"""The label of new rows, which a run would refuse or pass over."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from pipeline.core.records import LABEL
from pipeline.preprocess.check_breaches import examples
from pipeline.preprocess.clean import missing, without_value
from pipeline.preprocess.config import PreprocessStageConfig
from pipeline.preprocess.contract_records import Anomaly, commonest, whole
from pipeline.preprocess.raw import Typed
from pipeline.preprocess.summary_words import Words


class LabelCheck:
    """Looks for rows without a label, and for classes that are none, batch by batch.

    Args:
        config: The data set's label.
        trained: The classes of the last run; empty where there was none.
    """

    def __init__(self, config: PreprocessStageConfig, trained: tuple[str, ...]) -> None:
        self._config = config
        self._known = config.label.classes or trained
        self._gone = self._strange = 0
        self._words = Words(LABEL)
        self._shown: list[str] = []

    def look(self, typed: Typed, offset: int) -> None:
        """Looks at a batch whose first row has the number `offset` in the table, from 0."""
        if LABEL not in typed.frame:
            return
        how, wrong_too = self._config.label, self._config.preprocess.wrong_type != "error"
        self._gone += int(without_value(typed, LABEL, wrong_too=wrong_too).sum())
        if how.threshold is not None or not self._known:
            return
        values = typed.frame[LABEL].astype("str")
        strange = ~missing(typed.frame[LABEL]) & ~values.isin(self._known).to_numpy(np.bool_)
        self._strange += int(strange.sum())
        self._words.add(pd.Series(values[strange], dtype="str"))
        left = self._config.preprocess.shown_rows - len(self._shown)
        self._shown += examples(typed.raw[how.column], np.flatnonzero(strange), left, offset)

    def found(self, of: int) -> Iterator[Anomaly]:
        """What is wrong with the label of all `of` rows."""
        yield from self._unlabelled(of)
        if not self._strange:
            return
        how, rows = self._config.label, self._strange
        if how.classes:
            text = f"is a class of the label: not so in {rows:,} of {of:,} rows"
        else:
            text = f"{self._words.distinct:,} classes that training never saw, in {rows:,} rows"
        shown = self._config.preprocess.shown_rows
        yield Anomaly(
            kind="not_allowed" if how.classes else "new_words",
            severity="error" if how.classes else "warning",
            column=how.column,
            rows=rows,
            fraction=rows / of,
            text=text,
            examples=tuple(self._shown) if how.classes else commonest(self._words, shown),
        )

    def _unlabelled(self, of: int) -> Iterator[Anomaly]:
        """Rows without a label: an error where a run refuses them; a word about all of them."""
        name, rows = self._config.label.column, self._gone
        if rows and self._config.preprocess.missing_label == "error":
            said = f"is the label of every row: not so in {rows:,} of {of:,} rows"
            yield whole("too_many_missing", name, said, rows=rows, of=of, severity="error")
        elif rows and rows == of:
            said = "has no value in any row: these rows can be served, not learned from"
            yield whole("no_value", name, said, rows=rows, of=of)
