"""`pipeline run`: records the overrides, lets DVC reproduce what changed, sums it up."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.compose.compose import compose, validate
from pipeline.compose.overrides import record_overrides
from pipeline.compose.params import read_params, write_params
from pipeline.core import tracking
from pipeline.core.artifacts import PARAMS, STATE
from pipeline.core.console import say
from pipeline.core.errors import ConfigError, PipelineError
from pipeline.core.publishing import exclusive
from pipeline.runner.execute import EXIT_INTERRUPTED, stage_state
from pipeline.runner.plan import StagePlan, Status, dvc_environment, make_plan
from pipeline.runner.stages import CONFIGURED, STAGES
from pipeline.runner.stale import changed_secrets, tell_stale_warm_start
from pipeline.runner.summary import print_summary, tell_reasons
from pipeline.runner.warm import flush_in_warm_process, warm_process


def plan_run(root: Path, overrides: Sequence[str]) -> tuple[dict[str, Any], list[StagePlan]]:
    """Composes and compares; runs and writes nothing.

    Returns:
        The composed config and one plan per stage, in order.

    Raises:
        ConfigError: An override or a config file is wrong.
    """
    status = Status(root)  # works while Hydra composes
    try:
        params = compose(root, overrides)
        validate(params, CONFIGURED)
    except BaseException:
        status.discard()
        raise
    return params, make_plan(root, STAGES, params, status.read(), changed_secrets(root, params))


def run(root: Path, overrides: Sequence[str]) -> int:
    """Reproduces what changed since the last run; returns the exit code of the command line.

    Raises:
        BusyError: Another `pipeline run` works in the same project.
        ConfigError: An override or a config file is wrong; nothing was written.
    """
    started = time.monotonic()
    with exclusive(root / STATE / "locks" / "run.lock", "this project's pipeline"):
        drop_damaged_params(root)
        params, plans = plan_run(root, overrides)
        record_overrides(root, overrides)
        told = {reason.partition(": ")[0] for plan in plans for reason in plan.reasons}
        write_params(root, params, overrides, told)
        tell_stale_warm_start(root, params)
        if not any(plan.run for plan in plans):
            print_summary(root, plans, time.monotonic() - started)
            return 0
        return _reproduce(root, params, plans, started)


def drop_damaged_params(root: Path) -> None:
    """Removes a params.yaml that is no YAML: DVC refuses to start on one; `compose` writes it."""
    if not (root / PARAMS).exists():
        return
    try:
        read_params(root)
    except ConfigError as error:
        say(error.came)
        (root / PARAMS).unlink()


def _reproduce(
    root: Path, params: Mapping[str, Any], plans: Sequence[StagePlan], started: float
) -> int:
    tell_reasons(plans)
    begun = time.time()
    identity = tracking.open_run(root, params)
    heavy = [stage.name for stage in STAGES if stage.heavy]
    warm: contextlib.AbstractContextManager[dict[str, str]] = (
        warm_process(root, heavy)
        if any(plan.run and plan.stage in heavy for plan in plans)
        else contextlib.nullcontext({})
    )
    with warm as environment:
        settings = {**environment, tracking.RUN_VARIABLE: identity.key}
        dvc_code = 0
        for stage in changed_secrets(root, params):
            dvc_code = dvc_code or dvc_repro(root, settings, "--force", "--single-item", stage)
        dvc_code = dvc_code or dvc_repro(root, settings)
        code = failed_code(root, begun, dvc_code)
        tracking.finish_run(root, identity, code == 0)
        if any(_ran_since(root, name, begun) for name in environment and heavy):
            flush_in_warm_process(environment)
    print_summary(root, plans, time.monotonic() - started, begun, complete=code == 0)
    return code


def dvc_repro(root: Path, environment: Mapping[str, str], *stages: str) -> int:
    """Runs `dvc repro`; on Ctrl-C waits for it, since DVC and its stage get the signal too.

    Args:
        root: The project.
        environment: Variables added to this process's own.
        *stages: Where to end, with options of `dvc repro`; all where none is named.

    Returns:
        DVC's exit code, or EXIT_INTERRUPTED after a Ctrl-C.
    """
    interrupted = False
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "--quiet", *stages],
        cwd=root,
        env={**dvc_environment(), **environment},
    )
    while process.returncode is None:
        try:
            process.wait()
        except KeyboardInterrupt:
            interrupted = True
    return EXIT_INTERRUPTED if interrupted and process.returncode else process.returncode


def _ran_since(root: Path, stage: str, begun: float) -> bool:
    with contextlib.suppress(PipelineError):
        return stage_state(root, stage).read().started_at >= begun
    return False


def failed_code(root: Path, begun: float, dvc_code: int) -> int:
    """Exit code of a run: DVC knows only "failed", the stage that ended the run knows why.

    Args:
        root: The project.
        begun: When the run began, in seconds since the epoch.
        dvc_code: What `dvc_repro` returned.
    """
    if dvc_code in {0, EXIT_INTERRUPTED}:
        return dvc_code
    codes = []
    for stage in STAGES:
        with contextlib.suppress(PipelineError):
            state = stage_state(root, stage.name).read()
            if state.started_at >= begun and state.exit_code:
                codes.append(state.exit_code)
    return codes[0] if codes else 1
