"""Every stage in order. A new stage is one room and one line here."""

from __future__ import annotations

from pipeline.compose import STAGE as COMPOSE
from pipeline.core.errors import UsageError, nearest
from pipeline.core.stage import Stage
from pipeline.evaluate import STAGE as EVALUATE
from pipeline.export import STAGE as EXPORT
from pipeline.ingest import STAGE as INGEST
from pipeline.preprocess import STAGE as PREPROCESS
from pipeline.register import STAGE as REGISTER
from pipeline.serve import STAGE as SERVE
from pipeline.train import STAGE as TRAIN
from pipeline.tune import STAGE as TUNE

STAGES: tuple[Stage, ...] = (COMPOSE, INGEST, PREPROCESS, TRAIN, EVALUATE, REGISTER, EXPORT)
"""What DVC runs, in this order."""

CONFIGURED: tuple[Stage, ...] = (*STAGES, SERVE, TUNE)
"""Every record with a config of its own: `serve` and `tune` are commands, not DVC stages."""


def find_stage(name: str) -> Stage:
    """The stage called `name`.

    Raises:
        UsageError: There is none; names the nearest.
    """
    for stage in STAGES:
        if stage.name == name:
            return stage
    names = [stage.name for stage in STAGES]
    near = nearest(name, names)
    raise UsageError(
        f"there is no stage '{name}'",
        expected="one of " + ", ".join(names),
        remedy=f"did you mean {near[0]}?" if near else "",
    )
