"""The work of `train`, in whichever process: one worker's part, the only one's or one of many."""

from __future__ import annotations

import time
from pathlib import Path

from pipeline.core import runtime
from pipeline.core.artifacts import STATE, Artifacts
from pipeline.core.console import Progress, progress
from pipeline.core.features import FeatureSet
from pipeline.core.schema import flatten
from pipeline.core.stage import Context
from pipeline.train.announce import announce, report
from pipeline.train.card import facts, write_card
from pipeline.train.checkpoint import Checkpoints
from pipeline.train.config import TrainStageConfig
from pipeline.train.curves import curves
from pipeline.train.diverged import keeping_batches
from pipeline.train.fitting import Fitted, fit
from pipeline.train.identity import identity, require_equal
from pipeline.train.memory import explaining_memory
from pipeline.train.plan import Plan, plan_of
from pipeline.train.profiler import Profiler
from pipeline.train.results import publish
from pipeline.train.splits import read_features, sources
from pipeline.train.strategy import ALONE, Team
from pipeline.train.warm_start import earlier_model


@explaining_memory()
def work(
    config: TrainStageConfig,
    artifacts: Artifacts,
    context: Context,
    team: Team = ALONE,
    show: Progress = progress,
) -> None:
    """Encodes the splits once, trains the core, saves it with its encoder in front.

    Of several workers the chief alone saves and tells.

    Raises:
        DataError: The processed data is damaged, empty, or has one class only.
        ConfigError: An option does not fit the task, or the model cannot be built.
        PipelineError: The workers differ in config, code or data, or memory ran out.
        TrainingDivergedError: The loss is no number any more, or has exploded.
    """
    options = config.train
    earlier = earlier_model(options.warm_start, context.root, context.tracking)
    key = identity(config, artifacts, team.replicas, earlier)
    require_equal(team, key)

    features = read_features(artifacts)
    source, validation = sources(config, artifacts, features, team)
    cut = plan_of(options, len(source), team.replicas)
    if team.is_chief:
        context.journal.params(flatten(config.sections()))
        announce(config, len(source), cut, team)

    checkpoints = Checkpoints(artifacts.root, key, options.checkpoint)
    board = _board(context.root, config.model.name)
    profiled = options.profile and team.is_chief
    with (
        runtime.session(options.seed),
        curves(board if options.tensorboard else None, context.journal, team) as tell,
    ):
        with keeping_batches(context.root, source, features, options=options, cut=cut, team=team):
            fitted = fit(
                config,
                features,
                source,
                validation,
                tell=tell,
                checkpoints=checkpoints,
                team=team,
                earlier=earlier,
                show=show,
                watching=[Profiler(board)] if profiled else [],
            )
        if team.is_chief:
            _leave_behind(
                artifacts,
                context,
                features,
                fitted,
                cut=cut,
                model_name=config.model.name,
                warm_start=earlier.where if earlier else "",
            )
            checkpoints.remove()


def _board(root: Path, model_name: str) -> Path:
    """Where TensorBoard finds the curves and the profile of this training."""
    return root / STATE / "tensorboard" / f"{time.strftime('%Y%m%d-%H%M%S')}-{model_name}"


def _leave_behind(
    artifacts: Artifacts,
    context: Context,
    features: FeatureSet,
    fitted: Fitted,
    *,
    cut: Plan,
    model_name: str,
    warm_start: str,
) -> None:
    """Publishes what came of it, and tells it."""
    measured = facts(fitted)
    record = publish(
        artifacts,
        features,
        fitted,
        model_name=model_name,
        warm_start=warm_start,
        draw_card=lambda path, record: write_card(path, record, fitted, cut, measured),
    )
    context.journal.metrics(measured)
    context.journal.artifact(artifacts.training_card)
    report(record, fitted.history, context.journal)
