"""Searches with the toy worker: real processes, a real study, no training."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import yaml

from pipeline.core import tracking
from pipeline.core.errors import ConfigError
from pipeline.core.schema import build
from pipeline.tune.config import TuneConfig
from pipeline.tune.crews import local_crew
from pipeline.tune.search import Search
from pipeline.tune.space import read_space
from pipeline.tune.story import Story
from pipeline.tune.study import open_study, put_again
from pipeline.tune.workers import Crew

WORKER = Path(__file__).with_name("toy_worker.py")
CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def settings(space: Mapping[str, Any], trials: int | None, **changes: Any) -> TuneConfig:
    """The shipped YAML with a space and a budget; `sampler__name` for `sampler.name`."""
    values = yaml.safe_load((CONFIGS / "tune" / "default.yaml").read_text(encoding="utf-8"))
    values |= {"name": "toy", "space": dict(space), "budget": {"trials": trials, "minutes": None}}
    values["pruner"]["name"] = "none"
    for key, value in changes.items():
        *path, last = key.split("__")
        section = values
        for part in path:
            section = section[part]
        section[last] = value
    return build(TuneConfig, values, "tune")


@dataclass
class ToyConfigs:
    """A trial's config is its values; `do=refuse` does not compose."""

    groups: frozenset[str] = frozenset()

    def known(self, chosen: Mapping[str, Any]) -> frozenset[str]:
        return frozenset({"x", "do"})

    def composed(self, values: Mapping[str, Any]) -> dict[str, Any]:
        if values.get("do") == "refuse":
            raise ConfigError("these values do not go together")
        return dict(values)


def search(root: Path, config: TuneConfig, crew: Crew | None = None) -> optuna.Study:
    """Opens or resumes the study in `root` and searches, with local processes or `crew`."""
    root.mkdir(parents=True, exist_ok=True)
    study = open_study(root, config, {"metric": config.metric, "space": str(config.space)}, "key")
    put_again(study)
    run = tracking.open_search(root, {"tune": {}}, name="tune toy", key="key")
    story = Story(root, config, None, run, study)
    crew = crew or local_crew((str(WORKER),), root, root, config.jobs)
    space = read_space(config.space)
    with story.telling():
        Search(
            config=config, space=space, study=study, configs=ToyConfigs(), crew=crew, story=story
        ).run()
    return study


if __name__ == "__main__":  # a search in a process of its own, to be killed
    import json

    space, trials, changes = json.loads(sys.argv[2])
    search(Path(sys.argv[1]), settings(space, trials, **changes))
