"""Planted personal values stand in no artifact, no log and no message of a whole run."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
import requests

from tests.conftest import Project
from tests.runner.shop import orders

NAMES = [f"Planted-{number:04d}-Person" for number in range(1200)]
KEY = "one-secret-key-of-this-test-alone"
CONFIG = """\
# Orders of people.
name: people
source:
  kind: file
  path: data/source/people.csv
  pii:
    name: {how: drop}
    email: {how: hash}
    street: {how: generalise, characters: 1}
joins: {}
columns:
  weight: {kind: numeric}
  shop: {kind: categorical}
  email: {kind: id}
  street: {kind: id}
crosses: {}
label: {column: late, task: binary}
split: {kind: hash, columns: [email], validation_fraction: 0.2, test_fraction: 0.2}
"""


def plant(project: Project) -> None:
    """A table in which three columns would give a person away."""
    table = orders(1200)[["weight", "shop", "late"]].assign(
        name=NAMES,
        email=[f"{name}@example.org" for name in NAMES],
        street=[f"{'NESW'[row % 4]} {name}" for row, name in enumerate(NAMES)],
    )
    table.to_csv(project.root / "data/source/people.csv", index=False)
    (project.root / "configs/data/people.yaml").write_text(CONFIG)
    (project.root / "overrides.yaml").write_text("overrides: [data=people]\n")


def traces(root: Path) -> list[str]:
    """Files that hold a planted value or the key, in plain bytes or inside Parquet."""
    found = []
    for path in sorted(root.rglob("*")):
        if not path.is_file() or root / "data/source" in path.parents:
            continue
        content = path.read_bytes()
        if content.startswith(b"PAR1"):
            content += pd.read_parquet(path).to_csv().encode()
        if b"Planted-" in content or KEY.encode() in content:
            found.append(path.relative_to(root).as_posix())
    return found


def test_no_artifact_of_the_data_stages_holds_a_planted_value(project: Project):
    plant(project)
    said = ""
    for stage in ("compose", "ingest", "preprocess"):
        done = project.run("pipeline", "stage", stage, PIPELINE_PII_KEY=KEY)
        assert done.returncode == 0, done.stderr
        said += done.stdout + done.stderr
    assert "Planted-" not in said
    assert traces(project.root) == []
    processed = pd.read_parquet(project.root / "data/processed/train.parquet")
    assert processed["email"].str.fullmatch("[0-9a-f]{32}").all()
    assert set(processed["street"]) == set("NESW")


def test_the_search_would_find_what_gets_through(tmp_path: Path):
    pd.DataFrame({"name": NAMES}).to_parquet(tmp_path / "table.parquet", compression="zstd")
    (tmp_path / "log.txt").write_text(f"row 1: {NAMES[0]}")
    (tmp_path / "key.json").write_text(f'{{"key": "{KEY}"}}')
    (tmp_path / "fine.txt").write_text("row 1")
    assert traces(tmp_path) == ["key.json", "log.txt", "table.parquet"]


@contextmanager
def served(project: Project, log: str) -> Iterator[str]:
    """The REST address of `pipeline serve`, which writes a request log."""
    ports = ("serve.rest_port=0", "serve.grpc_port=0")
    command = project.command("pipeline", "serve", f"serve.request_log.file={log}", *ports)
    with (project.root / "serve.log").open("w") as said:
        process = subprocess.Popen(
            command,
            cwd=project.root,
            env=project.environment(),
            stdout=subprocess.PIPE,
            stderr=said,
        )
    assert process.stdout is not None
    try:
        lines = iter(lambda: process.stdout.readline().decode(), "")
        yield next(found[0] for line in lines if (found := re.search(r"http://[0-9.:]+", line)))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)
        process.stdout.close()


@pytest.mark.slow
def test_no_artifact_of_a_whole_run_holds_a_planted_value(project: Project):
    plant(project)
    # An input of the model, so that people send it.
    config = project.root / "configs/data/people.yaml"
    config.write_text(CONFIG.replace("street: {kind: id}", "street: {kind: categorical}"))
    done = project.run("pipeline", "run", "data=people", "+debug=smoke", PIPELINE_PII_KEY=KEY)
    assert done.returncode == 0, done.stderr
    assert "Planted-" not in done.stdout + done.stderr
    assert (project.root / "models/evaluation/verdict.json").exists()
    assert traces(project.root) == []
    row = {"weight": 1.5, "shop": "Oslo", "street": f"N {NAMES[0]}"}
    with served(project, ".pipeline/requests/requests.jsonl") as address:
        answer = requests.post(
            f"{address}/v1/models/people:predict", json={"instances": [row]}, timeout=30
        )
        assert len(answer.json()["predictions"]) == 1, answer.text
    log = (project.root / ".pipeline/requests/requests.jsonl").read_text()
    assert '"shop"' in log
    assert traces(project.root) == []


OTHER = KEY[::-1]
REASON = "the key in PIPELINE_PII_KEY is another one than data/raw was hashed with"


def planned(project: Project, **environment: str) -> list[str]:
    """Why `pipeline plan` would run ingest."""
    done = project.run("pipeline", "plan", "data=people", "--json", **environment)
    assert done.returncode == 0, done.stderr
    plans = json.loads(done.stdout)
    return next(one["reasons"] for one in plans if one["stage"] == "ingest")


def test_a_changed_key_is_seen_by_its_fingerprint(project: Project):
    plant(project)
    done = project.run("dvc", "repro", "ingest", PIPELINE_PII_KEY=KEY)
    assert done.returncode == 0, done.stderr
    record = json.loads((project.root / "data/raw/source.json").read_text())
    assert list(record["pii_keys"]) == ["PIPELINE_PII_KEY"]
    assert traces(project.root) == []
    assert planned(project, PIPELINE_PII_KEY=KEY) == []
    assert planned(project) == [], "who has no key takes what is there"
    assert planned(project, PIPELINE_PII_KEY=OTHER) == [REASON]


@pytest.mark.slow
def test_a_changed_key_reads_the_source_again(project: Project):
    plant(project)
    # The run ends where the label is missed, long before a model is trained.
    config = project.root / "configs/data/people.yaml"
    config.write_text(CONFIG.replace("column: late", "column: later"))
    emails = []
    for key, reads in ((KEY, True), (OTHER, True), (OTHER, False)):
        done = project.run("pipeline", "run", "data=people", PIPELINE_PII_KEY=key)
        assert done.returncode == 1
        assert "the table has no column 'later'" in done.stderr
        assert ("[ingest] done" in done.stdout) == reads, done.stdout
        emails.append(pd.read_parquet(project.root / "data/raw/table.parquet")["email"][0])
    assert emails[0] != emails[1] == emails[2]
