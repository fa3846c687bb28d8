"""The real DVC: edits are honoured, `-S` is never ignored, unused options rerun nothing."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import yaml

from pipeline.compose.overrides import record_overrides
from tests.conftest import REPOSITORY, Project

WIRING = """
stages:
  compose:
    cmd: python -m pipeline stage compose
    deps: [configs, overrides.yaml]
    outs:
    - params.yaml: {cache: false, persist: true}
  probe:
    cmd: python probe.py
    params: [train.epochs, train.seed, model.name]
    outs:
    - probe.yaml: {cache: false}
"""
PROBE = """
import yaml
params = yaml.safe_load(open("params.yaml"))
seen = {"epochs": params["train"]["epochs"], "seed": params["train"]["seed"]}
yaml.safe_dump(seen | {"model": params["model"]["name"]}, open("probe.yaml", "w"))
"""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The configs and DVC settings of this repository with two stages, nothing run yet."""
    root = tmp_path_factory.mktemp("dvc") / "project"
    shutil.copytree(REPOSITORY / "configs", root / "configs")
    (root / "pipeline").symlink_to(REPOSITORY / "pipeline")
    (root / ".dvc").mkdir()
    shutil.copy2(REPOSITORY / ".dvc/config", root / ".dvc/config")
    (root / ".dvc/.gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (root / ".gitignore").write_text(".pipeline\nmlflow.db*\nmlruns\n")
    (root / "dvc.yaml").write_text(WIRING)
    (root / "probe.py").write_text(PROBE)
    record_overrides(root, [])
    made = Project(root)
    made.git("init", "--quiet")
    commit(made)
    return made


def commit(project: Project) -> None:
    project.git("add", ".")
    project.git("commit", "--quiet", "--allow-empty", "-m", "step")


def seen(project: Project) -> dict[str, object]:
    content: dict[str, object] = yaml.safe_load((project.root / "probe.yaml").read_text())
    return content


def edit(project: Project, name: str, before: str, after: str) -> None:
    path = project.root / name
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))


def repro(project: Project) -> str:
    return succeeded(project.run("dvc", "repro"))


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_repro_honours_every_edit_and_reruns_only_who_reads_it(clone: Project):
    assert not (clone.root / "params.yaml").exists()
    repro(clone)
    plain = seen(clone)
    assert plain["model"] == "dcn"

    edit(clone, "configs/train/default.yaml", "\nepochs: ", "\nepochs: 1")
    out = repro(clone)
    assert "Running stage 'probe'" in out
    assert f"train.epochs: {plain['epochs']} -> 1{plain['epochs']}" in out
    assert seen(clone)["epochs"] == int(f"1{plain['epochs']}")

    edit(clone, "configs/model/mlp.yaml", "name: mlp", "name: mlp  # not selected")
    out = repro(clone)
    assert "Running stage 'compose'" in out
    assert "Stage 'probe' didn't change" in out

    edit(clone, "params.yaml", "model:\n  name: dcn", "model:\n  name: other")
    out = repro(clone)
    assert "params.yaml was edited by hand" in out
    assert 'model.name: "other" -> "dcn"' in out
    assert "Stage 'probe' didn't change" in out

    record_overrides(clone.root, ["train.seed=99"])
    repro(clone)
    assert seen(clone)["seed"] == 99
    commit(clone)


def test_exp_run_keeps_what_s_did_and_the_recorded_overrides(clone: Project):
    record_overrides(clone.root, ["train.seed=99"])
    commit(clone)

    out = succeeded(clone.run("dvc", "exp", "run", "-S", "train.epochs=3"))
    assert (seen(clone)["epochs"], seen(clone)["seed"]) == (3, 99)
    assert "-S train.epochs: " in out
    assert "overrides.yaml applies as well: train.seed=99" in out

    succeeded(clone.run("dvc", "exp", "run", "-S", "model=mlp", "-S", "+debug=smoke"))
    assert seen(clone) == {"epochs": 2, "seed": 99, "model": "mlp"}

    succeeded(clone.run("dvc", "exp", "run", "-S", "+experiment=baseline"))
    assert seen(clone)["model"] == "linear"

    clone.git("checkout", "--quiet", ".")
    out = succeeded(clone.run("dvc", "exp", "run", "--temp", "-n", "aside", "-S", "train.epochs=4"))
    (reference,) = clone.git("for-each-ref", "--format=%(refname)", "refs/exps/**/aside").split()
    params = yaml.safe_load(clone.git("show", f"{reference}:params.yaml"))
    assert (params["train"]["epochs"], params["train"]["seed"]) == (4, 99)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("train.epohcs=3", "train.epohcs"),
        ("debug=smoke", "+debug=smoke"),
        ("+train.epoch=3", "unknown config key 'train.epoch'"),
    ],
)
def test_a_mistyped_s_fails_at_once(clone: Project, change: str, words: str):
    done = clone.run("dvc", "exp", "run", "-S", change)
    assert done.returncode != 0
    assert words in done.stdout + done.stderr
    assert "Running stage 'probe'" not in done.stdout
