"""What would run, and exactly why: DVC's own status, and the composed params against dvc.lock."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ruamel.yaml import YAML

from pipeline.compose.params import read_params
from pipeline.core.artifacts import PARAMS
from pipeline.core.errors import BusyError, ConfigError, PipelineError
from pipeline.core.schema import flatten
from pipeline.core.stage import Stage
from pipeline.runner.dvc_lock import release_dead

_MOST_KEYS_SHOWN = 6
_INVALID = re.compile(r"'(?:\./)?(dvc\.(?:lock|yaml))' is invalid")
_BLOCKED_BY = re.compile(r"is being blocked by:\s*\(PID (\d+)\)")


@dataclass
class StagePlan:
    """Whether one stage would run, and why."""

    stage: str
    reasons: list[str] = field(default_factory=list)

    @property
    def run(self) -> bool:
        """Whether it would run: there is a reason."""
        return bool(self.reasons)

    def as_json(self) -> dict[str, Any]:
        """The object that `pipeline plan --json` prints."""
        return {"stage": self.stage, "run": self.run, "reasons": self.reasons}


class Status:
    """`dvc status` in a process of its own, so that composing can go on beside it."""

    def __init__(self, root: Path) -> None:
        release_dead(root)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "dvc", "status", "--json"],
            cwd=root,
            env=dvc_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def read(self) -> dict[str, list[Any]]:
        """Waits for the answer: stage name to a list of changes; unchanged stages are absent.

        Raises:
            BusyError: A run holds what would be looked at.
            PipelineError: DVC refused; with its own words.
        """
        out, err = self._process.communicate()
        if self._process.returncode != 0:
            if holder := _BLOCKED_BY.search(err):
                # DVC's own advice is to remove its table of locks, under a run that goes on.
                raise BusyError(
                    f"a run goes on in this project (process {holder[1]})",
                    remedy="wait until it has ended, or end it, then try again",
                )
            broken = _INVALID.search(err)
            raise PipelineError(
                f"`dvc status` failed: {err.strip() or out.strip()}",
                remedy=f"run `git checkout {broken[1]}`" if broken else "run `pipeline doctor`",
            )
        # Warnings may stand before the JSON object.
        answer: dict[str, list[Any]] = json.loads(out[out.index("{") :])
        return answer

    def discard(self) -> None:
        """Ends the process where nobody wants the answer any more."""
        self._process.kill()
        self._process.communicate()


def dvc_environment() -> dict[str, str]:
    """This process's environment as DVC needs it.

    DVC looks `python` up in PATH; it must be the interpreter that runs us.
    """
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "true"}


def make_plan(
    root: Path,
    stages: Iterable[Stage],
    params: Mapping[str, Any],
    status: Mapping[str, list[Any]],
    unseen: Mapping[str, list[str]] = MappingProxyType({}),
) -> list[StagePlan]:
    """Joins what DVC sees on disk with the params that `compose` is about to write.

    Args:
        root: The project.
        stages: In order.
        params: The whole composed config.
        status: The answer of `Status.read`.
        unseen: By stage, reasons to run it that DVC cannot see.
    """
    locked = _locked_params(root)
    plans: list[StagePlan] = []
    rebuilt: dict[str, str] = {}
    for stage in stages:
        plan = StagePlan(stage.name)
        if stage.name not in locked:
            plan.reasons.append("it has never run here")
        else:
            plan.reasons += _changed_files(stage, status.get(stage.name, []))
            plan.reasons += _changed_params(stage, params, locked[stage.name])
            plan.reasons += unseen.get(stage.name, [])
            plan.reasons += [
                f"it reads {path}, which {rebuilt[path]} makes again"
                for path in stage.deps
                if path in rebuilt
            ]
        if stage.name == "compose" and not plan.run and _params_differ(root, params):
            plan.reasons.append("the composed config changed")
        if plan.run:
            made = (*stage.outs, *stage.kept, *stage.records, *stage.metrics)
            rebuilt |= dict.fromkeys((path for path in made if path != PARAMS), stage.name)
        plans.append(plan)
    return plans


def _locked_params(root: Path) -> dict[str, dict[str, Any]]:
    """Stage name to the params it last ran with, by dotted key."""
    path = root / "dvc.lock"
    if not path.exists():
        return {}
    # DVC writes YAML 1.2, in which 1e-07 is a number; PyYAML reads 1.1, in which it is a word.
    lock = YAML(typ="safe").load(path) or {}
    return {
        name: entry.get("params", {}).get(PARAMS, {})
        for name, entry in lock.get("stages", {}).items()
    }


def _params_differ(root: Path, params: Mapping[str, Any]) -> bool:
    try:
        return read_params(root) != params
    except ConfigError:  # missing or damaged: compose writes it again
        return True


def _changed_files(stage: Stage, changes: Iterable[Any]) -> list[str]:
    reasons: list[str] = []
    for change in changes:
        if change == "changed command":
            reasons.append("its command in dvc.yaml changed")
        elif isinstance(change, Mapping):
            for path, how in change.get("changed deps", {}).items():
                if path != PARAMS:
                    reasons.append(_dependency_reason(stage, path, how))
            for path, how in change.get("changed outs", {}).items():
                reasons.append(f"its output {path} is {how}")
    return reasons


def _dependency_reason(stage: Stage, path: str, how: str) -> str:
    kind = "code in " if path in stage.code else ""
    return f"{kind}{path} is {how}"


def _changed_params(
    stage: Stage, params: Mapping[str, Any], locked: Mapping[str, Any]
) -> list[str]:
    before = flatten(locked)
    now: dict[str, Any] = {}
    for key in stage.params.values():
        now |= flatten({key: _value_at(params, key)})
    changed = [
        f"{key}: {_shown(before, key)} -> {_shown(now, key)}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key, _ABSENT) != now.get(key, _ABSENT)
    ]
    more = len(changed) - _MOST_KEYS_SHOWN
    return changed[:_MOST_KEYS_SHOWN] + ([f"and {more} more keys"] if more > 0 else [])


_ABSENT = object()


def _value_at(params: Mapping[str, Any], key: str) -> Any:
    here: Any = params
    for part in key.split("."):
        here = here.get(part) if isinstance(here, Mapping) else None
    return here


def _shown(values: Mapping[str, Any], key: str) -> str:
    return json.dumps(values[key], ensure_ascii=False) if key in values else "(absent)"
