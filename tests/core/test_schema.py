"""Configs from plain values: what fits is built, what does not is named, with what was expected."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, Field, field_validator

from pipeline.core.errors import ConfigError
from pipeline.core.schema import build, config, dump, flatten, lookup


@config
class Numeric:
    """A number."""

    kind: Literal["numeric"]
    """Discriminator."""
    scaling: Literal["standard", "min_max", "none"] = "standard"
    """How it is scaled."""
    low: float | None = None
    """Lower bound."""


@config
class Categorical:
    """A word."""

    kind: Literal["categorical"]
    """Discriminator."""
    dimension: int = Field(ge=1, le=64)
    """Embedding width."""
    words: tuple[str, ...] = ()
    """Known words."""

    @field_validator("dimension")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("an even number")
        return value


def _lower(name: str) -> str:
    if name != name.lower():
        raise ValueError("a name in lower case")
    return name


Column = Annotated[Numeric | Categorical, Field(discriminator="kind")]


@config
class Optimizer:
    """An optimiser."""

    name: Literal["adam", "sgd"]
    """Which."""
    learning_rate: float = Field(gt=0, le=1)
    """Step size."""


@config
class Whole:
    """Everything."""

    epochs: int = Field(ge=1)
    """Passes."""
    fast: bool
    """Whether."""
    title: str = Field(min_length=1)
    """Text."""
    optimizer: Optimizer
    """Nested."""
    columns: dict[str, Column]
    """By name."""
    extra: Column | None = None
    """One more."""
    weights: Literal["none", "balanced"] | dict[str, float] = "none"
    """A union without discriminator."""
    named: dict[Annotated[str, AfterValidator(_lower)], int] = Field(default_factory=dict)
    """Names that are checked."""
    bounds: tuple[float, float] | None = None
    """A pair."""

    def __post_init__(self) -> None:
        if self.fast and self.epochs > 100:
            raise ValueError("at most 100 epochs where fast is true")


GOOD: dict[str, Any] = {
    "epochs": 3,
    "fast": False,
    "title": "x",
    "optimizer": {"name": "adam", "learning_rate": 0.1},
    "columns": {"a": {"kind": "numeric"}, "b": {"kind": "categorical", "dimension": 4}},
}


def refused(values: object, key: str = "train") -> str:
    with pytest.raises(ConfigError) as caught:
        build(Whole, values, key)
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_plain_values_become_a_frozen_dataclass():
    built = build(Whole, GOOD, "train")
    assert built.columns["b"] == Categorical(kind="categorical", dimension=4)
    with pytest.raises(AttributeError):
        built.epochs = 5  # type: ignore[misc]


def test_dump_and_build_are_inverse():
    built = build(Whole, GOOD | {"bounds": [0.0, 1.5]})
    assert build(Whole, dump(built)) == built


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"epochs": 0}, ["'train.epochs' has the value 0", "a whole number of at least 1"]),
        ({"epochs": "5"}, ['the value "5"', "write the number without quotes: train.epochs=5"]),
        ({"epochs": 2.5}, ["'train.epochs' has the value 2.5", "a whole number"]),
        ({"epochs": True}, ["'train.epochs' has the value true", "a whole number"]),
        ({"fast": 1}, ["'train.fast' has the value 1", "true or false"]),
        ({"title": ""}, ["'train.title'", "text that is not empty"]),
        ({"epoch": 3}, ["unknown config key 'train.epoch'", "did you mean epochs?"]),
        (
            {"zzz": 3},
            ["unknown config key 'train.zzz'", "expected: one of bounds, columns, epochs"],
        ),
        ({"optimizer": {"name": "adma", "learning_rate": 0.1}}, ["train.optimizer.name=adam?"]),
        (
            {"optimizer": {"name": "adam", "learning_rate": 0}},
            ["'train.optimizer.learning_rate' has the value 0", "above 0 and of at most 1"],
        ),
        (
            {"optimizer": {"name": "adam"}},
            ["'train.optimizer.learning_rate' is missing", "a number"],
        ),
        ({"optimizer": 3}, ["'train.optimizer' has the value 3", "keys learning_rate, name"]),
        ({"optimizer": "sgd"}, ["'train.optimizer' has the value", "train.optimizer.name=sgd?"]),
        ({"named": {"A": 1}}, ["unknown config key 'train.named.A'", "lower case"]),
        ({"bounds": [1.0]}, ["'train.bounds.1' is missing", "a number"]),
        ({"bounds": [1.0, "x"]}, ["'train.bounds.1' has the value \"x\"", "a number"]),
        (
            {"weights": "balancd"},
            ["'train.weights'", "one of none, balanced", "train.weights=balanced?"],
        ),
        ({"weights": {"late": "x"}}, ["'train.weights.late' has the value \"x\""]),
        ({"columns": {"a": {}}}, ["'train.columns.a.kind' is missing", "categorical, numeric"]),
        (
            {"columns": {"a": {"kind": "numerci"}}},
            ["'train.columns.a.kind' has the value \"numerci\"", "train.columns.a.kind=numeric?"],
        ),
        ({"columns": {"a": 5}}, ["'train.columns.a' has the value 5", "whose 'kind' is one of"]),
        ({"extra": {"kind": "numeric", "low": "x"}}, ["'train.extra.low'", "a number or null"]),
        (
            {"columns": {"categorical": {"kind": "categorical", "dimension": 65}}},
            ["'train.columns.categorical.dimension' has the value 65", "from 1 to 64"],
        ),
        (
            {"columns": {"a": {"kind": "categorical", "dimension": 2, "wrods": []}}},
            ["unknown config key 'train.columns.a.wrods'", "did you mean words?"],
        ),
        (
            {"columns": {"a": {"kind": "categorical", "dimension": 3}}},
            ["'train.columns.a.dimension' has the value 3", "expected: an even number"],
        ),
        ({"fast": True, "epochs": 101}, ["section 'train' contradicts itself: at most 100 epochs"]),
    ],
)
def test_what_is_wrong_is_named_with_what_was_expected(change: dict[str, Any], parts: list[str]):
    message = refused(GOOD | change)
    for part in parts:
        assert part in message


def test_a_mistyped_key_comes_before_the_key_that_is_missing_for_it():
    values = {key: value for key, value in GOOD.items() if key != "epochs"} | {"epcohs": 3}
    message = refused(values)
    assert message.startswith("unknown config key 'train.epcohs'; also wrong: 'train.epochs'")


def test_several_mistakes_are_listed_at_once():
    message = refused(GOOD | {"epochs": 0, "title": "", "fast": "no"})
    assert all(f"'train.{key}'" in message for key in ("epochs", "title", "fast"))
    assert "also wrong: " in message


def test_a_section_that_is_no_mapping():
    assert "'train' has the value [1]" in refused([1])


def test_dates_that_a_yaml_reader_made_count_as_text():
    assert build(Whole, GOOD | {"title": datetime.date(2013, 10, 1)}).title == "2013-10-01"


@given(
    name=st.text(min_size=1),
    where=st.sampled_from(["low", "scaling", "kind", "nonsense"]),
    value=st.one_of(st.integers(), st.text(), st.lists(st.integers()), st.none()),
)
def test_paths_are_those_a_person_wrote(name: str, where: str, value: object):
    """No name of a union's member slips in, whatever the column is called."""
    values = GOOD | {"columns": {name: {"kind": "numeric"} | {where: value}}}
    try:
        build(Whole, values, "train")
        came = ""
    except ConfigError as error:
        came = error.came
    assert not came or f"'train.columns.{name}.{where}'" in came


@given(
    st.recursive(
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()),
        lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner)),
        max_leaves=8,
    )
)
def test_whatever_comes_is_refused_with_a_config_error(values: object):
    refused(values)


@given(st.sampled_from(list(GOOD)), st.one_of(st.none(), st.integers(), st.text(), st.floats()))
def test_any_value_at_any_key_is_built_or_refused(key: str, value: object):
    try:
        built = dump(build(Whole, GOOD | {key: value}))
        came = f"'{key}'"
    except ConfigError as error:
        built = {key: value}
        came = error.came
    assert f"'{key}" in came or "contradicts itself" in came
    assert built[key] == pytest.approx(value, nan_ok=True)


nested = st.recursive(
    st.one_of(st.integers(), st.text()),
    lambda inner: st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), inner, min_size=1),
    max_leaves=10,
).filter(lambda value: isinstance(value, dict))


@given(nested)
def test_flatten_keeps_every_value_where_lookup_finds_it(values: dict[str, Any]):
    for key, value in flatten(values).items():
        assert lookup(values, key) == value


def test_lookup_names_the_nearest_key():
    with pytest.raises(ConfigError, match=r"did you mean train.epochs\?"):
        lookup({"train": {"epochs": 3}}, "train.epcohs")
