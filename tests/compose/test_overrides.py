"""The recorded overrides: what is written is read again, whatever it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.compose.overrides import read_overrides, record_overrides
from pipeline.core.errors import ConfigError


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
@example(["\x85", "a\u2028b", "\r\n", "# no comment", "- x", "'", '"', "${data.name}", ""])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_list_survives(tmp_path: Path, overrides: list[str]):
    record_overrides(tmp_path, overrides)
    assert read_overrides(tmp_path) == overrides


def test_the_file_explains_itself_and_is_yaml(tmp_path: Path):
    record_overrides(tmp_path, ["data=penguins", "train.epochs=5"])
    text = (tmp_path / "overrides.yaml").read_text()
    assert text.startswith("# Written by `pipeline run OVERRIDE ...`")
    assert yaml.safe_load(text) == {"overrides": ["data=penguins", "train.epochs=5"]}


def test_the_same_list_leaves_the_file_alone(tmp_path: Path):
    record_overrides(tmp_path, ["data=penguins"])
    before = (tmp_path / "overrides.yaml").stat()
    record_overrides(tmp_path, ["data=penguins"])
    after = (tmp_path / "overrides.yaml").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_nothing_recorded_means_no_overrides(tmp_path: Path):
    assert read_overrides(tmp_path) == []
    (tmp_path / "overrides.yaml").write_text("")
    assert read_overrides(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("overrides: [1, 2]", "a list of texts"),
        ("overrides: data=penguins", "a list of texts"),
        ("override: []", "a list of texts"),
        ("overrides: [", "overrides.yaml, line 2"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, text: str, message: str):
    (tmp_path / "overrides.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_overrides(tmp_path)


def test_the_repository_records_none():
    root = Path(__file__).resolve().parents[2]
    assert (root / "overrides.yaml").exists(), "a dependency of stage compose"
    assert isinstance(read_overrides(root), list)
