"""Trials of a search: the same training as the stage's, many times on one encoded table."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.core import runtime
from pipeline.core.artifacts import Artifacts
from pipeline.core.tracking import TrackingConfig
from pipeline.train.agreement import MEASURED
from pipeline.train.augment import augmented
from pipeline.train.checkpoint import Checkpoints
from pipeline.train.config import TrainStageConfig
from pipeline.train.examples import Examples
from pipeline.train.fitting import fit
from pipeline.train.input import InMemory
from pipeline.train.splits import encoded_splits, read_features, weighted
from pipeline.train.strategy import ALONE
from pipeline.train.validation import require_monitor
from pipeline.train.warm_start import earlier_model
from pipeline.train.watch import Row


@dataclass(frozen=True)
class TrialResult:
    """What one training came to.

    Attributes:
        kept: The row of the epoch whose weights `train` would keep.
        epochs: Epochs run.
        seconds: Wall time of them.
    """

    kept: Row
    epochs: int
    seconds: float


class Trials:
    """Encodes the splits once; every trial trains on them.

    Args:
        artifacts: The project's, with `data/processed`.

    Raises:
        DataError: The processed data is damaged, empty, or has one class only.
    """

    def __init__(self, artifacts: Artifacts) -> None:
        self.root = artifacts.root
        self.features = read_features(artifacts)
        self.train, self.validation = encoded_splits(artifacts, self.features)

    @property
    def metrics(self) -> tuple[str, ...]:
        """What can be compared on this table."""
        return MEASURED[self.features.label.task]

    def run(
        self,
        config: TrainStageConfig,
        tell: Callable[[Row], None],
        tracking: TrackingConfig | None = None,
    ) -> TrialResult:
        """Trains once; leaves nothing behind.

        With the same config it gives the weights that the stage gives, and so the same numbers.

        Args:
            config: Of stage `train`.
            tell: Called with each epoch's row; what it raises ends the trial.
            tracking: Where `train.warm_start` finds registered models.

        Raises:
            ConfigError: An option does not fit the task, or the model cannot be built.
            TrainingDivergedError: The loss is no number any more, or has exploded.
        """
        require_monitor(config.train.early_stopping.monitor, self.features.label, self.validation)
        earlier = earlier_model(config.train.warm_start, self.root, tracking)
        train: Examples = weighted(self.train, config.train.class_weights, self.features.label)
        # A trial that is cut off is tried anew, so its checkpoints are not for keeping.
        with (
            tempfile.TemporaryDirectory(prefix="trial-") as folder,
            runtime.session(config.train.seed),
        ):
            fitted = fit(
                config,
                self.features,
                augmented(InMemory(train), train, config.train, self.features),
                self.validation,
                tell=tell,
                checkpoints=Checkpoints(Path(folder), "trial", config.train.checkpoint),
                team=ALONE,
                earlier=earlier,
            )
        kept = next(row for row in fitted.history if row["epoch"] == fitted.best_epoch)
        return TrialResult(kept, len(fitted.history), fitted.seconds)
