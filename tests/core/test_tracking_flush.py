"""Flushing: the whole story in MLflow, each record once, whatever dies when."""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import replace

import pytest
import yaml

from pipeline.core.tracking import (
    RUN_VARIABLE,
    TrackingConfig,
    finish_run,
    flush,
    journal_for,
    open_run,
)
from pipeline.core.tracking_flush import parent_run
from tests.stores import TRACKING, client, count, put_store, runs, start_python

PARAMS = {
    "data": {"name": "flights", "columns": {"distance": {"kind": "numeric"}}},
    "train": {"epochs": 3, "layers": [64, 32], "note": "x" * 300},
}


@pytest.fixture(autouse=True)
def no_outer_run(monkeypatch):
    for name in (RUN_VARIABLE, "DVC_EXP_NAME", "DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def root(tmp_path):
    put_store(tmp_path)
    return tmp_path


def tell(root, run, stage="train", ending="FINISHED", epochs=3):
    journal = journal_for(root, run, stage)
    journal.start()
    journal.params({"optimizer": "adam", "rows": 7})
    for epoch in range(epochs):
        journal.metrics({"loss": 1 / (epoch + 1), "slice/origin=JFK": 0.5}, step=epoch)
    journal.tags({f"{stage}.tag": "yes"})
    picture = root / "plots" / f"{stage}.png"
    picture.parent.mkdir(exist_ok=True)
    picture.write_text(stage)
    journal.artifact(picture, "plots")
    if ending:
        journal.finish(ending)
    return journal


def by_name(root):
    return {run.info.run_name: run for run in runs(root)}


def test_the_whole_story(root):
    run = open_run(root, PARAMS)
    before = int(time.time() * 1000)
    for stage in ("preprocess", "train"):
        tell(root, run, stage)
    finish_run(root, run, succeeded=True)
    assert flush(root, TRACKING)
    story = by_name(root)
    assert story.keys() == {run.key, "preprocess", "train"}
    parent, train = story[run.key], story["train"]
    assert {one.info.status for one in story.values()} == {"FINISHED"}
    assert train.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert train.data.params == {"optimizer": "adam", "rows": "7"}
    assert before <= train.info.start_time <= train.info.end_time <= parent.info.end_time
    curve = client(root).get_metric_history(train.info.run_id, "loss")
    assert [(point.step, point.value) for point in curve] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert parent.data.params == {
        "data.name": "flights",
        "train.epochs": "3",
        "train.layers": "[64, 32]",
    }
    assert parent.data.metrics["train.loss"] == 1 / 3
    assert parent.data.metrics["train.slice/origin_JFK"] == 0.5
    assert parent.data.tags["stage.train"] == "ran"
    assert parent.data.tags["train.tag"] == "yes"
    assert parent.data.tags["params.hash"] == run.params_hash
    folder = root / "mlruns" / "flights" / parent.info.run_id / "artifacts"
    assert (folder / "train" / "plots" / "train.png").read_text() == "train"
    assert yaml.safe_load((folder / "params.yaml").read_text()) == PARAMS


def test_flushing_again_changes_nothing_even_when_all_is_sent_again(root):
    run = open_run(root, PARAMS)
    tell(root, run)
    finish_run(root, run, succeeded=True)
    assert flush(root, TRACKING)
    rows = {table: count(root, table) for table in ("runs", "metrics", "params", "tags")}
    assert rows["metrics"] == 6 + 2  # the curves, and on the parent their ends
    assert flush(root, TRACKING)
    told = root / ".pipeline" / "runs" / run.key / "flushed.json"
    told.unlink()  # as if killed after MLflow had it all and before that was written down
    assert flush(root, TRACKING)
    assert rows == {table: count(root, table) for table in rows}


def test_a_run_is_told_piece_by_piece(root):
    run = open_run(root, PARAMS)
    journal = tell(root, run, ending=None)
    assert flush(root, TRACKING)
    assert {one.info.status for one in runs(root)} == {"RUNNING"}
    journal.metrics({"loss": 0.25}, step=3)
    journal.params({"optimizer": "changed", "late": 1})
    journal.finish("FINISHED")
    assert flush(root, TRACKING)
    train = by_name(root)["train"]
    assert train.info.status == "FINISHED"
    assert len(client(root).get_metric_history(train.info.run_id, "loss")) == 4
    # A param cannot be changed in MLflow; a second word on it must not stop the rest.
    assert train.data.params == {"optimizer": "adam", "rows": "7", "late": "1"}


def test_every_attempt_is_a_run_of_its_own(root):
    run = open_run(root, PARAMS)
    tell(root, run, ending="FAILED")
    assert flush(root, TRACKING)
    tell(root, run, ending=None)  # killed without a word, as far as the next attempt knows
    tell(root, run, ending="FINISHED")
    assert flush(root, TRACKING)
    attempts = [one for one in runs(root) if one.info.run_name == "train"]
    statuses = {one.data.tags["pipeline.attempt"]: one.info.status for one in attempts}
    assert statuses == {"1": "FAILED", "2": "KILLED", "3": "FINISHED"}
    assert len({one.data.tags["mlflow.parentRunId"] for one in attempts}) == 1


def test_a_killed_stage_is_killed_in_mlflow_too(root):
    program = """
import os, signal, sys
from pathlib import Path
from pipeline.core.tracking import journal_for, open_run
root = Path(sys.argv[1])
journal = journal_for(root, open_run(root, {}), "train")
journal.start()
journal.metrics({"loss": 1.0})
os.kill(os.getpid(), signal.SIGKILL)
"""
    start_python(program, root).communicate()
    assert flush(root, TRACKING)
    assert {one.info.status for one in runs(root)} == {"KILLED"}


def test_a_stage_that_runs_at_a_flush_and_is_killed_later(root):
    program = """
import signal, sys
from pathlib import Path
from pipeline.core.tracking import journal_for, open_run
root = Path(sys.argv[1])
journal_for(root, open_run(root, {}), "train").start()
print("started", flush=True)
signal.pause()
"""
    process = start_python(program, root)
    try:
        process.stdout.readline()
        assert flush(root, TRACKING)
        assert {one.info.status for one in runs(root)} == {"RUNNING"}
    finally:
        process.kill()
        process.communicate()
    assert flush(root, TRACKING)
    assert {one.info.status for one in runs(root)} == {"KILLED"}


KILL_FLUSHES = """
import os, signal, sys, time
from pathlib import Path
import pipeline.core.tracking_flush  # once, for all the processes that are killed
from tests.stores import TRACKING, count
root = Path(sys.argv[1])
for goal in map(int, sys.argv[2:]):
    child = os.fork()
    if child == 0:
        pipeline.core.tracking_flush.carry(root, TRACKING)
        os._exit(0)
    while count(root, "metrics") < goal:
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    print(count(root, "metrics"))
"""


def test_kill_in_mid_flush_neither_loses_nor_doubles(root):
    epochs, names = 20, 100
    run = open_run(root, PARAMS)
    for stage in ("preprocess", "train"):
        journal = journal_for(root, run, stage)
        journal.start()
        for epoch in range(epochs):
            values = {f"m{name}": float(epoch) for name in range(names)}
            journal.metrics({**values, "odd": math.nan}, step=epoch)
        journal.finish("FINISHED")
    finish_run(root, run, succeeded=True)
    # The first dies while it tells of one stage, the second while of the next.
    process = start_python(KILL_FLUSHES, root, 1, epochs * names)
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    killed_at = [int(line) for line in out.split()]
    whole = 2 * epochs * (names + 1) + 2 * (names + 1)
    assert 0 < killed_at[0] <= killed_at[1] < whole
    assert flush(root, TRACKING)
    assert count(root, "metrics") == whole
    assert sorted(by_name(root)) == sorted([run.key, "preprocess", "train"])
    assert len(runs(root)) == 3
    train = by_name(root)["train"].info.run_id
    history = client(root).get_metric_history(train, "m7")
    assert [point.step for point in history] == list(range(epochs))


def test_a_server_that_is_down_costs_a_warning_only(root, monkeypatch, capsys):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = open_run(root, PARAMS)
    tell(root, run)
    assert not flush(root, TrackingConfig(kind="server", experiment="flights"))
    warning = capsys.readouterr().err
    assert "kept for the next run" in warning
    assert "start the server" in warning
    assert "secret" not in warning
    assert flush(root, TRACKING)
    assert by_name(root)["train"].info.status == "FINISHED"


def test_a_store_made_anew_is_told_everything(root):
    run = open_run(root, PARAMS)
    tell(root, run, "preprocess")
    assert flush(root, TRACKING)
    shutil.move(root / "mlflow.db", root / "old.db")
    # Another folder stands for the next process: SQLite keeps a deleted file open in this one.
    later = root.with_name(root.name + "-later")
    shutil.move(root, later)
    put_store(later)
    tell(later, run, "train")
    assert flush(later, TRACKING)
    assert sorted(by_name(later)) == sorted([run.key, "preprocess", "train"])
    parent = by_name(later)[run.key]
    assert set(parent.data.metrics) >= {"preprocess.loss", "train.loss"}


def test_a_run_deleted_in_the_ui_is_no_obstacle(root):
    run = open_run(root, PARAMS)
    tell(root, run, ending=None)
    assert flush(root, TRACKING)
    client(root).delete_run(by_name(root)["train"].info.run_id)
    tell(root, run)
    assert flush(root, TRACKING)
    assert by_name(root)["train"].info.status == "FINISHED"


LOCK = {
    "stages": {
        "ingest": {"outs": [{"path": "data/raw", "md5": "r0.dir"}]},
        "train": {
            "deps": [{"path": "data/raw", "md5": "r0.dir"}],
            "outs": [{"path": "models/trained", "md5": "m0.dir"}],
        },
        "report": {
            "deps": [{"path": "models/trained", "md5": "m0.dir"}],
            "outs": [{"path": "report", "md5": "p0"}],
        },
    }
}


def test_cached_stages_name_the_run_they_come_from(root):
    (root / "dvc.lock").write_text(yaml.safe_dump(LOCK))
    first = open_run(root, PARAMS)
    for stage in ("ingest", "train"):
        tell(root, first, stage)
    assert flush(root, TRACKING)
    tags = by_name(root)[first.key].data.tags
    assert tags["dvc.out.data/raw"] == "r0.dir"
    # DVC has not gone past train yet: what dvc.lock says of it is from another time.
    assert "dvc.out.models/trained" not in tags
    finish_run(root, first, succeeded=True)
    later = yaml.safe_dump(LOCK).replace("p0", "p1")  # what the next run makes is not the first's
    (root / "dvc.lock").write_text(later)
    second = open_run(root, {**PARAMS, "train": {"epochs": 9}})
    tell(root, second, "train")
    assert flush(root, TRACKING)
    tags = by_name(root)[second.key].data.tags
    assert tags["stage.ingest"] == f"cached from {first.key}"
    assert (tags["stage.train"], tags.get("stage.report")) == ("ran", None)
    tags = by_name(root)[first.key].data.tags
    assert (tags["dvc.out.models/trained"], tags["dvc.out.report"]) == ("m0.dir", "p0")
    assert tags["stage.report"] == "cached"


def test_the_parent_is_found_for_the_registry(root):
    run = open_run(root, PARAMS)
    parent = parent_run(root, run.key, TRACKING)
    assert parent == by_name(root)[run.key].info.run_id
    assert parent_run(root, "unknown", TRACKING) is None


def test_a_run_with_an_odd_user_name_or_key(root):
    run = replace(open_run(root, PARAMS), experiment="wide-tern")
    journal = journal_for(root, run, "train")
    journal.start()
    journal.metrics({"/auc": 1.0, "a//b": 2.0, "..": 3.0, "x" * 400: 4.0, "größe %": 5.0})
    journal.tags({"long": "y" * 20_000})
    journal.finish("FINISHED")
    assert flush(root, TRACKING)
    train = by_name(root)["train"]
    assert sorted(train.data.metrics.values()) == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert train.data.tags["long"] == "y" * 5000
