"""Configs are complete, typed, and checked without TensorFlow."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipeline.core.errors import ConfigError
from pipeline.core.schema import build, dump
from pipeline.train import STAGE, models
from pipeline.train.config import TrainConfig
from tests.train.worlds import REPOSITORY, params, read_yaml, settings


def test_every_builder_has_a_config_file_and_every_file_a_builder() -> None:
    files = [path.stem for path in (REPOSITORY / "configs" / "model").glob("*.yaml")]
    assert sorted(files) == models.names()


@pytest.mark.parametrize("name", models.names())
def test_a_model_section_is_read_and_written_back(name: str) -> None:
    section = read_yaml(f"model/{name}")
    assert models.plain(models.parse(section)) == section


def test_the_train_section_is_read_and_written_back() -> None:
    section = read_yaml("train/default")
    assert dump(build(TrainConfig, section, "train")) == section


def test_configs_are_checked_without_tensorflow() -> None:
    code = (
        "import sys, yaml, pathlib; from pipeline.train import STAGE, models\n"
        "for name in models.names():\n"
        "    text = pathlib.Path(f'configs/model/{name}.yaml').read_text()\n"
        "    models.parse(yaml.safe_load(text))\n"
        "heavy = {'tensorflow', 'keras', 'pandas', 'sklearn', 'mlflow'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_model_names_the_nearest() -> None:
    sections = params()
    sections["model"]["name"] = "wide_dep"
    with pytest.raises(ConfigError, match=r"(?s)model.name.*did you mean wide_deep") as caught:
        STAGE.configure(sections)
    assert caught.value.exit_code == 2


def test_an_option_of_another_model_is_refused_by_its_own_key() -> None:
    with pytest.raises(ConfigError, match=r"unknown config key 'model.cross_layers'"):
        settings("mlp", model__cross_layers=2)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("train__epochs", 0, "train.epochs"),
        ("train__optimizer__learning_rate", 0.0, "train.optimizer.learning_rate"),
        ("train__optimizer__name", "adamm", "train.optimizer.name"),
        ("train__schedule__warmup_fraction", 1.0, "train.schedule.warmup_fraction"),
        ("train__class_weights", "ballanced", "train.class_weights"),
        ("train__precision", "float16", "train.precision"),
        ("model__dropout", 1.0, "model.dropout"),
        ("strategy__name", "two_devices", "strategy.name"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_key(
    key: str, value: object, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        settings("mlp", **{key: value})


@pytest.mark.parametrize("value", ["none", "balanced", {"no": 1.0, "yes": 3.0}])
def test_class_weights_take_three_forms(value: object) -> None:
    assert settings(train__class_weights=value).train.class_weights == value


def own_model(target: str, allowed: list[str]) -> dict[str, object]:
    sections = params(train__allowed_targets=allowed)
    sections["model"] = {"name": "mine", "_target_": target, "width": 4}
    return sections


@pytest.mark.parametrize("allowed", [[], ["my_model"], ["my_models.tower.build.more"]])
def test_a_target_outside_the_list_is_refused_before_it_is_imported(allowed: list[str]) -> None:
    # There is no such module: importing it would fail in another way.
    with pytest.raises(ConfigError, match=r"(?s)model\._target_.*allowed_targets=\[my_models\]"):
        STAGE.configure(own_model("my_models.tower.build", allowed))


@pytest.mark.parametrize("allowed", ["my_models", "my_models.tower"])
def test_a_target_in_or_under_the_list_is_taken(allowed: str) -> None:
    config = STAGE.configure(own_model("my_models.tower.build", [allowed]))
    assert config.model.name == "mine"


def test_a_target_that_cannot_be_imported_says_so() -> None:
    config = STAGE.configure(own_model("no_such_models.tower.build", ["no_such_models"]))
    with pytest.raises(ConfigError, match="no_such_models"):
        models.load(config.model)
