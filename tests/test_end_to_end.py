"""The whole road on small real data: what a person, CI and an engineer on call rely on."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Project, make_project

pytestmark = pytest.mark.timeout(900)

RUN = ("run", "data=penguins", "debug=smoke")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Penguins from nothing to an exported model; tests leave it as it is."""
    made = make_project(tmp_path_factory.mktemp("end") / "project")
    done = made.run("pipeline", *RUN)
    assert done.returncode == 0, done.stdout + done.stderr
    made.git("add", ".")
    made.git("commit", "--quiet", "-m", "trained")
    return made


@pytest.fixture
def copy(trained: Project, tmp_path: Path) -> Project:
    """A copy of the trained project that a test may change."""
    shutil.copytree(trained.root, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")


def plan(project: Project, *overrides: str) -> dict[str, list[str]]:
    """Stage to reasons, for the stages that would run."""
    done = project.run("pipeline", "plan", "--json", *overrides)
    assert done.returncode == 0, done.stderr
    return {row["stage"]: row["reasons"] for row in json.loads(done.stdout) if row["run"]}


def edit_yaml(path: Path, key: str, value: Any) -> None:
    """Sets the dotted key in a YAML file."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    here = content
    *parents, last = key.split(".")
    for part in parents:
        here = here[part]
    here[last] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def stages_that_ran(output: str) -> list[str]:
    """Names from the `[stage] done in` lines."""
    return [line[1:].partition("]")[0] for line in output.splitlines() if "] done in" in line]


def test_every_artifact_stands(trained: Project) -> None:
    for path in (
        "params.yaml",
        "dvc.lock",
        "data/raw/table.parquet",
        "data/raw/source.json",
        "data/processed/train.parquet",
        "data/processed/features.json",
        "data/profile/profile.html",
        "models/trained/model.keras",
        "models/trained/history.csv",
        "models/evaluation/metrics.json",
        "models/evaluation/verdict.json",
        "models/registered/registration.json",
        "models/exported/export.json",
        "models/serving/penguins/1/saved_model.pb",
        "models/models.config",
    ):
        assert (trained.root / path).is_file(), path
    assert not list(trained.root.rglob(".aside-*"))


def test_nothing_changed_runs_nothing(trained: Project) -> None:
    assert plan(trained, *RUN[1:]) == {}
    again = trained.run("pipeline", *RUN)
    assert again.returncode == 0, again.stderr
    assert stages_that_ran(again.stdout) == []
    repeated = trained.run("dvc", "repro")
    assert repeated.returncode == 0, repeated.stderr
    assert stages_that_ran(repeated.stdout) == []
    assert "up to date" in repeated.stdout


def test_plan_names_exactly_the_stages_and_the_reason(copy: Project) -> None:
    path = copy.root / "configs" / "train" / "default.yaml"
    before = yaml.safe_load(path.read_text())["optimizer"]["learning_rate"]
    edit_yaml(path, "optimizer.learning_rate", before * 2)
    planned = plan(copy, *RUN[1:])
    assert planned == {
        "compose": ["configs is modified"],
        "train": [f"train.optimizer.learning_rate: {before!r} -> {before * 2!r}"],
        "evaluate": ["it reads models/trained, which train makes again"],
        "register": planned["register"],
        "export": planned["export"],
    }


def test_plain_dvc_repro_honours_a_config_edit(copy: Project) -> None:
    edit_yaml(copy.root / "configs" / "export" / "default.yaml", "tolerance", 0.25)
    done = copy.run("dvc", "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stages_that_ran(done.stdout) == ["compose", "export"]
    record = json.loads((copy.root / "models/exported/export.json").read_text())
    assert record["tolerance"] == 0.25
    assert plan(copy, *RUN[1:]) == {}


def test_an_edit_of_an_unselected_option_reruns_compose_alone(copy: Project) -> None:
    path = copy.root / "configs" / "model" / "linear.yaml"
    path.write_text(path.read_text() + "# a remark\n")
    done = copy.run("dvc", "repro")
    assert done.returncode == 0, done.stdout + done.stderr
    assert stages_that_ran(done.stdout) == ["compose"]


def test_fresh_clone_without_params_composes(trained: Project, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    trained.git("clone", "--quiet", str(trained.root), str(clone))
    (clone / "params.yaml").unlink()
    done = Project(clone).run("dvc", "repro", "compose")
    assert done.returncode == 0, done.stdout + done.stderr
    params = yaml.safe_load((clone / "params.yaml").read_text())
    assert params["data"]["name"] == "penguins", "the recorded overrides are in git"


def test_pulled_artifacts_run_nothing(trained: Project, tmp_path: Path) -> None:
    remote, clone = tmp_path / "remote", Project(tmp_path / "clone")
    for arguments in (
        ("dvc", "remote", "add", "--local", "-d", "store", str(remote)),
        ("dvc", "push"),
    ):
        assert trained.run(*arguments).returncode == 0
    trained.git("clone", "--quiet", str(trained.root), str(clone.root))
    for arguments in (
        ("dvc", "remote", "add", "--local", "-d", "store", str(remote)),
        ("dvc", "pull"),
        ("dvc", "repro"),
    ):
        done = clone.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
    assert stages_that_ran(done.stdout) == []
    assert (clone.root / "models/serving/penguins/1/saved_model.pb").is_file()


@pytest.mark.parametrize(
    ("override", "came", "hint"),
    [
        ("train.epoch=3", "train.epoch", "train.epochs"),
        ("+train.epoch=3", "train.epoch", "did you mean epochs"),
        ("modle=mlp", "modle", "model"),
        ("model=dnc", "dnc", "dcn"),
        ("train.epochs=many", "train.epochs", "a whole number"),
        ("train.epochs=-1", "train.epochs", "at least 1"),
    ],
)
def test_mistakes_in_overrides_fail_before_anything_runs(
    trained: Project, override: str, came: str, hint: str
) -> None:
    before = (trained.root / "overrides.yaml").read_bytes()
    done = trained.run("pipeline", *RUN, override)
    assert done.returncode == 2, done.stderr
    assert came in done.stderr
    assert hint in done.stderr
    assert (trained.root / "overrides.yaml").read_bytes() == before


def test_gate_refuses_with_exit_code_3_and_reasons(copy: Project) -> None:
    refused = copy.run("pipeline", *RUN, *REFUSING)
    assert refused.returncode == 3, refused.stdout + refused.stderr
    assert "REJECTED" in refused.stdout
    assert not (copy.root / "models/serving/penguins/2").exists()
    served = (copy.root / "models/models.config").read_text()
    accepted = copy.run("pipeline", *RUN)
    assert accepted.returncode == 0, accepted.stderr
    assert (copy.root / "models/models.config").read_text() == served


REFUSING = ("evaluate.thresholds.latency_one_row_p50_ms.max=1.0e-9",)


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


SLOW = pytest.mark.slow


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


def test_ask_answers_over_rest_and_grpc(trained: Project) -> None:
    done = trained.run("pipeline", "ask")
    assert done.returncode == 0, done.stderr
    assert "REST" in done.stdout
    assert "gRPC" in done.stdout


def test_predict_in_process_reads_raw_rows(trained: Project, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text(
        "island,bill_length_mm,bill_depth_mm,flipper_length_mm,body_mass_g,sex,year\n"
        "Torgersen,39.1,18.7,181,3750,male,2007\n"
        "Biscoe,,,,,,2009\n"
    )
    done = trained.run("pipeline", "predict", "--input", str(rows))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    assert len(lines) == 3
    assert "predicted" in lines[0]


def test_status_tells_what_stands(trained: Project) -> None:
    status = json.loads(trained.run("pipeline", "status", "--json").stdout)
    assert status["registered"]["version"] == 1
    assert status["exported"]["version"] == 1
    assert status["verdict"]["verdict"] == "VALIDATED"
    assert status["served"]["penguins"]["versions"] == [1]
    assert all(state["state"] == "done" for state in status["stages"].values())


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
