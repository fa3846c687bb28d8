"""The search space: every form, every mistake, and what is drawn from it."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.errors import ConfigError
from pipeline.tune.space import Dimension, draw, override, read_space


def test_dotted_and_nested_keys_are_the_same() -> None:
    dotted = {
        "train.optimizer.learning_rate": {"log": [1e-4, 0.1]},
        "train.epochs": {"int": [1, 3]},
    }
    nested = {
        "train": {"optimizer": {"learning_rate": {"log": [1e-4, 0.1]}}, "epochs": {"int": [1, 3]}}
    }
    assert read_space(dotted) == read_space(nested)


def test_a_group_may_be_searched_beside_its_keys() -> None:
    space = read_space({"model": {"choice": ["linear", "mlp"], "dropout": {"uniform": [0.0, 0.5]}}})
    assert space == (
        Dimension("model", "choice", ("linear", "mlp")),
        Dimension("model.dropout", "uniform", (0.0, 0.5)),
    )


def test_null_is_not_searched() -> None:
    assert read_space({"train": {"epochs": None, "seed": {"int": [1, 9]}}}) == (
        Dimension("train.seed", "int", (1, 9)),
    )


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"train.epochs": 3}, "'tune.space.train.epochs' has the value 3"),
        ({"train.epochs": {"itn": [1, 3]}}, "did you mean int"),
        ({"train.epochs": {"int": [3, 1]}}, "low below high"),
        ({"train.epochs": {"int": [1, 2.5]}}, "two whole numbers"),
        ({"train.epochs": {"int": [True, 4]}}, "two whole numbers"),
        ({"a.b": {"log": [0.0, 1.0]}}, "a low end above 0"),
        ({"a.b": {"uniform": [0.0, float("inf")]}}, "two numbers"),
        ({"a.b": {"choice": []}}, "one at least"),
        ({"a.b": {"choice": [1, 1]}}, "different choices"),
        ({"a.b": {"choice": [{"x": 1}]}}, "scalars or lists"),
        ({"a.b": {"log": [1, 2], "int": [1, 2]}}, "log and int"),
        ({"a.b": {"int": [1, 2]}, "a": {"b": {"int": [1, 2]}}}, "one entry for each key"),
        ({"a.b": {}}, "expected"),
    ],
    ids=str,
)
def test_mistakes_are_named(tree: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_space(tree)
    assert words in str(raised.value)


def test_a_key_that_only_one_option_has_is_drawn_for_that_one_alone() -> None:
    space = read_space(
        {
            "model.dropout": {"uniform": [0.0, 0.5]},
            "model": {"choice": ["linear", "mlp"]},
            "train.epochs": {"int": [1, 3]},
        }
    )
    keys = {
        "linear": frozenset({"train.epochs"}),
        "mlp": frozenset({"train.epochs", "model.dropout"}),
    }
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [
        draw(study.ask(), space, frozenset({"model"}), lambda chosen: keys[chosen["model"]])
        for _ in range(20)
    ]
    assert {values["model"] for values in drawn} == {"linear", "mlp"}
    for values in drawn:
        assert ("model.dropout" in values) == (values["model"] == "mlp")
        assert values["train.epochs"] in {1, 2, 3}


@given(st.data())
def test_what_is_drawn_lies_within(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["log", "uniform", "int", "log_int"]))
    numbers = st.integers(1, 10**6) if "int" in kind else st.floats(1e-9, 1e9)
    low, high = sorted(data.draw(st.lists(numbers, min_size=2, max_size=2, unique=True)))
    (one,) = read_space({"a.b": {kind: [low, high]}})
    study = optuna.create_study(
        sampler=optuna.samplers.RandomSampler(seed=data.draw(st.integers(0, 99)))
    )
    value = one.suggest(study.ask())
    assert low <= value <= high
    assert isinstance(value, int if "int" in kind else float)


def test_lists_are_choices_too() -> None:
    (one,) = read_space({"model.layers": {"choice": [[], [64], [128, 64]]}})
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    assert {str(one.suggest(study.ask())) for _ in range(30)} == {"[]", "[64]", "[128, 64]"}


SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
TEXT = st.text(
    st.characters(min_codepoint=32, max_codepoint=126, exclude_characters="\\"), max_size=12
)


@given(SCALARS | TEXT | st.lists(SCALARS | TEXT, max_size=3))
def test_hydra_reads_an_override_back(value: Any) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    (parsed,) = OverridesParser.create().parse_overrides([override("a.b", value)])
    assert plain(parsed.value()) == value


def plain(value: Any) -> Any:
    """Hydra keeps quoted text apart from bare words."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    return getattr(value, "text", value)
