"""What a run survives: kills, Ctrl-C, a second run, a full disk, files that are gone or damaged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Project
from tests.runs import RUN, plan, stages_that_ran

pytestmark = pytest.mark.timeout(900)

SLOW = pytest.mark.slow


def test_two_runs_at_once_the_second_is_told(copy: Project) -> None:
    first = subprocess.Popen(
        copy.command("pipeline", *RUN, "train.seed=5"),
        cwd=copy.root,
        env=copy.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_state(copy, "train", "running")
        second = copy.run("pipeline", *RUN)
        assert second.returncode == 1
        assert f"in use by process {first.pid}" in second.stderr
    finally:
        assert first.wait(timeout=240) == 0


def wait_for_state(project: Project, stage: str, state: str, after: float = 0.0) -> None:
    """Waits until the stage's state file says `state`, written after the time `after`."""
    path = project.root / ".pipeline" / "stages" / f"{stage}.json"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if path.exists():
            content = json.loads(path.read_text())
            if content["state"] == state and content["started_at"] >= after:
                return
        time.sleep(0.002)
    raise AssertionError(f"{stage} never was {state}")


def touch_code(project: Project, stage: str) -> None:
    """Makes DVC rerun the stage: its code changed."""
    with (project.root / "pipeline" / stage / "config.py").open("a") as file:
        file.write(f"# changed {time.time_ns()}\n")


def start_run(project: Project, *overrides: str) -> subprocess.Popen[bytes]:
    """Starts `pipeline run` in a process group of its own, as a terminal would."""
    log = (project.root / "run.log").open("wb")
    with log:
        return subprocess.Popen(
            project.command("pipeline", *RUN, *overrides),
            cwd=project.root,
            env=project.environment(),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def processes_in(project: Project) -> Iterator[int]:
    """Process ids whose working directory is the project."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                inside = (entry / "cwd").readlink() == project.root
            except OSError:
                continue
            if inside:
                yield int(entry.name)


def assert_consistent(project: Project) -> None:
    """Whatever JSON and Parquet stands is whole, and nothing runs any more."""
    deadline = time.monotonic() + 10
    while list(processes_in(project)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(processes_in(project)) == []
    for path in (project.root / "models").rglob("*.json"):
        if ".aside-" not in str(path):
            json.loads(path.read_text())


@pytest.mark.parametrize(
    "stage",
    [
        pytest.param("ingest", marks=SLOW),
        "preprocess",
        "train",
        pytest.param("evaluate", marks=SLOW),
        "register",
        pytest.param("export", marks=SLOW),
    ],
)
def test_killed_in_any_stage_the_next_run_just_works(copy: Project, stage: str) -> None:
    touch_code(copy, stage)
    started = time.time()
    run = start_run(copy)
    wait_for_state(copy, stage, "running", started)
    for pid in set(processes_in(copy)):
        os.kill(pid, signal.SIGKILL)
    run.wait(timeout=30)
    assert_consistent(copy)
    again = copy.run("pipeline", *RUN)
    assert again.returncode == 0, again.stdout + again.stderr
    assert stage in stages_that_ran(again.stdout)
    assert not list(copy.root.glob("[dm]*/**/.aside-*"))
    assert plan(copy, *RUN[1:]) == {}


@pytest.mark.parametrize("stage", ["ingest", "train", pytest.param("export", marks=SLOW)])
def test_interrupted_in_any_stage_exits_130(copy: Project, stage: str) -> None:
    touch_code(copy, stage)
    started = time.time()
    run = start_run(copy)
    wait_for_state(copy, stage, "running", started)
    os.killpg(run.pid, signal.SIGINT)
    code = run.wait(timeout=60)
    log = (copy.root / "run.log").read_text()
    assert code == 130, log
    assert_consistent(copy)
    again = copy.run("pipeline", *RUN)
    assert again.returncode == 0, again.stdout + again.stderr


def test_killing_pipeline_run_alone_leaves_no_orphan(copy: Project) -> None:
    touch_code(copy, "train")
    started = time.time()
    run = start_run(copy)
    wait_for_state(copy, "train", "running", started)
    os.kill(run.pid, signal.SIGKILL)
    run.wait(timeout=30)
    assert_consistent(copy)


def test_damaged_params_are_told_by_a_stage_and_mended_by_run(copy: Project) -> None:
    (copy.root / "params.yaml").write_text("train: [1, 2\n")
    done = copy.run("pipeline", "stage", "train")
    assert done.returncode == 2
    assert "params.yaml, line 2" in done.stderr
    mended = copy.run("pipeline", *RUN)
    assert mended.returncode == 0, mended.stderr
    assert stages_that_ran(mended.stdout) in (["compose"], [])


def test_no_mlflow_database_is_made_again(copy: Project) -> None:
    (copy.root / "mlflow.db").unlink()
    touch_code(copy, "register")
    done = copy.run("pipeline", *RUN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (copy.root / "mlflow.db").is_file()


def test_full_disk_is_told_and_leaves_nothing_half_written(copy: Project) -> None:
    before = (copy.root / "data/raw/table.parquet").read_bytes()
    # A file system of 8 KB laid over data in a mount namespace of the test's own.
    script = "mount -t tmpfs -o size=8k full data && exec python -m pipeline stage ingest"
    done = copy.run("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the disk is full" in done.stderr
    assert (copy.root / "data/raw/table.parquet").read_bytes() == before


def test_no_write_permission_is_told(copy: Project) -> None:
    script = (
        "mount --bind data data && mount -o remount,ro,bind data"
        " && exec python -m pipeline stage ingest"
    )
    done = copy.run("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no permission" in done.stderr
