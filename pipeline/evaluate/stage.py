"""The door of `evaluate`: score, measure, compare, judge, draw, tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from pipeline.core.artifacts import Artifacts, write_json
from pipeline.core.console import say
from pipeline.core.encoding import encode, encode_training, out_of_fold_columns
from pipeline.core.errors import DataError
from pipeline.core.features import FeatureSet
from pipeline.core.model import RawColumnsModel, load_model, predict
from pipeline.core.records import LABEL, Split, Verdict
from pipeline.core.stage import Context
from pipeline.core.tracking import open_registry
from pipeline.evaluate.agreement import refuse_foreign_metrics
from pipeline.evaluate.baselines import Answered, linear_scores, sampled_rows, trivial_scores
from pipeline.evaluate.catalog import HEADLINE, METRICS
from pipeline.evaluate.champion import NotComparableError, champion_scores
from pipeline.evaluate.charts import draw_slices
from pipeline.evaluate.config import EvaluateConfig, EvaluateStageConfig
from pipeline.evaluate.drawing import Gallery
from pipeline.evaluate.efficiency import efficiency
from pipeline.evaluate.evidence import (
    CHAMPION,
    LINEAR,
    MODEL,
    TRIVIAL,
    Evidence,
    ScoredSplit,
    gather,
    own_weights,
    refuse_unusable,
)
from pipeline.evaluate.gate import judge
from pipeline.evaluate.measures import Scores
from pipeline.evaluate.pictures import draw_binary, draw_multiclass, draw_regression
from pipeline.evaluate.ranking import Floats
from pipeline.evaluate.report import (
    journal_metrics,
    lines,
    metrics_of,
    scores_of,
    slice_table,
)
from pipeline.evaluate.slices import slice_columns


def run(config: EvaluateStageConfig, artifacts: Artifacts, context: Context) -> None:
    """Writes metrics, pictures and verdict of the trained model.

    Args:
        config: How to measure, what to demand, and the model's name in the registry.
        artifacts: Where the splits, the features and the trained model are.
        context: Names the registry that has the champion.

    Raises:
        ConfigError: A threshold names a metric that this task does not have.
        DataError: The test split has no rows.
        PipelineError: A model gives NaN, or the registry does not answer.
    """
    options = config.evaluate
    features, training = artifacts.features.read(), artifacts.training.read()
    refuse_foreign_metrics(options.thresholds, features.label.task)
    test, validation = _rows(artifacts, "test"), _rows(artifacts, "validation")
    slice_by = slice_columns(test, features, options.slices)

    model = load_model(artifacts.model)
    rival = _champion(config.name, training.model_hash, test, features, context)
    scores = {MODEL: _scores(model, test, features)} | rival.scores
    scores |= _baselines(test, validation, artifacts, features, options)
    evidence = gather(
        ScoredSplit(test, scores),
        ScoredSplit(validation, {MODEL: _scores(model, validation, features)}),
        features,
        options,
        slice_by=slice_by,
        costs=efficiency(
            model, test, features, options.latency, training=training, model_file=artifacts.model
        ),
        champion_version=rival.version,
    )
    verdict = judge(evidence, options, training.model_hash)
    labels = {"test": test[LABEL].to_numpy(), "validation": validation[LABEL].to_numpy()}
    metrics = metrics_of(evidence, options, labels)

    with artifacts.evaluation_plots.publish() as folder:
        weights = own_weights(test, features) if options.weighted else None
        _draw(Gallery(folder), evidence, test, scores, options, weights=weights)
    write_json(artifacts.metrics, metrics)
    write_json(artifacts.scores, scores_of(metrics, features.label))
    artifacts.verdict.write(verdict)
    _tell(context, artifacts, metrics, verdict)
    for line in lines(evidence, verdict, rival.note):
        say(line)


@dataclass(frozen=True)
class _Rival:
    """The champion's scores on the test split, or a note why there are none."""

    scores: dict[str, Scores] = field(default_factory=dict)
    version: int | None = None
    note: str = ""


