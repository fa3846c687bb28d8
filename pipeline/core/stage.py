"""The stage record: what a room reads, writes and is called by, as data beside its function."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, get_type_hints

from pipeline.core.artifacts import Artifacts
from pipeline.core.schema import build, lookup
from pipeline.core.tracking import Journal, TrackingConfig


@dataclass(frozen=True)
class Context:
    """What a stage may know about the run it is part of.

    Attributes:
        root: The project folder: holds dvc.yaml and configs/.
        journal: Where the stage tells its params, metrics, tags and pictures.
        experiment: Name of the DVC experiment this runs in; None in an ordinary run.
        tracking: Which MLflow store; None before `compose` has run.
        stages: Every stage of the pipeline, in order; only `compose` needs them.
    """

    root: Path
    journal: Journal
    experiment: str | None = None
    tracking: TrackingConfig | None = None
    stages: tuple[Stage, ...] = ()


class Run(Protocol):
    """A stage's door."""

    def __call__(self, config: Any, artifacts: Artifacts, context: Context) -> None:
        """Reads named artifacts, writes named artifacts, and has no other effect."""


@dataclass(frozen=True)
class Stage:
    """One stage. `dvc.yaml` says the same; a test compares the two.

    Attributes:
        name: Folder, config group, DVC stage, MLflow child run and test folder.
        does: One line for people.
        config: The stage's config class; None for a stage without config.
        params: Field of `config` to dotted key in params.yaml; also the DVC params.
        deps: Files and folders read, relative to the project; the room's own folder and
            `pipeline/core` are added by `code`.
        outs: Cached files and folders written.
        kept: Outs that DVC leaves in place before the stage runs (`persist: true`).
        records: Small files written that git keeps instead of the DVC cache.
        metrics: Like `records`, and shown by `dvc metrics`.
        heavy: Whether the stage needs TensorFlow, so that a warm process pays off.
        agree: Refuses the whole composed config where this stage's sections name columns, classes
            or metrics that other sections do not know; asked once each section is sound by itself.
    """

    name: str
    does: str
    config: type | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    deps: tuple[str, ...] = ()
    outs: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    heavy: bool = False
    agree: Callable[[Mapping[str, Any]], None] | None = None

    @property
    def code(self) -> tuple[str, ...]:
        """The folders whose code this stage runs."""
        return (f"pipeline/{self.name}", "pipeline/core")

    def configure(self, params: Mapping[str, Any]) -> Any:
        """Builds this stage's config from the whole composed config.

        Raises:
            ConfigError: A key is missing, unknown, of the wrong type or out of range.
        """
        if self.config is None:
            return None
        # One field at a time, so that messages carry the key as it stands in params.yaml.
        types = get_type_hints(self.config, include_extras=True)
        return self.config(
            **{
                name: build(types[name], lookup(params, key), key)
                for name, key in self.params.items()
            }
        )

    def load(self) -> Run:
        """Imports the room's `run`, and with it whatever heavy libraries the room needs."""
        module = importlib.import_module(f"pipeline.{self.name}.stage")
        run: Run = module.run
        return run
