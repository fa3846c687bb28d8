"""Which pipeline run a stage belongs to, so that every process tells the same story.

A run is named by a key and described by `.pipeline/runs/KEY/run.json`; its journals stand beside.
A stage joins the run that

1. the environment names (`PIPELINE_RUN`, set by `pipeline run` for everything it starts), or
2. the same `dvc repro` process has already opened, or
3. was interrupted or failed, if the config is still the same;

otherwise it begins a new one.
"""

from __future__ import annotations

import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pipeline.core.artifacts import PARAMS, STATE, Record
from pipeline.core.errors import PipelineError
from pipeline.core.jsonl import read_lines
from pipeline.core.processes import born, lives
from pipeline.core.publishing import exclusive, publish_file
from pipeline.core.schema import config
from pipeline.core.tracking_facts import DVC_LOCK, GitFacts, git_facts, params_hash
from pipeline.core.tracking_journal import Ending, Journal

RUN_VARIABLE = "PIPELINE_RUN"
"""Environment variable with the key of the run that a process belongs to."""

Status = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

_KEPT_RUNS = 20
"""Folders of told runs that stay for looking up; older ones are removed."""


@config
class RunIdentity:
    """One pipeline run, as kept in `.pipeline/runs/KEY/run.json`."""

    key: str
    """Begins with the UTC time, so that keys sort by age."""
    params_hash: str
    """SHA-256 of the composed config; empty while it is not composed yet."""
    started_ms: int
    """Milliseconds since the epoch."""
    ended_ms: int | None
    """Milliseconds since the epoch; None while it runs or when nobody said that it ended."""
    status: Status
    """RUNNING also stands for a run that nobody said had ended."""
    owner_pid: int
    """The process that drives the run: `pipeline run`, `dvc`, or the stage itself."""
    owner_born: float
    """When that process started, in seconds since the epoch."""
    managed: bool
    """Whether the owner will say when the run has ended; plain `dvc repro` does not."""
    experiment: str
    """Name of the DVC experiment; empty in an ordinary run."""
    git: GitFacts | None
    """The commit that the run started from."""
    search: str = ""
    """Name of the hyperparameter search that this run is; empty in an ordinary run."""


def open_run(root: Path, params: Mapping[str, Any]) -> RunIdentity:
    """Joins or begins the run that this process belongs to.

    Args:
        root: The project folder.
        params: The composed config; empty where it is not composed yet.

    Raises:
        BusyError: Another process holds the list of runs for longer than ten seconds.
    """
    with _runs_locked(root):
        run = _named(root) or _owned(root) or _interrupted(root, params) or _begun(root)
        if params:
            run = replace(run, params_hash=params_hash(params))
            _keep_params(root, run, params)
        _keep_lock(root, run)
        record(root, run.key).write(run)
        return run


def open_search(root: Path, params: Mapping[str, Any], *, name: str, key: str) -> RunIdentity:
    """Begins the run of a hyperparameter search, or takes it up where it was interrupted.

    Args:
        root: The project folder.
        params: The composed config.
        name: Name of the search.
        key: Key of its run; the same one takes up the same run.

    Raises:
        BusyError: Another process holds the list of runs for longer than ten seconds.
    """
    pid, birth = _owner()
    with _runs_locked(root):
        run = replace(
            read_run(root, key) or _begun(root, key),
            search=name,
            params_hash=params_hash(params),
            owner_pid=pid,
            owner_born=birth,
            managed=True,
            status="RUNNING",
            ended_ms=None,
        )
        _keep_params(root, run, params)
        _keep_lock(root, run)
        record(root, key).write(run)
        return run


def new_key() -> str:
    """A key for a new run: the UTC time, and letters that no other run has."""
    return f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{uuid.uuid4().hex[:6]}"


def finish_run(root: Path, run: RunIdentity, succeeded: bool) -> None:  # noqa: FBT001
    """Says that the run has ended; the next one gets a new key unless this one failed.

    Args:
        root: The project folder.
        run: What `open_run` gave.
        succeeded: Whether every stage did its work.
    """
    with _runs_locked(root):
        known = read_run(root, run.key) or run
        status = "FINISHED" if succeeded else _worst(_endings(root, known) | {"FAILED"})
        ended = int(time.time() * 1000)
        _keep_lock(root, run)
        record(root, run.key).write(replace(known, status=status, ended_ms=ended, managed=True))


def journal_for(root: Path, run: RunIdentity, stage: str) -> Journal:
    """Where `stage` tells its story in `run`."""
    return Journal(run_folder(root, run.key) / f"{stage}.jsonl")


def run_folder(root: Path, key: str) -> Path:
    """The folder with everything this machine knows of a run."""
    return root / STATE / "runs" / key


def record(root: Path, key: str) -> Record[RunIdentity]:
    """The identity of a run."""
    return Record(run_folder(root, key) / "run.json", RunIdentity)


def run_keys(root: Path) -> list[str]:
    """Keys of every run this machine knows, newest first."""
    return sorted((path.parent.name for path in _folder(root).glob("*/run.json")), reverse=True)


