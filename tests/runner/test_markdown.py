"""The report of a training job: what it says, and that it is written whatever is missing."""

from __future__ import annotations

import itertools
import json
import subprocess

import pytest
import yaml

from pipeline.core.artifacts import Artifacts, write_json
from pipeline.core.errors import UsageError
from pipeline.core.records import (
    Check,
    ExportRecord,
    FileFacts,
    Registration,
    SourceRecord,
    Verdict,
)
from pipeline.core.schema import dump
from pipeline.preprocess.profile_records import Distribution, Finding, Profile
from pipeline.runner.execute import StageState, stage_state
from pipeline.runner.markdown import summary_markdown
from pipeline.runner.markdown_text import line_chart, number, thinned, words

HASH = "a" * 64


def git(root, *arguments):
    identity = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    subprocess.run(["git", *identity, *arguments], cwd=root, check=True, capture_output=True)


def metrics(auc, *, loss=0.45, champion=True):
    return {
        "test": {
            "rows": 1000,
            "auc": auc,
            "auc_low": auc - 0.01,
            "auc_high": auc + 0.01,
            "log_loss": loss,
        },
        "baseline": {"linear": {"auc": 0.7, "log_loss": 0.5}},
        "champion": {"version": 3, "auc": 0.72} if champion else {},
        "efficiency": {"training_seconds": 12.5, "model_bytes": 1_500_000},
    }


def check(metric="auc", *, passed=True, **options):
    plain = {
        "name": metric,
        "slice": None,
        "kind": "absolute",
        "greater_is_better": True,
        "bound": 0.5,
        "value": 0.74,
    }
    return Check(metric=metric, passed=passed, **(plain | options))


def verdict(*checks, reasons=()):
    return Verdict(
        verdict="REJECTED" if reasons else "VALIDATED",
        checks=checks,
        champion_version=3,
        model_hash=HASH,
        reasons=reasons,
    )


def profile(*findings):
    bars = Distribution(ordered=False, names=(), edges=(), counts={}, classes=(), label_means=())
    return Profile(
        label="late",
        task="binary",
        classes=("no", "yes"),
        rows={"train": 800, "validation": 100, "test": 100},
        table_rows={"train": 800, "validation": 100, "test": 100},
        label_distribution=bars,
        findings=findings,
        cleaning=(),
        columns=(),
        relations=(),
        missing_patterns=(),
        drift=(),
    )


