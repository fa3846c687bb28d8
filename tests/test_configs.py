"""Every file of configs/ composes and fits its dataclass; YAML and code say the same."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml

from pipeline.compose.compose import compose, validate
from pipeline.compose.files import read_groups
from pipeline.core.stage import Stage
from pipeline.core.tracking import TrackingConfig
from pipeline.runner.stages import CONFIGURED
from pipeline.train.models import names as builders

ROOT = Path(__file__).resolve().parents[1]
GROUPS = read_groups(ROOT)
CHOICES = [(group, option) for group, options in GROUPS.options.items() for option in options]
OPTION_GROUPS = {
    "ingest",
    "preprocess",
    "train",
    "strategy",
    "launcher",
    "evaluate",
    "register",
    "export",
    "serve",
    "tracking",
    "tune",
}
"""Groups whose values stand in YAML alone; a data set may leave out what it does not need."""


@pytest.fixture(autouse=True)
def composed_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Compositions are remembered outside the repository."""
    monkeypatch.setattr("pipeline.compose.memory.STATE", str(tmp_path_factory.getbasetemp()))


@pytest.mark.parametrize(("group", "option"), CHOICES, ids=str)
def test_every_option_of_every_group_composes_and_validates(group: str, option: str):
    validate(compose(ROOT, [f"{group}={option}"]), CONFIGURED)


@pytest.mark.parametrize("experiment", GROUPS.options["experiment"])
def test_every_experiment_can_be_made_small(experiment: str):
    params = compose(ROOT, [f"+experiment={experiment}", "+debug=smoke"])
    validate(params, CONFIGURED)
    assert params["train"]["epochs"] == 2


@pytest.mark.parametrize("name", GROUPS.options["data"])
def test_a_data_set_is_called_like_its_file(name: str):
    assert compose(ROOT, [f"data={name}"])["data"]["name"] == name


def test_every_group_of_the_defaults_list_is_a_folder_and_the_other_way_round():
    assert set(GROUPS.options) == GROUPS.chosen | {"experiment", "debug"}


def test_every_builder_has_its_config():
    assert sorted(GROUPS.options["model"]) == builders()


@pytest.mark.parametrize(
    "path",
    sorted((ROOT / "configs").rglob("*.yaml")),
    ids=lambda path: f"{path.parent.name}-{path.stem}",
)
def test_files_teach(path: Path):
    """A header says what the file is for; options of a group have a word beside each value."""
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ")
    assert all(len(line) <= 120 for line in lines)


def config_classes(stages: tuple[Stage, ...]) -> Iterator[type]:
    """Every config class, with those inside it."""
    waiting: list[Any] = [TrackingConfig]
    for stage in stages:
        if stage.config:
            waiting += get_type_hints(stage.config, include_extras=True).values()
    waiting += [
        importlib.import_module(f"pipeline.train.models.{name}").CONFIG for name in builders()
    ]
    seen: set[Any] = set()
    while waiting:
        kind = waiting.pop()
        waiting += get_args(kind)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind not in seen:
            seen.add(kind)
            waiting += get_type_hints(kind, include_extras=True).values()
            yield kind


CLASSES = sorted(config_classes(CONFIGURED), key=lambda kind: (kind.__module__, kind.__name__))


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_field_has_a_sentence(kind: type):
    for base in kind.__mro__:
        if not dataclasses.is_dataclass(base):
            continue
        body = ast.parse(inspect.getsource(base).lstrip()).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, following in zip(body.body, [*body.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign):
                told = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
                assert told, f"{base.__name__}.{ast.unparse(field.target)}"


def option_classes() -> Iterator[tuple[str, type, dict[str, Any]]]:
    """Each option group with its class and its YAML."""
    hints = {
        key: get_type_hints(stage.config)[field]
        for stage in CONFIGURED
        if stage.config
        for field, key in stage.params.items()
        if key in OPTION_GROUPS
    }
    for group, kind in {**hints, "tracking": TrackingConfig}.items():
        for option in GROUPS.options[group]:
            text = (ROOT / "configs" / group / f"{option}.yaml").read_text(encoding="utf-8")
            yield f"{group}/{option}", kind, yaml.safe_load(text)


OPTIONS = list(option_classes())


def test_no_option_group_is_forgotten():
    assert {name.split("/")[0] for name, _, _ in OPTIONS} == OPTION_GROUPS


@pytest.mark.parametrize(("name", "kind", "values"), OPTIONS, ids=[name for name, _, _ in OPTIONS])
def test_yaml_and_dataclass_agree(name: str, kind: type, values: dict[str, Any]):
    """The same keys, and no default that the YAML would only repeat."""
    assert list(agreeing(kind, values, name)) == []


def agreeing(kind: Any, values: Any, where: str) -> Iterator[str]:
    fields = {field.name: field for field in dataclasses.fields(kind)}
    if set(fields) != set(values):
        yield f"{where}: {sorted(set(fields) ^ set(values))}"
    hints = get_type_hints(kind)
    for name, field in fields.items():
        if field.default is not dataclasses.MISSING and not required(field.default):
            yield f"{where}.{name} has a default in the code"
        if dataclasses.is_dataclass(hints[name]) and isinstance(values.get(name), dict):
            yield from agreeing(hints[name], values[name], f"{where}.{name}")


def required(default: Any) -> bool:
    """Whether pydantic's `Field(...)` stands for no default."""
    return hasattr(default, "is_required") and bool(default.is_required())


def test_the_page_of_dvc_plots_needs_no_network():
    page = (ROOT / ".dvc/plots.html").read_text(encoding="utf-8")
    assert page.count("{plot_divs}") == 1
    assert "{scripts}" not in page, "DVC would put the addresses of a CDN there"
    assert "://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "html_template = plots.html" in (ROOT / ".dvc/config").read_text(encoding="utf-8")
