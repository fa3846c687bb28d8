"""What decides the weights, as one hash: names checkpoints, and tells workers that differ."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
import json
from pathlib import Path

import numpy as np

from pipeline.core.artifacts import Artifacts, require
from pipeline.core.errors import PipelineError
from pipeline.core.schema import dump
from pipeline.train import models
from pipeline.train.config import TrainStageConfig
from pipeline.train.strategy import Team
from pipeline.train.warm_start import EarlierModel

_SEEN_ONLY = ("checkpoint", "profile", "tensorboard")
"""Options of `train` that leave the weights as they are."""


def identity(
    config: TrainStageConfig,
    artifacts: Artifacts,
    replicas: int,
    earlier: EarlierModel | None = None,
) -> str:
    """SHA-256, in hex, over config, code, data, replicas, first weights and package versions."""
    told = dump(config.train)
    decisive = {name: value for name, value in told.items() if name not in _SEEN_ONLY}
    sections = [decisive, models.plain(config.model), dump(config.strategy), replicas]
    digest = hashlib.sha256(json.dumps(sections, sort_keys=True).encode("utf-8"))
    builder, _ = models.load(config.model)
    code = [Path(inspect.getfile(builder)), *sorted(Path(__file__).parent.rglob("*.py"))]
    data = [artifacts.features.path, *(artifacts.split(s).path for s in ("train", "validation"))]
    for path in data:
        require(path)
    for path in (*code, *data):
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    for package in ("keras", "tensorflow"):
        digest.update(importlib.metadata.version(package).encode("utf-8"))
    if earlier is not None:
        digest.update(earlier.digest.encode("ascii"))
    return digest.hexdigest()


def require_equal(team: Team, key: str) -> None:
    """Refuses workers that would not train the same.

    Args:
        team: The workers.
        key: This worker's `identity`.

    Raises:
        PipelineError: Some differ from the chief; names them.
    """
    mine = np.frombuffer(bytes.fromhex(key), np.int32).reshape(1, -1)
    everyone = team.gather(mine)
    others = [str(i) for i, found in enumerate(everyone) if (found != everyone[0]).any()]
    if others:
        who = f"worker {others[0]} has" if len(others) == 1 else f"workers {', '.join(others)} have"
        raise PipelineError(
            f"{who} another config, other code or other data than the"
            f" chief (this is worker {team.worker})",
            expected="the same params.yaml, data/processed, pipeline/ and package versions",
            remedy="give every worker the same checkout and the same data, then start all again",
        )
