"""How a pipeline run and its stages look in MLflow: a parent run, and a child for each attempt.

The parent holds what people compare and read: the config, the last value of every metric, all
files, git and DVC facts. A child holds one attempt of one stage: its params, curves and times.
Everything here may be done twice without a trace (see `tracking_flush`).
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from pipeline.core.artifacts import PARAMS
from pipeline.core.promotions import user
from pipeline.core.schema import flatten
from pipeline.core.tracking_facts import DvcLock
from pipeline.core.tracking_journal import Ending
from pipeline.core.tracking_run import RunIdentity
from pipeline.core.tracking_store import Store

T = TypeVar("T")

RUN_TAG = "pipeline.run"
STAGE_TAG = "pipeline.stage"
ATTEMPT_TAG = "pipeline.attempt"

_METRICS_PER_BATCH = 1000
_OTHERS_PER_BATCH = 100
_LONGEST_KEY = 250
_LONGEST_PARAM = 250
_LONGEST_TAG = 5000
_NOT_SHOWN = ("data.columns.", "data.crosses.", "data.joins.", "data.source.", "serve.")
"""Params that are many and seldom compared; they stand in the attached params.yaml."""
_OUTCOMES: Mapping[Ending | None, str] = {
    "FINISHED": "ran",
    "FAILED": "failed",
    "KILLED": "killed",
    None: "running",
}


@dataclass(frozen=True)
class Attempt:
    """One start of a stage and what it told since."""

    number: int
    records: list[dict[str, Any]] = field(default_factory=list)

    def values(self, kind: str) -> Iterator[tuple[Any, int]]:
        """Value and time (milliseconds since the epoch) of every record of one kind."""
        for record in self.records:
            if record["kind"] == kind:
                yield record["value"], record["time_ms"]

    def merged(self, kind: str) -> dict[str, Any]:
        """All mappings of one kind as one; the last word on a key counts."""
        return {key: value for values, _ in self.values(kind) for key, value in values.items()}


def is_there(store: Store, run_id: str) -> bool:
    """Whether MLflow has this run, and nobody deleted it."""
    if not run_id:
        return False
    try:
        return bool(store.client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return False
        raise


def parent_of(store: Store, run: RunIdentity) -> str:
    """The parent run's id; it is made where there is none."""
    name = f"{run.experiment or run.search} {run.key}".strip()
    tags = {RUN_TAG: run.key, STAGE_TAG: "run"}
    return _found_or_made(store, tags, name, run.started_ms)


def child_of(store: Store, parent: str, key: str, stage: str, attempt: Attempt) -> str:
    """The id of the run that stands for one attempt of a stage; made where there is none."""
    tags = {RUN_TAG: key, STAGE_TAG: stage, ATTEMPT_TAG: str(attempt.number)}
    started = attempt.records[0]["time_ms"]
    return _found_or_made(store, tags, stage, started, {"mlflow.parentRunId": parent})


def tell_attempt(store: Store, run_id: str, attempt: Attempt) -> None:
    """Params, metrics with their steps, and tags of an attempt, in batches."""
    metrics = [
        Metric(_name(key), value, time_ms, told["step"])
        for told, time_ms in attempt.values("metrics")
        for key, value in told["values"].items()
    ]
    _send(store, run_id, metrics, attempt.merged("params"), attempt.merged("tags"))


def tell_parent(
    store: Store, parent: str, stage: str, attempt: Attempt, files: Mapping[Path, str]
) -> None:
    """What of an attempt people look for on the parent.

    Args:
        store: Where to.
        parent: The parent run's id.
        stage: Name of the stage: prefix of its metrics, folder of its files.
        attempt: What the stage told.
        files: Files and folders to attach, with the folder to put each in.
    """
    last = {
        f"{stage}.{key}": (value, time_ms, told["step"])
        for told, time_ms in attempt.values("metrics")
        for key, value in told["values"].items()
    }
    metrics = [Metric(_name(key), *point) for key, point in last.items()]
    _send(store, parent, metrics, {}, attempt.merged("tags"))
    for path, folder in files.items():
        place = posixpath.normpath(posixpath.join(stage, folder))
        if path.is_dir():
            store.client.log_artifacts(parent, str(path), posixpath.join(place, path.name))
        else:
            store.client.log_artifact(parent, str(path), place)