def _rows(artifacts: Artifacts, split: Split) -> pd.DataFrame:
    frame = artifacts.split(split).read()
    if split == "test" and frame.empty:
        raise DataError(
            "the test split has no rows",
            expected="rows to measure the model on",
            remedy="give the test split a share in data.split, then run `pipeline run`",
        )
    return frame


def _scores(model: RawColumnsModel, frame: pd.DataFrame, features: FeatureSet) -> Scores:
    scores: Scores = predict(model, frame, features)
    return refuse_unusable(scores, "the model", len(frame))


def _baselines(
    test: pd.DataFrame,
    validation: pd.DataFrame,
    artifacts: Artifacts,
    features: FeatureSet,
    config: EvaluateConfig,
) -> dict[str, Scores]:
    """Fits the baselines on the training split and asks them about the test split."""
    columns = [column.name for column in features.columns]
    weights = [features.weight.column] if features.weight else []
    wanted = [*columns, *weights, *out_of_fold_columns(features), LABEL]
    train = artifacts.split("train").read(wanted)
    sampled = train.iloc[sampled_rows(len(train), config.linear, config.bootstrap.seed)]
    known, check = (
        Answered(encoded, frame[LABEL].to_numpy(), own_weights(frame, features))
        for encoded, frame in (
            (encode_training(sampled, features), sampled),
            (encode(validation, features), validation),
        )
    )
    linear = linear_scores(known, check, encode(test, features), features, config.linear)
    labels, counts = train[LABEL].to_numpy(), own_weights(train, features)
    return {
        TRIVIAL: trivial_scores(features.label, labels, len(test), counts),
        LINEAR: refuse_unusable(linear, "the linear baseline", len(test)),
    }


def _champion(
    name: str, model_hash: str, test: pd.DataFrame, features: FeatureSet, context: Context
) -> _Rival:
    """Asks the registry's champion about the test split, where there is one that can answer."""
    if context.tracking is None:
        return _Rival()
    registry = open_registry(context.root, context.tracking)
    champion = registry.champion(name)
    if champion is None:
        return _Rival(note="no champion yet to compare with")
    if champion.model_hash == model_hash:
        return _Rival(note=f"the champion, version {champion.version}, is this very model")
    try:
        scores = champion_scores(registry.saved_model(champion), test, features.label)
    except NotComparableError as error:
        return _Rival(note=f"champion version {champion.version} is not compared: {error}")
    who = f"champion version {champion.version}"
    return _Rival({CHAMPION: refuse_unusable(scores, who, len(test))}, champion.version)


def _draw(
    gallery: Gallery,
    evidence: Evidence,
    test: pd.DataFrame,
    scores: Mapping[str, Scores],
    config: EvaluateConfig,
    *,
    weights: Floats | None,
) -> None:
    label, truth, bins = evidence.label, test[LABEL].to_numpy(), config.calibration_bins
    match label.task:
        case "binary":
            drawn = {name: scores[name] for name in scores if name != TRIVIAL}
            draw_binary(gallery, label, truth, drawn, bins, weights=weights)
        case "multiclass":
            draw_multiclass(gallery, label, truth, scores[MODEL], bins, weights=weights)
        case "regression":
            draw_regression(gallery, truth, scores[MODEL])
    headline = METRICS[HEADLINE[label.task]]
    overall = evidence.test[MODEL].values.get(headline.name)
    draw_slices(gallery, slice_table(evidence), headline.title, overall)


def _tell(
    context: Context, artifacts: Artifacts, metrics: Mapping[str, Any], verdict: Verdict
) -> None:
    champion = verdict.champion_version
    context.journal.metrics(journal_metrics(metrics))
    context.journal.tags({"verdict": verdict.verdict, "champion": str(champion or "none")})
    context.journal.artifact(artifacts.metrics)
    context.journal.artifact(artifacts.verdict.path)
    context.journal.artifact(artifacts.evaluation_plots.path)
