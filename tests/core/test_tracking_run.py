"""Run identity: one story through restarts, and a new one when a new one begins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline.core.tracking import (
    RUN_VARIABLE,
    finish_run,
    journal_for,
    new_key,
    open_run,
    open_search,
)
from pipeline.core.tracking_facts import DvcLock, git_facts, params_hash
from pipeline.core.tracking_run import derived_status, forget_told_runs, read_run, run_keys

REPOSITORY = Path(__file__).parents[2]
PARAMS = {"train": {"epochs": 3}}

STAGE = """
import os, signal, sys
from pathlib import Path
from pipeline.core.tracking import journal_for, open_run
run = open_run(Path(sys.argv[1]), {"train": {"epochs": int(sys.argv[3])}})
journal = journal_for(Path(sys.argv[1]), run, sys.argv[2])
journal.start()
print(run.key, flush=True)
if sys.argv[4] == "kill":
    os.kill(os.getpid(), signal.SIGKILL)
journal.finish(sys.argv[4])
"""


SEARCH = """
import os, signal, sys
from pathlib import Path
from pipeline.core.tracking import open_search
open_search(Path(sys.argv[1]), {"train": {"epochs": 3}}, name="tune x", key=sys.argv[2])
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(autouse=True)
def no_outer_run(monkeypatch):
    for name in (RUN_VARIABLE, "DVC_EXP_NAME", "DVC_ROOT"):
        monkeypatch.delenv(name, raising=False)


def stage(root: Path, name: str = "train", epochs: int = 3, ending: str = "FINISHED") -> str:
    """Runs a stage in a process of its own; returns the key of the run that it joined."""
    command = [sys.executable, "-c", STAGE, str(root), name, str(epochs), ending]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return done.stdout.strip()


def test_one_process_has_one_run(tmp_path):
    run = open_run(tmp_path, PARAMS)
    assert open_run(tmp_path, PARAMS).key == run.key
    finish_run(tmp_path, run, succeeded=True)
    assert open_run(tmp_path, PARAMS).key != run.key


def test_the_environment_names_the_run(tmp_path, monkeypatch):
    run = open_run(tmp_path, PARAMS)
    monkeypatch.setenv(RUN_VARIABLE, run.key)
    assert stage(tmp_path, epochs=9) == run.key
    assert read_run(tmp_path, run.key).managed
    # Elsewhere, as in a DVC experiment's copy, the same key begins a story of its own.
    assert stage(tmp_path / "copy") == run.key


def test_a_stage_by_hand_that_ended_well_is_a_run_of_its_own(tmp_path):
    assert stage(tmp_path) != stage(tmp_path)


@pytest.mark.parametrize("ending", ["FAILED", "KILLED", "kill"])
def test_what_did_not_end_well_is_continued_with_the_same_config_only(tmp_path, ending):
    key = stage(tmp_path, ending=ending)
    assert derived_status(tmp_path, read_run(tmp_path, key)) in {"FAILED", "KILLED"}
    assert stage(tmp_path, epochs=5, ending="FINISHED") != key
    again = tmp_path / "again"
    key = stage(again, ending=ending)
    assert stage(again, ending="FINISHED") == key


def test_a_run_that_failed_is_continued_and_one_that_finished_is_not(tmp_path, monkeypatch):
    failed = open_run(tmp_path, PARAMS)
    finish_run(tmp_path, failed, succeeded=False)
    assert read_run(tmp_path, failed.key).status == "FAILED"
    continued = open_run(tmp_path, PARAMS)
    assert continued.key == failed.key
    assert continued.status == "RUNNING"
    monkeypatch.setenv("DVC_EXP_NAME", "wide-tern")
    assert open_run(tmp_path, PARAMS).key != failed.key


