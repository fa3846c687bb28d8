"""Where a run stands in git and in DVC: facts that lead from a served answer back to its data."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.core.artifacts import (
    EXPORT_RECORD,
    METRICS,
    OVERRIDES,
    PARAMS,
    PROMOTIONS,
    REGISTRATION,
)
from pipeline.core.schema import config

DVC_LOCK = "dvc.lock"
"""Where DVC keeps the hashes of what each stage read and wrote."""

_WRITTEN_BY_RUNS = (
    DVC_LOCK,
    EXPORT_RECORD,
    METRICS,
    OVERRIDES,
    PARAMS,
    PROMOTIONS,
    REGISTRATION,
)
"""Files in git that a run itself changes: they do not make the code dirty."""


@config
class GitFacts:
    """The commit that a run started from."""

    commit: str
    """Full hash; empty outside git or before the first commit."""
    branch: str
    """Branch name; empty where HEAD is detached."""
    dirty: bool
    """Whether files differ from the commit, other than those that runs write themselves."""


def git_facts(root: Path) -> GitFacts | None:
    """Asks git once; None where `root` is not in a repository or there is no git."""
    excluded = [f":(exclude){path}" for path in _WRITTEN_BY_RUNS]
    command = ["git", "status", "--porcelain=v2", "--branch", "--", ".", *excluded]
    try:
        answer = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=30, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    lines = answer.stdout.splitlines()
    head = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
    return GitFacts(
        commit=head.get("branch.oid", "").replace("(initial)", ""),
        branch=head.get("branch.head", "").replace("(detached)", ""),
        dirty=any(not line.startswith("#") for line in lines),
    )


def params_hash(params: Mapping[str, Any]) -> str:
    """SHA-256 of the composed config in canonical JSON, in hex; empty for an empty config."""
    if not params:
        return ""
    text = json.dumps(params, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class DvcLock:
    """What dvc.lock says about each stage that DVC has finished."""

    stages: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> DvcLock:
        """Reads dvc.lock in `folder`; a missing or damaged one knows no stages."""
        import yaml

        try:
            content = yaml.safe_load((folder / DVC_LOCK).read_text(encoding="utf-8"))
            stages = content["stages"]
        except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError):
            stages = {}
        return cls(stages if isinstance(stages, dict) else {})

    def outs(self, stage: str) -> dict[str, str]:
        """Path to content hash of what `stage` wrote."""
        return dict(self._entries(stage, "outs"))

    def upstream(self, stage: str) -> set[str]:
        """Every stage whose outputs `stage` reads, directly or not."""
        found: set[str] = set()
        waiting = [stage]
        while waiting:
            for name in self._producers(waiting.pop()):
                if name not in found:
                    found.add(name)
                    waiting.append(name)
        return found

    def tags(self, stages: Collection[str]) -> dict[str, str]:
        """`dvc.out.PATH` for everything `stages` wrote, `dvc.dep.PATH` for data from outside."""
        made = {path for stage in self.stages for path in self.outs(stage)}
        tags: dict[str, str] = {}
        for stage in stages:
            tags |= {f"dvc.out.{path}": md5 for path, md5 in self.outs(stage).items()}
            for path, md5 in self._entries(stage, "deps"):
                if not _inside(path, made) and not path.startswith(("pipeline", "configs")):
                    tags[f"dvc.dep.{path}"] = md5
        return tags

    def _producers(self, stage: str) -> set[str]:
        read = [path for path, _ in self._entries(stage, "deps")]
        read += self.stages.get(stage, {}).get("params", {})
        return {
            name
            for name in self.stages
            if name != stage and any(_touches(path, self.outs(name)) for path in read)
        }

    def _entries(self, stage: str, kind: str) -> Iterator[tuple[str, str]]:
        for entry in self.stages.get(stage, {}).get(kind, []):
            yield str(entry["path"]), str(entry.get("md5", ""))


def _touches(path: str, outs: Collection[str]) -> bool:
    return _inside(path, outs) or any(_inside(out, {path}) for out in outs)


def _inside(path: str, folders: Collection[str]) -> bool:
    here = PurePosixPath(path)
    return path in folders or any(str(parent) in folders for parent in here.parents)
