"""Composition: what wins over what, and that nothing else happens."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pipeline.compose.compose import compose
from pipeline.core.errors import ConfigError


def files(root: Path) -> set[str]:
    return {
        str(path.relative_to(root)) for path in root.rglob("*") if ".pipeline" not in path.parts
    }


def test_defaults_are_composed_and_resolved(root: Path):
    assert compose(root) == {
        "data": {
            "name": "flights",
            "columns": {"distance": {"kind": "numeric"}, "carrier": {"kind": "categorical"}},
        },
        "model": {"name": "dcn", "layers": [64, 32], "dropout": 0.1},
        "train": {
            "epochs": 8,
            "optimizer": {"name": "adam", "learning_rate": 0.001},
            "note": "flights with dcn",
        },
        "tracking": {"kind": "sqlite", "experiment": "flights"},
    }


def test_an_option_brings_its_own_keys_only(root: Path):
    assert compose(root, ["model=mlp"])["model"] == {"name": "mlp", "layers": [16]}


@pytest.mark.parametrize(
    ("overrides", "epochs"),
    [
        (["+experiment=long"], 100),
        (["experiment=long"], 100),
        (["++experiment=long"], 100),
        (["+debug=smoke"], 2),
        (["debug=smoke"], 2),
        (["debug=smoke", "experiment=long"], 2),
        (["+experiment=long", "+debug=smoke"], 2),
        (["debug=smoke", "train.epochs=5"], 5),
        (["train.epochs=5", "debug=smoke"], 5),
        (["experiment=long", "experiment=null"], 8),
        (["~experiment"], 8),
        (["train={epochs: 7}"], 7),
        (["train.epochs=5", "train.epochs=6"], 6),
    ],
)
def test_what_wins(root: Path, overrides: list[str], epochs: int):
    assert compose(root, overrides)["train"]["epochs"] == epochs


def test_an_experiment_chooses_and_the_command_line_wins(root: Path):
    assert compose(root, ["experiment=long"])["model"]["name"] == "mlp"
    composed = compose(root, ["experiment=long", "model=dcn"])
    assert (composed["model"]["name"], composed["train"]["epochs"]) == ("dcn", 100)


def test_a_new_key_may_be_called_like_a_group(root: Path):
    composed = compose(root, ["+data.columns.model={kind: text}", "+train.dbug=1"])
    assert composed["data"]["columns"]["model"] == {"kind": "text"}
    assert composed["train"]["dbug"] == 1


def test_new_keys_and_keys_left_out(root: Path):
    composed = compose(root, ["+data.columns.temp={kind: numeric}", "~data.columns.carrier"])
    assert list(composed["data"]["columns"]) == ["distance", "temp"]


def test_commas_in_quotes_and_lists_are_values(root: Path):
    composed = compose(root, ["train.note='a,b'", "model.layers=[1,2]"])
    assert composed["train"]["note"] == "a,b"
    assert composed["model"]["layers"] == [1, 2]


def test_nothing_is_left_behind(root: Path, monkeypatch: pytest.MonkeyPatch):
    before = files(root)
    handlers = list(logging.getLogger().handlers)
    elsewhere = root / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    compose(root, ["train.epochs=5"])
    assert files(root) == before | {"elsewhere"}
    assert logging.getLogger().handlers == handlers


def test_a_remembered_composition_is_the_same_one(root: Path):
    first = compose(root, ["train.epochs=5"])
    memories = list((root / ".pipeline" / "compose").iterdir())
    again = compose(root, ["train.epochs=5"])
    assert again == first
    assert list((root / ".pipeline" / "compose").iterdir()) == memories
    again["train"]["epochs"] = 6
    assert compose(root, ["train.epochs=5"]) == first, "callers may change what they get"


def test_an_edited_config_is_composed_anew(root: Path):
    assert compose(root)["train"]["epochs"] == 8
    path = root / "configs/train/default.yaml"
    path.write_text(path.read_text().replace("epochs: 8", "epochs: 9"))
    assert compose(root)["train"]["epochs"] == 9


def test_a_damaged_memory_is_composed_anew(root: Path):
    first = compose(root)
    for path in (root / ".pipeline" / "compose").iterdir():
        path.write_text("{")
    assert compose(root) == first


def test_only_the_newest_compositions_are_remembered(root: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("pipeline.compose.memory._KEPT", 2)
    for epochs in range(1, 5):
        compose(root, [f"train.epochs={epochs}"])
    newest = set((root / ".pipeline" / "compose").iterdir())
    assert len(newest) == 2
    compose(root, ["train.epochs=4"])
    assert set((root / ".pipeline" / "compose").iterdir()) == newest, "it was still there"


def test_a_project_that_cannot_be_written_to_composes_all_the_same(root: Path):
    (root / ".pipeline").write_text("in the way")
    assert compose(root)["data"]["name"] == "flights"


def test_without_configs_there_is_nothing_to_compose(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"config.yaml does not exist"):
        compose(tmp_path)
