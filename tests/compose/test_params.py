"""params.yaml: whole, stable, commented, and told apart from what people did to it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.compose.params import changes, read_params, write_params
from pipeline.core.errors import ConfigError
from pipeline.core.schema import flatten

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**12), 10**12),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
mappings = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.recursive(
        scalars,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner)),
        max_leaves=6,
    ),
    max_size=4,
)
GOOD: dict[str, Any] = {"data": {"name": "flights"}, "train": {"epochs": 8, "rate": 1e-05}}


@given(mappings)
@example({"a\x85b": {"\u2029": ["\x85", "x\n", None]}})
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read(tmp_path: Path, params: dict[str, Any]):
    (tmp_path / "params.yaml").unlink(missing_ok=True)
    write_params(tmp_path, params, [])
    assert read_params(tmp_path) == params


@given(mappings, mappings)
def test_changes_name_every_key_that_differs_and_no_other(
    before: dict[str, Any], after: dict[str, Any]
):
    old, new = flatten(before), flatten(after)
    absent = object()
    differing = {k for k in {*old, *new} if old.get(k, absent) != new.get(k, absent)}
    lines = changes(before, after)
    assert len(lines) == len(differing)
    assert all(any(line.startswith(f"{key}: ") for line in lines) for key in differing)
    assert changes(after, after) == []


def test_the_header_says_where_it_comes_from(tmp_path: Path):
    write_params(tmp_path, GOOD, ["data=flights"])
    lines = (tmp_path / "params.yaml").read_text().splitlines()
    assert "do not edit" in lines[0]
    assert lines[2] == '# overrides: ["data=flights"]'
    assert "data:" in lines, "a YAML in blocks, for people and for git diff"


def test_the_first_writing_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_params(tmp_path, GOOD, [])
    assert capsys.readouterr().out == ""


def test_equal_content_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_params(tmp_path, GOOD, [])
    before = (tmp_path / "params.yaml").stat().st_mtime_ns
    write_params(tmp_path, GOOD, [])
    assert (tmp_path / "params.yaml").stat().st_mtime_ns == before
    assert capsys.readouterr().out == ""


def test_each_changed_key_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_params(tmp_path, GOOD, [])
    write_params(tmp_path, {"data": {"name": "flights"}, "train": {"epochs": 9, "new": 1}}, [])
    out = capsys.readouterr().out
    assert "train.epochs: 8 -> 9" in out
    assert "train.rate: 1e-05 -> (none)" in out
    assert "train.new: (none) -> 1" in out
    assert "edited by hand" not in out


def test_many_changes_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_params(tmp_path, {f"k{i}": 0 for i in range(30)}, [])
    write_params(tmp_path, {f"k{i}": 1 for i in range(30)}, [])
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 13
    assert lines[-1] == "compose: and 18 more keys"


def test_an_edit_by_hand_is_told_and_not_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_params(tmp_path, GOOD, [])
    path = tmp_path / "params.yaml"
    path.write_text(path.read_text().replace("epochs: 8", "epochs: 80"))
    write_params(tmp_path, GOOD, [])
    out = capsys.readouterr().out
    assert "edited by hand; these values are not kept" in out
    assert "train.epochs: 80 -> 8" in out
    assert read_params(tmp_path) == GOOD


def test_a_damaged_file_is_told_and_written_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    (tmp_path / "params.yaml").write_text("train: [\n")
    with pytest.raises(ConfigError, match=re.escape("run `pipeline run`")):
        read_params(tmp_path)
    write_params(tmp_path, GOOD, [])
    assert "line 2" in capsys.readouterr().out
    assert read_params(tmp_path) == GOOD


def test_a_missing_file_names_the_command(tmp_path: Path):
    with pytest.raises(ConfigError, match="dvc repro compose"):
        read_params(tmp_path)