def read_run(root: Path, key: str) -> RunIdentity | None:
    """The run called `key`; None where this machine does not know it, or its file is damaged."""
    try:
        return record(root, key).read()
    except PipelineError:
        return None


def last_ending(path: Path) -> Ending | None:
    """How the last attempt in a journal ended; KILLED without a word and gone; None if it runs."""
    records, _ = read_lines(path)
    ending: Ending | None = "KILLED"  # nothing but a torn line: it died while it began
    for entry in records:
        if entry["kind"] == "start":
            process = entry["value"]
            ending = None if lives(process["pid"], process["born"]) else "KILLED"
        elif entry["kind"] == "finish":
            ending = entry["value"]["status"]
    return ending


def derived_status(root: Path, run: RunIdentity) -> Status:
    """How a run stands: as its owner said, else as its journals tell."""
    if run.status != "RUNNING":
        return run.status
    endings = _endings(root, run)
    awaited = run.managed and lives(run.owner_pid, run.owner_born)
    if awaited or None in endings:
        return "RUNNING"
    # An owner that would have said so and is gone was killed, even between two stages.
    return "KILLED" if run.managed else _worst(endings)


def forget_told_runs(root: Path, told: Iterable[str]) -> None:
    """Removes the folders of old runs whose story MLflow has; the newest stay."""
    for key in sorted(told, reverse=True)[_KEPT_RUNS:]:
        shutil.rmtree(run_folder(root, key), ignore_errors=True)


@contextmanager
def _runs_locked(root: Path) -> Iterator[None]:
    lock = root / STATE / "locks" / "runs.lock"
    with exclusive(lock, "the list of pipeline runs", wait_seconds=10):
        yield


def _folder(root: Path) -> Path:
    return root / STATE / "runs"


def _named(root: Path) -> RunIdentity | None:
    """The run that the environment names; begun under that name where it is not known here."""
    key = os.environ.get(RUN_VARIABLE)
    if not key:
        return None
    run = read_run(root, key) or _begun(root, key)
    return replace(run, managed=run.managed or run.owner_pid != os.getpid())


def _owned(root: Path) -> RunIdentity | None:
    pid, birth = _owner()
    for key in run_keys(root)[:_KEPT_RUNS]:
        run = read_run(root, key)
        if run is None or run.status != "RUNNING" or not _same_experiment(run):
            continue
        if run.owner_pid == pid and abs(run.owner_born - birth) < 1:
            return run
    return None


def _interrupted(root: Path, params: Mapping[str, Any]) -> RunIdentity | None:
    """The newest run, if it did not end well and had the very same config."""
    keys = run_keys(root)
    run = read_run(root, keys[0]) if keys else None
    if run is None or not params or run.params_hash != params_hash(params):
        return None
    if not _same_experiment(run) or derived_status(root, run) not in {"FAILED", "KILLED"}:
        return None
    pid, birth = _owner()
    return replace(
        run, owner_pid=pid, owner_born=birth, status="RUNNING", ended_ms=None, managed=False
    )


def _begun(root: Path, key: str | None = None) -> RunIdentity:
    pid, birth = _owner()
    return RunIdentity(
        key=key or new_key(),
        params_hash="",
        started_ms=int(time.time() * 1000),
        ended_ms=None,
        status="RUNNING",
        owner_pid=pid,
        owner_born=birth,
        managed=False,
        experiment=os.environ.get("DVC_EXP_NAME", ""),
        git=git_facts(root),
    )


def _same_experiment(run: RunIdentity) -> bool:
    """Whether a stage without a run of its own may join; a search is joined by name only."""
    return run.experiment == os.environ.get("DVC_EXP_NAME", "") and not run.search


def _owner() -> tuple[int, float]:
    """The nearest `dvc` above this process, or this process itself."""
    import psutil

    for process in psutil.Process().parents():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if any(Path(word).name == "dvc" for word in words[:4]):
            return process.pid, float(process.create_time())
    return os.getpid(), born(os.getpid())


def _endings(root: Path, run: RunIdentity) -> set[Ending | None]:
    return {last_ending(path) for path in run_folder(root, run.key).glob("*.jsonl")}


def _worst(endings: Set[Ending | None]) -> Ending:
    if endings & {None, "KILLED"}:
        return "KILLED"
    return "FAILED" if "FAILED" in endings else "FINISHED"


def _keep_params(root: Path, run: RunIdentity, params: Mapping[str, Any]) -> None:
    import yaml

    with publish_file(run_folder(root, run.key) / PARAMS) as aside:
        aside.write_text(
            yaml.safe_dump(dict(params), sort_keys=False, allow_unicode=True), encoding="utf-8"
        )


def _keep_lock(root: Path, run: RunIdentity) -> None:
    """Keeps dvc.lock as it is now: the next run changes it, maybe before this one is told."""
    if (root / DVC_LOCK).exists():
        with publish_file(run_folder(root, run.key) / DVC_LOCK) as aside:
            shutil.copyfile(root / DVC_LOCK, aside)
