"""What a stage tells about itself, and the only door to MLflow.

    run = open_run(root, params)               which run this process belongs to
    journal = journal_for(root, run, "train")  where a stage tells its story
    flush(root, tracking)                      carries the stories into MLflow
    registry = open_registry(root, tracking)   versions and aliases of a model

Journals cost nothing and need no MLflow. Only `flush`, `check_store`, `warm` and `open_registry`
import it, which takes 2 to 3 s: a process that pays that anyway carries everybody's journals.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pipeline.core.errors import PipelineError
from pipeline.core.schema import config
from pipeline.core.tracking_journal import TRIAL, Ending, Journal
from pipeline.core.tracking_run import (
    RUN_VARIABLE,
    RunIdentity,
    finish_run,
    journal_for,
    new_key,
    open_run,
    open_search,
)

if TYPE_CHECKING:
    from pipeline.core.tracking_registry import Registry

PYFUNC_NOISE = r"(.|\n)*Any type hint is inferred as AnyType"
"""What MLflow's pyfunc warns of its own chat types when it is imported."""

__all__ = [
    "PYFUNC_NOISE",
    "RUN_VARIABLE",
    "TRIAL",
    "Ending",
    "Journal",
    "RunIdentity",
    "TrackingConfig",
    "check_store",
    "finish_run",
    "flush",
    "journal_for",
    "new_key",
    "open_registry",
    "open_run",
    "open_search",
    "warm",
]


@config
class TrackingConfig:
    """Where runs and registered models are kept. Changing it reruns no stage."""

    kind: Literal["sqlite", "server"]
    """`sqlite`: mlflow.db in the project; `server`: MLFLOW_TRACKING_URI from the environment."""
    experiment: str = Field(min_length=1)
    """MLflow experiment that the runs go to."""


def flush(root: Path, tracking: TrackingConfig) -> bool:
    """Carries every journal not yet told into MLflow, each record once.

    A store that cannot be used must not cost a trained model: it is a warning on standard error,
    the journals stay, and the next flush carries them.

    Returns:
        Whether MLflow knows everything now.
    """
    from pipeline.core.tracking_flush import carry

    try:
        carry(root, tracking)
    except (PipelineError, OSError) as error:
        print(f"warning: MLflow was not told; kept for the next run\n{error}", file=sys.stderr)
        return False
    return True


def check_store(root: Path, tracking: TrackingConfig) -> str:
    """Opens the store, makes a missing one, and says where it is.

    Raises:
        ConfigError: `server` is chosen without MLFLOW_TRACKING_URI.
        PipelineError: The store does not answer, is damaged, or was made by another MLflow.
    """
    from pipeline.core.tracking_store import open_store

    return open_store(root, tracking).where


def open_registry(root: Path, tracking: TrackingConfig) -> Registry:
    """Opens the model registry of the store.

    Raises:
        ConfigError: `server` is chosen without MLFLOW_TRACKING_URI.
        PipelineError: The store does not answer, is damaged, or was made by another MLflow.
    """
    from pipeline.core.tracking_registry import Registry
    from pipeline.core.tracking_store import open_store

    return Registry(open_store(root, tracking))


def warm() -> None:
    """Imports all of MLflow ahead of its first use, for a process that has time to spare."""
    import pipeline.core.tracking_flush
    import pipeline.core.tracking_registry  # noqa: F401

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", PYFUNC_NOISE)
        import mlflow.pyfunc  # noqa: F401