@pytest.fixture
def root(tmp_path):
    """A project in which a whole run ended, two commits old."""
    artifacts = Artifacts(tmp_path)
    git(tmp_path, "init", "--quiet")
    write_json(artifacts.metrics, metrics(0.70, loss=0.40))
    params = {"train": {"epochs": 3, "seed": 7}, "model": {"name": "mlp"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "base")
    git(tmp_path, "branch", "base")
    write_all(artifacts)
    params["train"]["epochs"] = 5
    params["model"]["units"] = [8, 4]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    git(tmp_path, "add", "params.yaml", "models")
    git(tmp_path, "commit", "--quiet", "-m", "work")
    return tmp_path


def write_all(artifacts):
    write_json(artifacts.metrics, metrics(0.74))
    artifacts.verdict.write(verdict(check(), check("log_loss", greater_is_better=False)))
    facts = FileFacts(uri="package:flights", sha256=HASH, rows=1000)
    artifacts.source.write(
        SourceRecord(
            source=facts,
            joins={"weather": facts},
            matched_fraction={"weather": 0.9},
            rows=1000,
            columns=("a",),
            sha256=HASH,
        )
    )
    drift = Finding(kind="drift", level="warning", column="month", text="Differs.")
    write_json(artifacts.profile.path / "profile.json", dump(profile(drift)))
    artifacts.registration.write(
        Registration(name="flights", version=4, model_hash=HASH, run_id="r", alias="challenger")
    )
    artifacts.export.write(
        ExportRecord(
            name="flights",
            version=4,
            model_hash=HASH,
            rows_compared=1000,
            largest_difference=1.2e-7,
            tolerance=1e-5,
            bytes=1_200_000,
            weight_bytes=1_000_000,
        )
    )
    artifacts.history.parent.mkdir(parents=True)
    artifacts.history.write_text("epoch,loss,val_loss\n0,0.6,0.58\n1,0.5,0.52\n2,0.45,0.51\n")
    plots = artifacts.evaluation_plots.path
    plots.mkdir(parents=True)
    (plots / "roc.csv").write_text(
        "curve,false_positive_rate,true_positive_rate\nmodel,0,0\nmodel,0.2,0.6\nmodel,1,1\n"
        "linear,0,0\nlinear,1,1\n"
    )
    (plots / "roc.png").write_bytes(b"")
    record = StageState(
        stage="train",
        run="r",
        state="done",
        started_at=0.0,
        seconds=12.34,
        peak_memory_bytes=900_000_000,
        exit_code=0,
        message="",
    )
    stage_state(artifacts.root, "train").write(record)


def section(text, title):
    return text.split(f"### {title}\n")[1].split("\n### ")[0]


def test_a_whole_run(root):
    text = summary_markdown(root, "base")
    assert text.startswith("## VALIDATED: 2 of 2 checks kept\n")
    assert "It holds exactly what ran." in text
    quality = section(text, "Metrics on the test split")
    assert (
        "| AUC | 0.7400 | 0.7300 to 0.7500 | 0.7000 | +0.0400 (better) | 0.7000 | 0.7200 |"
        in quality
    )
    assert "| log loss | 0.4500 |  | 0.4000 | +0.0500 (**worse**) | 0.5000 |  |" in quality
    assert "champion v3" in quality
    assert "| model file, bytes | 1,500,000 | 1,500,000 |" in quality
    params = section(text, "Changed params")
    assert "| model.units | *absent* | \\[8, 4\\] |" in params
    assert "| train.epochs | 3 | 5 |" in params
    assert "seed" not in params
    stages = section(text, "Stages")
    assert "| train | done | 12.3 s | 900 MB |" in stages
    assert "| ingest | not run here: cached |" in stages
    pictures = section(text, "Pictures")
    assert pictures.count("```mermaid") == 2
    assert "line [0.6, 0.5, 0.45]" in pictures
    assert "line [0, 0.15, 0.3, 0.45, 0.6," in pictures
    assert "`roc.png`" in pictures
    assert "- warning: **month** Differs." in section(text, "Data")
    delivery = section(text, "Registered and exported")
    assert "version 4, challenger when registered" in delivery
    assert "at most 1.2e-07 over 1,000 rows (allowed: 1e-05)" in delivery


def test_without_a_base_nothing_is_compared(root):
    text = summary_markdown(root, None)
    assert "change" not in section(text, "Metrics on the test split")
    assert "no base revision" in section(text, "Changed params")


@pytest.mark.parametrize("revision", ["nowhere", "0" * 40])
def test_an_unknown_base_is_said(root, revision):
    text = summary_markdown(root, revision)
    assert f"`{revision}` is not known to this clone" in text
    assert "| AUC | 0.7400 | 0.7300 to 0.7500 | 0.7000 | 0.7200 |" in text


def test_a_base_that_would_be_an_option_is_refused(root):
    with pytest.raises(UsageError, match="no git revision"):
        summary_markdown(root, "--output=/tmp/x")


def test_a_refused_model_says_why(root):
    reason = "auc is 0.4, must be at least 0.5"
    failed = check(passed=False, value=None, kind="slice", slice="origin=JFK|x")
    Artifacts(root).verdict.write(verdict(check(), failed, reasons=(reason,)))
    text = summary_markdown(root, "base")
    assert text.startswith("## REJECTED: 1 of 2 checks kept\n")
    assert f"- {reason}" in text
    rows = [line for line in section(text, "Checks of the gate").splitlines() if "AUC" in line]
    assert rows[0] == "| AUC | slice | origin=JFK\\|x | at least 0.5000 | undefined | **FAILED** |"
    assert rows[1].endswith("kept |")


def test_tables_are_whole(root):
    lines = summary_markdown(root, None).splitlines()
    for above, below in itertools.pairwise(lines):
        if below.startswith("| ---"):
            assert above.count("|") == below.count("|")


def test_what_differs_from_the_commit_is_named(root):
    (root / "params.yaml").write_text("train: {epochs: 9}\n")
    assert "commit them to keep this result: `params.yaml`." in summary_markdown(root, None)
    (root / "dvc.lock").write_text("schema: '2.0'\n")
    (root / "notes.txt").write_text("mine\n")
    assert "`params.yaml`, `dvc.lock`." in summary_markdown(root, None)


def test_a_change_within_the_interval_is_no_news(root):
    write_json(Artifacts(root).metrics, metrics(0.705))
    assert "+0.0050 (within the interval)" in summary_markdown(root, "base")


def test_an_export_of_another_model_is_not_taken_for_this_one(root):
    artifacts = Artifacts(root)
    old = artifacts.registration.read()
    artifacts.registration.write(
        Registration(name=old.name, version=5, model_hash="b" * 64, run_id=None, alias=None)
    )
    assert "did not run to its end" in summary_markdown(root, None)


def test_nothing_at_all(tmp_path):
    text = summary_markdown(tmp_path, "main")
    assert text.startswith("## No verdict")
    assert text.count("Nothing to show:") >= 5


def damaging(root):
    files = [
        path for path in sorted(root.rglob("*")) if path.is_file() and ".git" not in path.parts
    ]
    return [path.relative_to(root) for path in files]


@pytest.mark.parametrize("harm", ["gone", "empty", "noise"])
def test_any_one_file_may_be_missing_or_damaged(root, harm):
    for name in damaging(root):
        whole = (root / name).read_bytes()
        if harm == "gone":
            (root / name).unlink()
        else:
            (root / name).write_bytes(b"" if harm == "empty" else b'{"a": [1, "\xff')
        assert summary_markdown(root, "base").startswith("## ")
        (root / name).write_bytes(whole)


HOSTILE = "a|b\n# big `code` <img src=x> [link](http://x) @someone $x$ &lt;"


def test_hostile_words_stay_words(root):
    artifacts = Artifacts(root)
    finding = Finding(kind="drift", level="note", column=HOSTILE, text=HOSTILE)
    write_json(artifacts.profile.path / "profile.json", dump(profile(finding)))
    artifacts.verdict.write(verdict(check(slice=HOSTILE), reasons=(HOSTILE,)))
    text = summary_markdown(root, None)
    assert "a\\|b \\# big \\`code\\` \\<img src=x\\> \\[link\\](http://x) \\@someone" in text
    assert "\n# big" not in text
    tables = [line for line in section(text, "Checks of the gate").splitlines() if "big" in line]
    assert len(tables) == 1


def test_numbers_are_short():
    shown = [number(value) for value in (None, 3, 0.5, 12.3456, 1234.5, -0.25, 2_000_000)]
    assert shown == ["", "3", "0.5000", "12.35", "1,234", "-0.2500", "2,000,000"]


def test_long_words_are_cut():
    assert len(words("x" * 500)) == 120


def test_charts_are_mermaid():
    chart = line_chart('the "title"', ("x", 0, 1), ("y", 0, 2), [[0, 1], [1, 2]])
    assert chart[0] == "```mermaid"
    assert '    title "the \\"title\\""' in chart
    assert chart[-3:] == ["    line [0, 1]", "    line [1, 2]", "```"]
    long = thinned([float(value) for value in range(1000)])
    assert (len(long), long[0], long[-1]) == (40, 0.0, 999.0)
    assert all(a < b for a, b in itertools.pairwise(long))


def test_the_profile_read_is_the_profile_written(root):
    read = json.loads((Artifacts(root).profile.path / "profile.json").read_text())
    assert read == dump(profile(Finding(**read["findings"][0])))
