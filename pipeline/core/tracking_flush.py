"""Carries journals into MLflow: every record once, whatever is killed when.

How "once" is kept without a transaction over two systems:

- every MLflow run is found again by tags that are written in the same step that makes it;
- sending the same param, tag, file, or metric (same key, step, time and value) twice changes
  nothing: they are keys of MLflow's tables;
- how far each journal was carried stands in `flushed.json`, written after MLflow has it. A kill
  in between sends the last piece once more, and nothing is left out.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from pipeline.core.artifacts import STATE, Record
from pipeline.core.errors import PipelineError
from pipeline.core.jsonl import read_lines
from pipeline.core.publishing import exclusive
from pipeline.core.schema import config
from pipeline.core.tracking import TrackingConfig
from pipeline.core.tracking_facts import DvcLock
from pipeline.core.tracking_journal import Journal
from pipeline.core.tracking_run import (
    RunIdentity,
    derived_status,
    forget_told_runs,
    last_ending,
    read_run,
    run_folder,
    run_keys,
)
from pipeline.core.tracking_store import Store, open_store
from pipeline.core.tracking_tell import (
    Attempt,
    child_of,
    end_run,
    is_there,
    parent_of,
    tell_attempt,
    tell_config,
    tell_facts,
    tell_parent,
)

_LOCK_SECONDS = 120.0


@config
class Carried:
    """How far one journal is in MLflow."""

    offset: int = 0
    """Bytes of the journal."""
    attempt: int = 0
    """Number of the last attempt told, from 1."""
    run_id: str = ""
    """MLflow run of that attempt."""
    ended: bool = True
    """Whether that attempt has ended in MLflow too."""


@config
class Flushed:
    """How far a run is in MLflow: `.pipeline/runs/KEY/flushed.json`."""

    store: str = ""
    """Which store and experiment, without credentials."""
    run_id: str = ""
    """The parent run."""
    status: str = ""
    """Status that the parent run was given last."""
    declared: str = ""
    """Status that the run itself had then: RUNNING until somebody says how it ended."""
    params_hash: str = ""
    """The config that the parent run was told."""
    journals: dict[str, Carried] = Field(default_factory=dict)
    """By stage."""


def carry(root: Path, tracking: TrackingConfig) -> None:
    """Carries everything not yet told into the store; with nothing to tell, it is not opened.

    Raises:
        PipelineError: The store cannot be used; the journals stay for the next time.
        BusyError: Another process has been carrying for two minutes.
    """
    with exclusive(root / STATE / "locks" / "flush.lock", "the journals", _LOCK_SECONDS):
        waiting = [key for key in run_keys(root) if _waits(root, key)]
        if not waiting:
            return
        store = open_store(root, tracking)
        with store.asked():
            for key in reversed(waiting):
                run = read_run(root, key)
                if run is not None:
                    _carry_run(root, run, store)
        forget_told_runs(root, [key for key in run_keys(root) if not _waits(root, key)])


def parent_run(root: Path, key: str, tracking: TrackingConfig) -> str | None:
    """MLflow's id of a pipeline run, after carrying what waits; None for a run not known here.

    Raises:
        PipelineError: The store cannot be used.
    """
    carry(root, tracking)
    return _flushed(root, key).run_id or None


def _waits(root: Path, key: str) -> bool:
    """Whether a run has something to tell."""
    run = read_run(root, key)
    if run is None:
        return False
    flushed = _flushed(root, key)
    known = (flushed.status, flushed.declared, flushed.params_hash)
    if known != (derived_status(root, run), run.status, run.params_hash):
        return True
    return any(
        not carried.ended or journal.stat().st_size > carried.offset
        for journal, carried in _journals(root, run, flushed)
    )


def _carry_run(root: Path, run: RunIdentity, store: Store) -> None:
    flushed = _flushed(root, run.key)
    name = f"{store.where} {store.experiment_id}"
    if flushed.store != name or not is_there(store, flushed.run_id):
        # The first time, or another store, or one made anew: everything is told from the start.
        flushed = Flushed(store=name, run_id=parent_of(store, run))
        _record(root, run.key).write(flushed)
    if flushed.params_hash != run.params_hash:
        tell_config(store, flushed.run_id, run_folder(root, run.key))
        flushed = replace(flushed, params_hash=run.params_hash)
    for journal, carried in _journals(root, run, flushed):
        told = _carry_journal(store, run, journal, carried, flushed.run_id)
        flushed = replace(flushed, journals={**flushed.journals, journal.stem: told})
        _record(root, run.key).write(flushed)
    stages = [path for path, _ in _journals(root, run, flushed) if not Journal(path).is_trial]
    endings = {journal.stem: last_ending(journal) for journal in stages}
    tell_facts(store, flushed.run_id, run, endings, DvcLock.read(run_folder(root, run.key)))
    status = derived_status(root, run)
    end_run(store, flushed.run_id, status, run.ended_ms or _last_told_ms(root, run))
    _record(root, run.key).write(replace(flushed, status=status, declared=run.status))


def _carry_journal(
    store: Store, run: RunIdentity, journal: Path, carried: Carried, parent: str
) -> Carried:
    """Tells what a journal has beyond `carried`; returns how far it is told now."""
    records, offset = read_lines(journal, carried.offset)
    if not records and carried.ended:
        return carried
    attempts = _attempts(records, carried.attempt)
    run_id = carried.run_id if is_there(store, carried.run_id) else ""
    number = carried.attempt
    if attempts and attempts[0].number > number and run_id and not carried.ended:
        end_run(store, run_id, "KILLED", attempts[0].records[0]["time_ms"])
    ending = last_ending(journal)
    for attempt in attempts:
        if attempt.number > number or not run_id:
            run_id = child_of(store, parent, run.key, journal.stem, attempt)
        number = attempt.number
        tell_attempt(store, run_id, attempt)
        if not Journal(journal).is_trial:
            files = dict(_files(journal.parent, attempt))
            tell_parent(store, parent, journal.stem, attempt, files)
        status = ending if attempt is attempts[-1] else _own_ending(attempt)
        end_run(store, run_id, status, attempt.records[-1]["time_ms"])
        _drop_copies(journal.parent, attempt)
    if not attempts and run_id and not carried.ended:  # it may have died without a word since
        end_run(store, run_id, ending, _last_ms(journal))
    return Carried(offset=offset, attempt=number, run_id=run_id, ended=ending is not None)


def _attempts(records: list[dict[str, Any]], number: int) -> list[Attempt]:
    """Records by attempt; those before the first start belong to attempt `number`."""
    attempts = [Attempt(number)]
    for record in records:
        if record["kind"] == "start":
            attempts.append(Attempt(attempts[-1].number + 1))
        attempts[-1].records.append(record)
    return [attempt for attempt in attempts if attempt.records]


def _own_ending(attempt: Attempt) -> str:
    """How an attempt that another one followed has ended: without a word, it was killed."""
    return next((value["status"] for value, _ in attempt.values("finish")), "KILLED")


def _files(folder: Path, attempt: Attempt) -> Iterator[tuple[Path, str]]:
    """What an attempt wants attached: as it stood then, else the original if it has not changed."""
    for value, time_ms in attempt.values("artifact"):
        original = Path(value["path"])
        if "copy" in value and (folder / value["copy"]).exists():
            yield folder / value["copy"], value["folder"]
        elif original.exists() and (
            "copy" not in value or original.stat().st_mtime * 1000 <= time_ms
        ):
            yield original, value["folder"]


def _drop_copies(folder: Path, attempt: Attempt) -> None:
    for value, _ in attempt.values("artifact"):
        if "copy" in value:
            shutil.rmtree((folder / value["copy"]).parent, ignore_errors=True)


def _journals(root: Path, run: RunIdentity, flushed: Flushed) -> list[tuple[Path, Carried]]:
    paths = sorted(run_folder(root, run.key).glob("*.jsonl"))
    return [(path, flushed.journals.get(path.stem, Carried())) for path in paths]


def _record(root: Path, key: str) -> Record[Flushed]:
    return Record(run_folder(root, key) / "flushed.json", Flushed)


def _flushed(root: Path, key: str) -> Flushed:
    try:
        return _record(root, key).read()
    except PipelineError:
        return Flushed()


def _last_told_ms(root: Path, run: RunIdentity) -> int:
    times = [_last_ms(path) for path in run_folder(root, run.key).glob("*.jsonl")]
    return max(times, default=run.started_ms)


def _last_ms(journal: Path) -> int:
    records, _ = read_lines(journal)
    return int(records[-1]["time_ms"]) if records else int(time.time() * 1000)
