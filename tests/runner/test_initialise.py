"""`pipeline init`: tables nobody has seen become a config that runs without code."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from pipeline.compose.compose import compose
from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import DataError, UsageError
from pipeline.core.records import LABEL
from pipeline.core.stage import Context
from pipeline.core.tracking import Journal
from pipeline.ingest import STAGE as INGEST
from pipeline.preprocess import STAGE as PREPROCESS
from pipeline.preprocess.check import check
from pipeline.preprocess.clean import clean
from pipeline.preprocess.label import make_label
from pipeline.preprocess.prepare import split
from pipeline.preprocess.raw import feature_columns, read_typed
from pipeline.runner.init_text import data_yaml
from pipeline.runner.initialise import initialise, look
from tests.conftest import REPOSITORY

ROWS = 300
ANSWERS = {"oben": "groß", "unten": "klein"}
SETTINGS = {
    group: yaml.safe_load((REPOSITORY / f"configs/{group}/default.yaml").read_text())
    for group in ("ingest", "preprocess")
}


@pytest.fixture
def root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A project with configs only; compositions are remembered from test to test."""
    monkeypatch.setattr("pipeline.compose.memory.STATE", str(tmp_path_factory.getbasetemp()))
    shutil.copytree(REPOSITORY / "configs", tmp_path / "project" / "configs")
    return tmp_path / "project"


def messy() -> pd.DataFrame:
    """Everything that goes wrong in tables, in one."""
    random = np.random.default_rng(0)
    size = random.normal(170, 10, ROWS).round(1)
    return pd.DataFrame(
        {
            "": np.arange(ROWS),
            "Größe (cm)": size,
            "plz": random.choice(["01067", "10115", "80331"], ROWS),
            "store": random.choice([101, 205, 999], ROWS),
            "blank": np.where(random.random(ROWS) < 0.3, " ", random.integers(0, 99, ROWS)),
            "odd": np.where(random.random(ROWS) < 0.1, "?", random.integers(0, 999, ROWS)),
            "seen": pd.date_range("2023-01-01", periods=ROWS).strftime("%d.%m.%Y"),
            "kunde": [f"kunde {i}" for i in range(ROWS)],
            "raucher": random.choice(["yes", "no"], ROWS),
            "always": "x",
            "never": np.nan,
            "wort": [f"w{i}" for i in random.integers(0, 250, ROWS)],
            "${x}: #y": random.random(ROWS),
            "yes": random.choice(["東京", "Zürich", 'it\'s "q"'], ROWS),
            "loses 30 %": np.where(random.random(ROWS) < 0.3, np.nan, random.random(ROWS)),
            "afterwards": np.where(size + random.normal(0, 9, ROWS) > 175, "oben", "unten"),
        }
    ).assign(ergebnis=lambda frame: frame["afterwards"].map(ANSWERS))