def test_a_managed_run_killed_between_two_stages_is_continued(tmp_path):
    program = """
import os, signal, subprocess, sys
from pathlib import Path
from pipeline.core.tracking import RUN_VARIABLE, open_run
root = Path(sys.argv[1])
run = open_run(root, {"train": {"epochs": 3}})
environment = {**os.environ, RUN_VARIABLE: run.key}
subprocess.run([sys.executable, "-c", sys.argv[2], str(root), "ingest", "3", "FINISHED"],
               env=environment, check=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    command = [sys.executable, "-c", program, str(tmp_path), STAGE]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert stage(tmp_path) == done.stdout.strip()


def test_all_stages_of_one_dvc_belong_together(tmp_path):
    dvc = tmp_path / "dvc"
    dvc.write_text(
        "import subprocess, sys\n"
        "for name in ('ingest', 'preprocess'):\n"
        f"    subprocess.run([sys.executable, '-c', {STAGE!r}, sys.argv[1], name, '3', "
        "'FINISHED'], check=True)\n"
    )

    def repro() -> list[str]:
        command = [sys.executable, str(dvc), str(tmp_path / "project")]
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    first, second = repro(), repro()
    assert len(set(first)) == len(set(second)) == 1
    assert first != second


def test_a_run_knows_how_it_stands(tmp_path):
    run = open_run(tmp_path, PARAMS)
    journal = journal_for(tmp_path, run, "train")
    journal.start()
    assert derived_status(tmp_path, run) == "RUNNING"
    journal.finish("FAILED")
    assert derived_status(tmp_path, run) == "FAILED"
    journal.start()
    journal.finish("FINISHED")
    assert derived_status(tmp_path, run) == "FINISHED"
    finish_run(tmp_path, run, succeeded=False)
    assert read_run(tmp_path, run.key).status == "FAILED"


def test_a_damaged_identity_is_no_obstacle(tmp_path):
    run = open_run(tmp_path, PARAMS)
    (tmp_path / ".pipeline" / "runs" / run.key / "run.json").write_text("{")
    assert open_run(tmp_path, PARAMS).key != run.key


def test_only_the_newest_told_runs_stay(tmp_path):
    keys = []
    for _ in range(23):
        run = open_run(tmp_path, PARAMS)
        finish_run(tmp_path, run, succeeded=True)
        keys.append(run.key)
    forget_told_runs(tmp_path, keys)
    assert run_keys(tmp_path) == sorted(keys, reverse=True)[:20]


def test_the_config_is_kept_and_hashed(tmp_path):
    run = open_run(tmp_path, PARAMS)
    kept = tmp_path / ".pipeline" / "runs" / run.key / "params.yaml"
    assert yaml.safe_load(kept.read_text()) == PARAMS
    assert run.params_hash == params_hash({"train": dict(PARAMS["train"])})
    assert params_hash({"a": 1, "b": 2}) == params_hash({"b": 2, "a": 1})
    assert params_hash({}) == ""


def git(root: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    command = ["git", *identity, *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout


def test_git_facts_count_what_people_changed_only(tmp_path):
    assert git_facts(tmp_path / "nowhere") is None
    git(tmp_path, "init", "-q", "-b", "trunk")
    assert git_facts(tmp_path).commit == ""
    (tmp_path / "code.py").write_text("1")
    (tmp_path / "params.yaml").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "start")
    for written in ("dvc.lock", "params.yaml"):
        (tmp_path / written).write_text("2")
    facts = git_facts(tmp_path)
    assert facts.commit == git(tmp_path, "rev-parse", "HEAD").strip()
    assert (facts.branch, facts.dirty) == ("trunk", False)
    (tmp_path / "code.py").write_text("2")
    assert git_facts(tmp_path).dirty


LOCK = {
    "schema": "2.0",
    "stages": {
        "compose": {"deps": [{"path": "configs", "md5": "c0"}], "outs": [{"path": "params.yaml"}]},
        "ingest": {
            "deps": [{"path": "pipeline/ingest", "md5": "x"}, {"path": "in.csv", "md5": "i0"}],
            "params": {"params.yaml": {"ingest": 1}},
            "outs": [{"path": "data/raw", "md5": "r0.dir"}],
        },
        "train": {
            "deps": [{"path": "data/raw/table.parquet", "md5": "t"}],
            "outs": [{"path": "models/trained", "md5": "m0.dir"}],
        },
        "report": {"deps": [{"path": "models", "md5": "x"}], "outs": []},
    },
}


def test_dvc_lock_tells_who_made_what(tmp_path):
    assert DvcLock.read(tmp_path).stages == {}
    (tmp_path / "dvc.lock").write_text("{damaged")
    assert DvcLock.read(tmp_path).stages == {}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump(LOCK))
    lock = DvcLock.read(tmp_path)
    assert lock.upstream("train") == {"ingest", "compose"}
    assert lock.upstream("report") == {"train", "ingest", "compose"}
    assert lock.upstream("unknown") == set()
    assert lock.tags(["ingest", "train"]) == {
        "dvc.dep.in.csv": "i0",
        "dvc.out.data/raw": "r0.dir",
        "dvc.out.models/trained": "m0.dir",
    }


def test_a_search_is_taken_up_by_its_key_and_joined_by_name_only(tmp_path, monkeypatch):
    key = new_key()
    run = subprocess.run(
        [sys.executable, "-c", SEARCH, str(tmp_path), key], cwd=REPOSITORY, check=False
    )
    assert run.returncode == -signal.SIGKILL
    assert derived_status(tmp_path, read_run(tmp_path, key)) == "KILLED"
    # The same config, and the last run was killed: a stage would go on with any other run.
    assert stage(tmp_path) != key
    monkeypatch.setenv(RUN_VARIABLE, key)
    assert stage(tmp_path, name="preprocess") == key
    monkeypatch.delenv(RUN_VARIABLE)
    again = open_search(tmp_path, PARAMS, name="tune x", key=key)
    assert (again.key, again.status, again.search) == (key, "RUNNING", "tune x")
    assert again.started_ms == read_run(tmp_path, key).started_ms
    finish_run(tmp_path, again, succeeded=True)
    assert derived_status(tmp_path, read_run(tmp_path, key)) == "FINISHED"
