"""Real drift, real slow: the census of 2015 against the three years after it, by the command."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from pipeline.cli import run_command
from pipeline.compose.overrides import record_overrides
from tests.conftest import REPOSITORY
from tests.runner.shop import prepare

YEARS = (2016, 2017, 2018)
# The joint distribution moves by so little that the default, 0.6, rightly keeps quiet.
OVERRIDES = ["data=census", "preprocess.profile=false", "preprocess.drift.classifier_auc=0.54"]


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, list[Any]]]:
    """Exit code and figures of `pipeline data drift`: the splits of 2015, then each later year."""
    root = tmp_path_factory.mktemp("census")
    shutil.copytree(REPOSITORY / "configs", root / "configs")
    (root / "dvc.yaml").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setattr("pipeline.compose.memory.STATE", str(root / ".pipeline"))
        record_overrides(root, OVERRIDES)
        prepare(root, OVERRIDES)
        return {"splits": told(root)} | {str(year): told(root, path) for year, path in later(root)}


def later(root: Path) -> list[tuple[int, Path]]:
    """Writes a file for each later year, as the package has them."""
    (package,) = find_spec("nannyml").submodule_search_locations
    rows = pd.read_parquet(Path(package, "datasets/data/employment_MA_analysis.pq"))
    paths = [(year, root / f"{year}.parquet") for year in YEARS]
    for year, path in paths:
        rows[rows["year"] == year].to_parquet(path)
    return paths


def told(root: Path, *files: Path) -> tuple[int, list[Any]]:
    said: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipeline.runner.data_drift.say", said.append)
        code = run_command(["data", "drift", *map(str, files), "--json"])
    return code, json.loads(said[-1])


def significant(report: dict[str, Any]) -> set[str]:
    return {one["column"] for one in report["columns"] if one["adjusted_p_value"] < 0.01}


def test_random_parts_of_one_year_are_alike(reports: dict[str, tuple[int, list[Any]]]):
    code, splits = reports["splits"]
    assert code == 0
    for report in splits:
        assert significant(report) == set()
        assert report["joint"]["auc"] == pytest.approx(0.5, abs=0.02)


def test_every_year_differs_more(reports: dict[str, tuple[int, list[Any]]]):
    years = [reports[str(year)][1][0] for year in YEARS]
    seen = [report["joint"]["auc"] for report in years]
    moved = [report["columns"][0]["jensen_shannon"] for report in years]
    assert 0.52 < seen[0] < seen[1] < seen[2] < 0.6
    assert all(report["joint"]["p_value"] < 1e-20 for report in years)
    assert {report["columns"][0]["column"] for report in years} == {"ANC"}, "ancestry"
    assert 0.02 < moved[0] < moved[1] < moved[2] < 0.06
    assert len(significant(years[0])) < len(significant(years[1])) < len(significant(years[2]))


def test_the_exit_code_follows_the_threshold(reports: dict[str, tuple[int, list[Any]]]):
    assert [reports[str(year)][0] for year in YEARS] == [0, 1, 1]
    assert not any(one["reasons"] for one in reports["2018"][1][0]["columns"])