def written(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def init(source: Path, label: str, root: Path, **options: Any) -> Path:
    return initialise(
        str(source), label=label, root=root, **({"name": None, "force": False} | options)
    )


def prepare(root: Path, name: str) -> Artifacts:
    """Runs the real ingest and preprocess."""
    params = compose(root, [f"data={name}"])
    artifacts = Artifacts(root)
    for stage in (INGEST, PREPROCESS):
        context = Context(root=root, journal=Journal(root / "journal.jsonl"))
        stage.load()(stage.configure(params), artifacts, context)
    return artifacts


def test_a_messy_csv_runs_without_code(root: Path, capsys: pytest.CaptureFixture[str]):
    source = root / "Meine Daten.csv"
    messy().to_csv(source, index=False)
    path = init(source, "ergebnis", root)
    out = capsys.readouterr().out
    assert "wrote configs/data/Meine_Daten.yaml: binary 'ergebnis'" in out
    assert "pipeline run data=Meine_Daten" in out
    assert "look at Meine Daten.csv: DVC sees changes in data/source/ only" in out
    assert "look at 'afterwards': left out: alone predicts the label" in out
    data = written(path)
    assert data["source"] == {
        "kind": "file",
        "path": "Meine Daten.csv",
        "dtypes": {"plz": "string"},
        "missing": ["?"],
    }
    kinds = {name: column["kind"] for name, column in data["columns"].items()}
    assert kinds == {
        "Größe (cm)": "numeric",
        "plz": "categorical",
        "store": "categorical",
        "blank": "numeric",
        "odd": "numeric",
        "seen": "datetime",
        "kunde": "id",
        "raucher": "boolean",
        "wort": "categorical",
        "${x}: #y": "numeric",
        "yes": "categorical",
        "loses 30 %": "numeric",
    }
    assert data["split"]["kind"] == "time"
    text = path.read_text(encoding="utf-8")
    assert "#  afterwards: {kind: categorical, encoding: one_hot}  # alone predicts" in text
    assert "# left out: always (always 'x')" in text

    features = prepare(root, "Meine_Daten").features.read()
    assert features.label.classes == ("klein", "groß")
    assert {column.name for column in features.columns} == set(kinds) - {"kunde"}


def test_a_file_from_windows(root: Path):
    frame = messy().drop(columns=["", "afterwards", "yes"])
    source = root.parent / "export.csv"
    frame.to_csv(source, index=False, sep=";", encoding="cp1252")
    data = written(init(source, "Größe (cm)", root, name="export"))
    assert data["source"]["encoding"] == "cp1252"
    assert data["source"]["delimiter"] == ";"
    assert data["source"]["path"] == str(source), "outside the project: an absolute path"
    assert data["label"] == {"column": "Größe (cm)", "task": "regression"}
    features = prepare(root, "export").features.read()
    assert features.label.mean == pytest.approx(170, abs=3)


@pytest.mark.parametrize(
    "ending", ["csv.gz", "tsv", "tsv.zip", "jsonl", "jsonl.bz2", "parquet", "txt"]
)
def test_every_format(root: Path, ending: str):
    source = root / f"t.{ending}"
    frame = messy()[["Größe (cm)", "plz", "store", "raucher", "yes", "seen", "ergebnis"]]
    if "jsonl" in ending:
        frame.to_json(source, orient="records", lines=True, force_ascii=False)
    elif ending == "parquet":
        frame.to_parquet(source)
    else:
        frame.to_csv(source, index=False, sep="\t" if "tsv" in ending else ",")
    data = guessed(root, source.name, "ergebnis")
    assert [column["kind"] for column in data["columns"].values()] == [
        "numeric",
        "categorical",
        "categorical",
        "boolean",
        "categorical",
        "datetime",
    ]
    assert rows_left(root, data) == ROWS


def guessed(root: Path, path: str, label: str) -> dict[str, Any]:
    """The section `data` that `pipeline init` writes, as OmegaConf reads it."""
    look_at = partial(look, path, root, label=label, name="t", leakage_score=0.995)
    text = data_yaml(look_at(whole_bytes=10**8))
    assert data_yaml(look_at(whole_bytes=0)) == text, "the same batch by batch"
    data: Any = OmegaConf.to_container(OmegaConf.create(text), resolve=True)
    return dict(data)


def rows_left(root: Path, data: dict[str, Any]) -> int:
    """Ingests, checks, cleans, labels and splits for real; returns the rows that are left."""
    params = {**SETTINGS, "data": data}
    artifacts = Artifacts(root)
    context = Context(root=root, journal=Journal(root / "journal.jsonl"))
    INGEST.load()(INGEST.configure(params), artifacts, context)
    config = PREPROCESS.configure(params)
    typed = read_typed(artifacts.raw_table, config)
    columns = feature_columns(config.columns, config.label)
    check(typed, columns, config.label.column, config.preprocess)
    cleaning = clean(typed, columns, config.label.column, config.preprocess)
    labelled = make_label(cleaning.frame[LABEL], config.label)
    parts = split(cleaning, labelled, columns, config)
    assert min(len(part) for part in parts.values()) > 0
    return sum(len(part) for part in parts.values())


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
cells = st.sampled_from(
    [
        [str(i) for i in range(60)],
        ["1", "2", "3"],
        ["1.5", "", "-7e3"],
        ["yes", "no"],
        ["a", "b", "", "a b", "ä", '"', ","],
        ["2023-01-05", "2023-02-07", ""],
        ["2023-01-05 10:00:00", "2023-02-07 11:30:00"],
        ["05.01.2023", "17.02.2023"],
        ["0", "1"],
        ["01067", "10115"],
        ["?", "1.5", "2", "3.25"],
        ["20230105", "20230217"],
        ["", ""],
        ["true", "False"],
        ["nan", "none", "NULL", "x"],
        ["$1.50", "$2"],
        ["1,5", "2,25"],
    ]
)


@given(
    columns=st.dictionaries(names, cells, min_size=1, max_size=5),
    label=names,
    classes=st.sampled_from([["a", "b"], ["0", "1"], ["True", "False"], ["1", "2", "3"]]),
    seed=st.integers(0, 9),
)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
def test_odd_tables_compose_and_pass_the_check(
    tmp_path: Path, columns: dict[str, list[str]], label: str, classes: list[str], seed: int
):
    random = np.random.default_rng(seed)
    chosen = {name: random.choice(values, 60) for name, values in columns.items() if name != label}
    answers = random.choice(classes, 60)
    frame = pd.DataFrame({**chosen, "number": random.normal(size=60), label: answers})
    frame.to_csv(tmp_path / "odd.csv", index=False)
    assert rows_left(tmp_path, guessed(tmp_path, "odd.csv", label)) > 0


@pytest.mark.parametrize(
    ("source", "label", "options", "message"),
    [
        ("messy.cvs", "ergebnis", {}, "did you mean messy.csv?"),
        ("messy.csv", "ergebnisse", {}, "did you mean ergebnis?"),
        ("spaced.csv", "label", {}, "did you mean ' label'?"),
        ("messy.csv", "always", {}, "only the value 'x'"),
        ("messy.csv", "kunde", {}, "300 different words"),
        ("messy.csv", "ergebnis", {"name": "a/b"}, "'a/b' cannot name a data set"),
        ("messy.csv", "ergebnis", {"name": "null"}, "'null' cannot name a data set"),
        ("messy.csv", "ergebnis", {"name": "flights"}, "exists already"),
        ("empty.csv", "x", {}, "empty"),
        ("header.csv", "x", {}, "no rows"),
        ("broken.parquet", "x", {}, "cannot be read as parquet"),
        ("words.doc", "x", {}, "does not say which format"),
    ],
)
def test_what_cannot_be_done_says_why_and_writes_nothing(
    root: Path, source: str, label: str, options: dict[str, Any], message: str
):
    messy().to_csv(root / "messy.csv", index=False)
    (root / "spaced.csv").write_text("x, label\n1, a\n2, b\n")
    (root / "empty.csv").write_text("")
    (root / "header.csv").write_text("x,y\n")
    (root / "broken.parquet").write_text("no parquet")
    (root / "words.doc").write_text("x,y\n1,2\n")
    before = sorted((root / "configs/data").iterdir())
    with pytest.raises((UsageError, DataError), match=re.escape(message)):
        init(root / source, label, root, **options)
    assert sorted((root / "configs/data").iterdir()) == before


def test_an_existing_config_is_replaced_by_force_only(root: Path):
    source = root / "t.csv"
    messy().to_csv(source, index=False)
    path = init(source, "ergebnis", root)
    path.write_text("mine\n")
    with pytest.raises(UsageError, match="pass --force"):
        init(source, "ergebnis", root)
    assert path.read_text() == "mine\n"
    init(source, "ergebnis", root, force=True)
    assert "ergebnis" in path.read_text()


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("sales.csv.gz", "sales"),
        ("Umsätze 2023.csv", "Umsatze_2023"),
        ("2023.csv", "table_2023"),
        ("東京.csv", "table"),
        ("null.csv", "table_null"),
    ],
)
def test_the_name_comes_from_the_file(root: Path, file: str, name: str):
    pd.DataFrame({"a": range(20), "y": ["a", "b"] * 10}).to_csv(root / file, index=False)
    path = init(root / file, "y", root)
    assert path.stem == name
    assert compose(root, [f"data={name}"])["data"]["name"] == name


def test_a_config_that_would_not_compose_is_taken_back(root: Path):
    (root / "configs/train/default.yaml").write_text("epochs: [\n")
    messy().to_csv(root / "t.csv", index=False)
    with pytest.raises(UsageError, match=r"train/default\.yaml"):
        init(root / "t.csv", "ergebnis", root)
    assert not (root / "configs/data/t.yaml").exists()
