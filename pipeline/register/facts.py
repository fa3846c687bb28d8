"""What a registry version says of itself: the way back from a served answer to its data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pipeline.core.artifacts import PARAMS, PROCESSED, RAW, TRAINED, Artifacts
from pipeline.core.records import Verdict
from pipeline.core.tracking import Journal
from pipeline.core.tracking_facts import DvcLock, git_facts, params_hash
from pipeline.core.tracking_registry import HASH_TAG, VERDICT_TAG
from pipeline.core.tracking_run import read_run

_READ_BYTES = 1 << 20


def version_tags(
    artifacts: Artifacts, journal: Journal, verdict: Verdict, data_name: str
) -> dict[str, str]:
    """The tags of a new version.

    Returns:
        `model_hash`, `verdict`, `data.name`, `data.hash`, `params.hash`, `pipeline.run`;
        `git.commit`, `git.branch`, `git.dirty` where there is git; `dvc.out.PATH` where DVC
        knows it; `train.*`; and `gate.CHECK`: value, direction and bound of every threshold.
    """
    training = artifacts.training.read()
    return {
        HASH_TAG: training.model_hash,
        VERDICT_TAG: verdict.verdict,
        "verdict.champion_version": str(verdict.champion_version or ""),
        "data.name": data_name,
        "data.hash": folder_hash(artifacts.processed.path),
        "params.hash": params_hash(_params(artifacts.root)),
        "pipeline.run": journal.run_key,
        "train.model": training.model,
        "train.parameters": str(training.parameters),
        "train.epochs": str(training.epochs),
        **_gate(verdict),
        **_git(artifacts.root, journal),
        **_dvc(artifacts.root),
    }


def folder_hash(folder: Path) -> str:
    """SHA-256 over names and contents of all files of a folder, in hex."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()} {digest}\n".encode())
    return whole.hexdigest()


def _gate(verdict: Verdict) -> dict[str, str]:
    tags = {}
    for check in verdict.checks:
        key = ".".join(filter(None, ["gate", check.name, check.slice]))
        tags[key] = (
            f"{check.value:.6g} {'>=' if check.greater_is_better else '<='} {check.bound:.6g}"
        )
    return tags


def _git(root: Path, journal: Journal) -> dict[str, str]:
    run = read_run(root, journal.run_key)
    git = run.git if run else git_facts(root)
    if git is None:
        return {}
    return {
        "git.commit": git.commit,
        "git.branch": git.branch,
        "git.dirty": str(git.dirty).lower(),
    }


def _dvc(root: Path) -> Mapping[str, str]:
    lock = DvcLock.read(root)
    wanted = {f"dvc.out.{path}" for path in (RAW, PROCESSED, TRAINED)}
    return {key: value for key, value in lock.tags(lock.stages).items() if key in wanted}


def _params(root: Path) -> dict[str, object]:
    import yaml

    path = root / PARAMS
    return yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
