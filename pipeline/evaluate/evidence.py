"""Everything measured about a model, gathered before anything is judged, drawn or written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

from pipeline.core.console import progress
from pipeline.core.errors import PipelineError
from pipeline.core.features import FeatureSet, Label
from pipeline.core.records import LABEL
from pipeline.evaluate.bootstrap import Counted, Estimates, estimate
from pipeline.evaluate.config import EvaluateConfig
from pipeline.evaluate.measures import Labels, Scores, measure_of
from pipeline.evaluate.ranking import Floats
from pipeline.evaluate.slices import Slice, slices

MODEL, CHAMPION, LINEAR, TRIVIAL = "model", "champion", "linear", "trivial"
"""Names of the models compared."""


@dataclass(frozen=True)
class ScoredSplit:
    """One split and what each model says about it.

    Attributes:
        frame: The rows as processed.
        scores: By name of the model: `[rows, classes]` probabilities, or `[rows]` values.
    """

    frame: pd.DataFrame
    scores: Mapping[str, Scores]


@dataclass(frozen=True)
class Evidence:
    """What the verdict rests on.

    Attributes:
        label: What is predicted.
        test: Metrics on the test split by name of the model.
        validation: Metrics of the model on the validation split; None where it has no rows.
        slices: The slices of the test split with the model's metrics on each.
        costs: Efficiency figures by name.
        champion_version: Registry version compared with; None where there was none.
    """

    label: Label
    test: Mapping[str, Estimates]
    validation: Estimates | None
    slices: tuple[tuple[Slice, Estimates], ...]
    costs: Mapping[str, float]
    champion_version: int | None = None

    @cached_property
    def gains(self) -> dict[str, Estimates]:
        """Improvement of the model over each other model; positive is better."""
        model = self.test[MODEL]
        return {name: model.gain_over(self.test[name]) for name in self.test if name != MODEL}


def gather(
    test: ScoredSplit,
    validation: ScoredSplit,
    features: FeatureSet,
    config: EvaluateConfig,
    *,
    slice_by: list[str],
    costs: Mapping[str, float],
    champion_version: int | None,
) -> Evidence:
    """Measures all models on the test split, and the model on slices and on validation.

    Args:
        test: Scores of every model; the rows that decide.
        validation: Scores of the model; may have no rows.
        features: The fitted features.
        config: Intervals, bins and slices.
        slice_by: Columns to slice by.
        costs: Efficiency figures.
        champion_version: Version whose scores stand under CHAMPION.
    """
    cut = list(slices(test.frame, slice_by, features, config.slices))
    parts = 1 + bool(len(validation.frame)) + len(cut)
    with progress("measuring", parts * config.bootstrap.resamples) as advance:

        def measured(
            frame: pd.DataFrame, scores: Mapping[str, Scores], note: str
        ) -> dict[str, Estimates]:
            labels: Labels = frame[LABEL].to_numpy()
            bins, task = config.calibration_bins, features.label.task
            measures = {name: measure_of(task, labels, scores[name], bins) for name in scores}
            rows = counted(frame, features, weighted=config.weighted)
            return estimate(measures, rows, config.bootstrap, lambda n, _: advance(n, note))

        on_test = measured(test.frame, test.scores, "test")
        on_validation = None
        if len(validation.frame):
            on_validation = measured(validation.frame, validation.scores, "validation")[MODEL]
        on_slices = []
        for part in cut:
            mine = {MODEL: test.scores[MODEL][part.chosen]}
            on_slices.append((part, measured(test.frame[part.chosen], mine, part.name)[MODEL]))
    return Evidence(
        label=features.label,
        test=on_test,
        validation=on_validation,
        slices=tuple(on_slices),
        costs=costs,
        champion_version=champion_version,
    )


def counted(frame: pd.DataFrame, features: FeatureSet, *, weighted: bool) -> Counted:
    """How the rows of a processed split count; rows without a group are drawn by themselves.

    Where all rows of a part weigh nothing, they count alike.
    """
    own = own_weights(frame, features) if weighted else None
    weights = np.ones(len(frame)) if own is None else own
    if features.group is None:
        return Counted(weights)
    groups = np.array(frame[features.group], dtype=object)
    alone = groups == ""
    groups[alone] = np.flatnonzero(alone)
    return Counted(weights, pd.factorize(groups)[0].astype(np.int64))


def own_weights(frame: pd.DataFrame, features: FeatureSet) -> Floats | None:
    """How much each row of a processed split counts, of mean 1 over the training split.

    None where the data set has no column of kind weight, or all rows here weigh nothing.
    """
    if features.weight is None:
        return None
    own: Floats = frame[features.weight.column].to_numpy(dtype=np.float64) / features.weight.mean
    return own if own.any() else None


def refuse_unusable(scores: Scores, who: str, rows: int) -> Scores:
    """Returns `scores`, or refuses those no metric can be computed from.

    Raises:
        PipelineError: Some are NaN or infinite.
    """
    finite = np.isfinite(scores)
    if finite.all():
        return scores
    broken = rows - int(finite.reshape(rows, -1).all(axis=1).sum())
    raise PipelineError(
        f"{who} gave NaN or infinite scores for {broken:,} of {rows:,} rows",
        expected="finite scores",
        remedy="see loss and metrics in models/trained/history.csv; a lower learning rate or "
        "gradient clipping (train.optimizer) keeps training from diverging",
    )