def tell_config(store: Store, parent: str, folder: Path) -> None:
    """The composed config: short params one by one, and the whole file."""
    path = folder / PARAMS
    if path.exists():
        flat = flatten(yaml.safe_load(path.read_text(encoding="utf-8")))
        shown = {key: _short(value) for key, value in flat.items()}
        _send(store, parent, [], {k: v for k, v in shown.items() if _is_short(k, v)}, {})
        store.client.log_artifact(parent, str(path))


def tell_facts(
    store: Store,
    parent: str,
    run: RunIdentity,
    endings: Mapping[str, Ending | None],
    lock: DvcLock,
) -> None:
    """Git, the config's hash, what each stage did, and the hashes of its data in DVC.

    An entry of dvc.lock belongs to this run once DVC has gone past the stage: when a later stage
    has started, or the run has been declared finished. Such a stage without a journal was cached.
    """
    past = {name for stage in endings for name in lock.upstream(stage)}
    if run.status == "FINISHED":
        past = set(lock.stages)
    done = {stage for stage in past if endings.get(stage, "FINISHED") == "FINISHED"}
    tags = lock.tags(done)
    for stage in done - endings.keys():
        tags[f"stage.{stage}"] = _cached_from(store, stage, lock.outs(stage))
    tags |= {f"stage.{stage}": _OUTCOMES[ending] for stage, ending in endings.items()}
    tags["params.hash"] = run.params_hash
    if run.experiment:
        tags["dvc.experiment"] = run.experiment
    if run.git:
        tags |= {
            "git.commit": run.git.commit,
            "git.branch": run.git.branch,
            "git.dirty": str(run.git.dirty).lower(),
            "mlflow.source.git.commit": run.git.commit,
        }
    _send(store, parent, [], {}, tags)


def end_run(store: Store, run_id: str, ending: str | None, ended_ms: int) -> None:
    """Gives a run its status and its end; None or RUNNING: it runs."""
    if ending in {None, "RUNNING"}:
        store.client.update_run(run_id, status="RUNNING")
    else:
        store.client.set_terminated(run_id, ending, ended_ms)


def _found_or_made(
    store: Store,
    identity: Mapping[str, str],
    name: str,
    started_ms: int,
    more: Mapping[str, str] | None = None,
) -> str:
    words = " and ".join(f"tags.`{key}` = '{value}'" for key, value in identity.items())
    found = store.client.search_runs([store.experiment_id], words, max_results=1)
    if found:
        return str(found[0].info.run_id)
    tags = {**identity, **(more or {}), "mlflow.user": user()}
    made = store.client.create_run(store.experiment_id, started_ms, tags, name)
    return str(made.info.run_id)


def _cached_from(store: Store, stage: str, outs: Mapping[str, str]) -> str:
    """Which run made what DVC took from its cache, where a run is known that did."""
    for path, md5 in outs.items():
        if "`" in path or not md5:
            continue
        words = f"tags.`dvc.out.{path}` = '{md5}' and tags.`stage.{stage}` = 'ran'"
        found = store.client.search_runs([store.experiment_id], words, max_results=1)
        if found:
            return f"cached from {found[0].data.tags.get(RUN_TAG, found[0].info.run_id)}"
    return "cached"


def _send(
    store: Store,
    run_id: str,
    metrics: Sequence[Metric],
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> None:
    for some in _batches(metrics, _METRICS_PER_BATCH):
        store.client.log_batch(run_id, metrics=some)
    if params:
        # A param cannot be changed in MLflow: the first word stays, also across two flushes.
        known = store.client.get_run(run_id).data.params
        named = {_name(key): value[:_LONGEST_PARAM] for key, value in params.items()}
        new = [Param(key, value) for key, value in named.items() if key not in known]
        for some in _batches(new, _OTHERS_PER_BATCH):
            store.client.log_batch(run_id, params=some)
    named = {_name(key): value[:_LONGEST_TAG] for key, value in tags.items()}
    for some in _batches([RunTag(key, value) for key, value in named.items()], _OTHERS_PER_BATCH):
        store.client.log_batch(run_id, tags=some)


def _batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])


def _name(key: str) -> str:
    """`key` in the letters, and as the plain relative path, that MLflow allows in names."""
    name = re.sub(r"[^\w.\- :/]", "_", key)[:_LONGEST_KEY]
    plain = posixpath.normpath(name) == name and not name.startswith(("/", "."))
    return name if plain else "_" + re.sub("[/.]", "_", name)


def _short(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _is_short(key: str, value: str) -> bool:
    return len(value) <= _LONGEST_PARAM and not f"{key}.".startswith(_NOT_SHOWN)
