"""Searches on Ray: several at once, what dies, and the real thing killed and taken up again."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from optuna.trial import TrialState

from pipeline.core.errors import PipelineError
from pipeline.core.ray_cluster import Room
from pipeline.tune.crews import ray_crew
from pipeline.tune.study import REASON
from tests.conftest import make_project
from tests.rays import AGENTS_END_SECONDS, NEEDS_RAY, below, nothing_left, short, still_alive
from tests.tune.test_command import SEARCH, wait_for_a_running_trial
from tests.tune.toys import WORKER, search, settings

pytestmark = [NEEDS_RAY, pytest.mark.usefixtures("nothing_left"), pytest.mark.timeout(900)]

__all__ = ["nothing_left", "short"]


def on_ray(root: Path, size: int, **room: Any) -> Any:
    """A crew of toys on a Ray of its own."""
    asked = Room(**{"programs": 1, "cpus": 0.5, "gpus": 0, "placement": "pack", **room})
    return ray_crew(
        (str(WORKER),),
        root,
        root,
        size,
        address=None,
        room=asked,
        threads=1,
        patience_seconds=60,
    )


def test_two_trials_at_once_on_ray_and_one_that_dies(tmp_path: Path) -> None:
    """Trials that meet end when two of them run at the same time; a death is one trial's."""
    space = {"x": {"uniform": [-4.0, 4.0]}, "do": {"choice": ["meet", "die", "fail"]}}
    config = settings(space, 8, sampler__name="random", jobs=2, seed=3)
    with on_ray(tmp_path, 2) as crew:
        study = search(tmp_path, config, crew)
    assert {trial.params["do"] for trial in study.trials} == {"meet", "die", "fail"}
    for trial in study.trials:
        met = trial.params["do"] == "meet"
        assert trial.state == (TrialState.COMPLETE if met else TrialState.FAIL)
    died = next(trial for trial in study.trials if trial.params["do"] == "die")
    assert "killed (out of memory?)" in died.user_attrs[REASON]
    assert len(list(tmp_path.glob("met-*"))) >= 2


@pytest.mark.slow
def test_a_search_for_which_there_is_no_room_says_so(tmp_path: Path) -> None:
    message = r"(?s)no room for 1 x 0.5 CPU and 1 GPU.*to do"
    with pytest.raises(PipelineError, match=message), on_ray(tmp_path, 2, gpus=1):
        raise AssertionError("there is room")


@pytest.mark.slow
def test_a_search_on_ray_that_is_killed_goes_on(tmp_path: Path, short: Path) -> None:
    project = make_project(tmp_path / "project")
    line = (*SEARCH, "launcher=ray", "launcher.cpus_per_worker=0.5", "tune.jobs=2")
    process = subprocess.Popen(
        project.command("pipeline", "tune", *line),
        cwd=project.root,
        env=project.environment(TMPDIR=str(short)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_a_running_trial(process, project.root / ".pipeline/tune/first/study.db")
        started = below(process.pid)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    trials = [one for one in started if "trial_worker" in words(one)]
    assert still_alive(trials, 60) == []
    assert still_alive(started, AGENTS_END_SECONDS) == []
    done = project.run("pipeline", "tune", *line)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "was cut off and is put again" in done.stdout
    assert "pipeline run +experiment=first" in done.stdout


def words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""
