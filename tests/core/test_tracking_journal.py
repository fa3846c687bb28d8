"""Journals: append-only, whole after a crash, and true to the moment they were written in."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.jsonl import append_line, read_lines
from pipeline.core.processes import born, lives
from pipeline.core.publishing import publish_file
from pipeline.core.tracking import Journal

LINES = st.lists(st.dictionaries(st.text(max_size=5), st.integers(), max_size=3), max_size=6)


@given(before=LINES, torn=st.binary(min_size=1, max_size=20), after=LINES)
def test_a_torn_line_costs_itself_only(tmp_path_factory, before, torn, after):
    path = tmp_path_factory.mktemp("torn") / "file.jsonl"
    for value in before:
        append_line(path, value)
    path.parent.mkdir(exist_ok=True)
    with path.open("ab") as file:
        file.write(b'{"torn": ' + torn.replace(b"\n", b" "))
    for value in after:
        append_line(path, value)
    lines, offset = read_lines(path)
    assert lines == before + after
    if after:
        assert offset == path.stat().st_size


@given(first=LINES, second=LINES)
def test_reading_on_from_the_offset_gives_each_line_once(tmp_path_factory, first, second):
    path = tmp_path_factory.mktemp("offset") / "file.jsonl"
    for value in first:
        append_line(path, value)
    early, offset = read_lines(path)
    for value in second:
        append_line(path, value)
    late, end = read_lines(path, offset)
    assert early + late == first + second
    assert read_lines(path, end)[0] == []


def test_a_line_still_being_written_waits_for_the_next_reading(tmp_path):
    path = tmp_path / "file.jsonl"
    append_line(path, {"a": 1})
    with path.open("ab") as file:
        file.write(b'{"b": 2')
        file.flush()
        lines, offset = read_lines(path)
        assert lines == [{"a": 1}]
        file.write(b"}\n")
    assert read_lines(path, offset)[0] == [{"b": 2}]


def test_a_journal_takes_what_stages_have(tmp_path):
    import numpy as np

    journal = Journal(tmp_path / "runs" / "KEY" / "train.jsonl")
    journal.start()
    journal.params({"lr": 0.1, "layers": [1, 2]})
    journal.metrics({"loss": np.float32(0.5), "auc": float("nan")}, step=np.int64(3))
    journal.tags({"verdict": "VALIDATED"})
    journal.finish("FINISHED")
    records, _ = read_lines(journal.path)
    kinds = [record["kind"] for record in records]
    assert kinds == ["start", "params", "metrics", "tags", "finish"]
    assert records[1]["value"] == {"lr": "0.1", "layers": "[1, 2]"}
    assert records[2]["value"]["step"] == 3
    assert math.isnan(records[2]["value"]["values"]["auc"])
    assert (journal.stage, journal.run_key) == ("train", "KEY")


def test_an_attached_file_stays_as_it_was_then(tmp_path):
    picture = tmp_path / "plots" / "roc.png"
    picture.parent.mkdir()
    picture.write_text("first")
    journal = Journal(tmp_path / "run" / "evaluate.jsonl")
    journal.artifact(picture, "plots")
    journal.artifact(picture.parent)
    with publish_file(picture) as aside:
        aside.write_text("second")
    copies = [journal.path.parent / line["value"]["copy"] for line in read_lines(journal.path)[0]]
    assert copies[0].read_text() == "first"
    assert (copies[1] / "roc.png").read_text() == "first"


def test_a_process_is_known_by_its_birth():
    assert lives(os.getpid(), born(os.getpid()))
    assert not lives(os.getpid(), born(os.getpid()) - 3600)
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    birth = born(gone.pid)
    gone.wait()
    assert not lives(gone.pid, birth)


def test_journals_need_no_mlflow():
    program = """
import sys
from pipeline.core import tracking
assert not {"mlflow", "pandas", "tensorflow", "sqlalchemy"} & set(sys.modules), "heavy"
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[2])


def test_a_record_is_one_json_line(tmp_path):
    journal = Journal(tmp_path / "run" / "ingest.jsonl")
    journal.tags({"note": "two\nlines, naïve"})
    text = journal.path.read_text(encoding="utf-8")
    assert text.count("\n") == 1
    assert json.loads(text)["value"] == {"note": "two\nlines, naïve"}
