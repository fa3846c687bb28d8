"""The whole road on small real data: what a person, CI and an engineer on call rely on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import Project
from tests.runs import RUN, plan, stages_that_ran

pytestmark = pytest.mark.timeout(900)


def edit_yaml(path: Path, key: str, value: Any) -> None:
    """Sets the dotted key in a YAML file."""
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    here = content
    *parents, last = key.split(".")
    for part in parents:
        here = here[part]
    here[last] = value
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


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
