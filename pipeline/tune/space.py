"""The search space: what stands under `tune.space`, checked, and drawn from by Optuna.

train.optimizer.learning_rate: {log: [1.0e-4, 1.0e-1]}   # between, evenly in the logarithm
model.dropout: {uniform: [0.0, 0.5]}                     # between
train.epochs: {int: [2, 8]}                              # whole numbers, both ends too
train.global_batch_size: {log_int: [128, 4096]}          # whole numbers, evenly in the logarithm
model.layers: {choice: [[64], [128, 64]]}                # one of these
model: {choice: [linear, dcn]}                           # one option of the whole group
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from pipeline.core.errors import ConfigError, nearest

if TYPE_CHECKING:
    import optuna

Kind = Literal["log", "uniform", "int", "log_int", "choice"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_FORMS = "{log|uniform|int|log_int: [low, high]} or {choice: [a, b, ...]}"


@dataclass(frozen=True)
class Dimension:
    """One thing that is searched.

    Attributes:
        key: Dotted key of the config, or the name of a group.
        kind: How values are drawn.
        values: Lowest and highest value, both included; or every choice.
    """

    key: str
    kind: Kind
    values: tuple[Any, ...]

    def suggest(self, trial: optuna.Trial) -> Any:
        """Draws a value for a trial."""
        if self.kind == "choice":
            return self.labels[trial.suggest_categorical(self.key, list(self.labels))]
        low, high = self.values
        if self.kind in {"int", "log_int"}:
            return trial.suggest_int(self.key, low, high, log=self.kind == "log_int")
        return trial.suggest_float(self.key, low, high, log=self.kind == "log")

    @property
    def labels(self) -> dict[Any, Any]:
        """Every choice by what Optuna keeps for it: scalars as they are, lists as JSON text."""
        scalars = (str, int, float, bool, type(None))
        return {
            value if isinstance(value, scalars) else json.dumps(value): value
            for value in self.values
        }

    def plain(self) -> dict[str, Any]:
        """As it stands in the config."""
        return {self.kind: list(self.values)}


def read_space(tree: Mapping[str, Any]) -> tuple[Dimension, ...]:
    """Reads `tune.space`, written with dotted keys, nested, or both.

    Raises:
        ConfigError: A key has no such form, or a range is no range.
    """
    found: dict[str, Dimension] = {}
    for key, kind, values in _leaves(tree, ""):
        if key in found:
            raise _wrong(key, f"{kind}: {values!r}", "one entry for each key", "remove one of them")
        found[key] = _dimension(key, kind, values)
    return tuple(found.values())


def _leaves(tree: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any, Any]]:
    """Key, kind and values of every entry; a key that is searched may hold others that are."""
    for name, entry in tree.items():
        key = f"{prefix}{name}"
        if entry is None:
            continue
        if not isinstance(entry, Mapping) or not entry:
            raise _wrong(key, repr(entry), _FORMS)
        kinds = [word for word in entry if word in KINDS]
        if len(kinds) > 1:
            raise _wrong(key, " and ".join(kinds), "one of them")
        for kind in kinds:
            yield key, kind, entry[kind]
        inner = {word: value for word, value in entry.items() if word not in KINDS}
        for word, value in inner.items():
            if not isinstance(value, Mapping | None):
                near = nearest(word, KINDS)
                hint = f"did you mean {near[0]}?" if near else ""
                raise _wrong(key, f"{{{word}: {value!r}}}", _FORMS, hint)
        yield from _leaves(inner, f"{key}.")


def _dimension(key: str, kind: Kind, values: object) -> Dimension:
    if not isinstance(values, list | tuple):
        raise _wrong(key, repr(values), _FORMS)
    if kind == "choice":
        if not values or any(isinstance(value, Mapping) for value in values):
            raise _wrong(key, repr(values), "scalars or lists, one at least")
        dimension = Dimension(key, kind, tuple(values))
        if len(dimension.labels) < len(values):
            raise _wrong(key, repr(values), "different choices")
        return dimension
    fits = _whole if kind in {"int", "log_int"} else _number
    if len(values) != 2 or not all(map(fits, values)) or not values[0] < values[1]:
        wanted = "whole numbers" if fits is _whole else "numbers"
        raise _wrong(key, f"{kind}: {list(values)!r}", f"[low, high], two {wanted}, low below high")
    if kind in {"log", "log_int"} and values[0] <= 0:
        raise _wrong(key, f"{kind}: {list(values)!r}", "a low end above 0")
    return Dimension(key, kind, tuple(values))


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _wrong(key: str, came: str, expected: str, remedy: str = "") -> ConfigError:
    return ConfigError(f"config key 'tune.space.{key}' has the value {came}", expected, remedy)


def draw(
    trial: optuna.Trial,
    space: tuple[Dimension, ...],
    groups: frozenset[str],
    known: Callable[[Mapping[str, Any]], frozenset[str]],
) -> dict[str, Any]:
    """Draws a trial's values: first the whole groups, then the keys that there are with them.

    Args:
        trial: Where Optuna remembers them.
        space: What is searched.
        groups: Which keys of it are whole groups.
        known: Dotted keys of the config with these options chosen: a key that only some options
            of a group have (`model.layers`) is drawn for those alone.
    """
    values = {one.key: one.suggest(trial) for one in space if one.key in groups}
    keys = known(values)
    return values | {
        one.key: one.suggest(trial) for one in space if one.key not in groups and one.key in keys
    }


_MEANT_OTHERWISE = frozenset({"true", "false", "null", "nan", "inf"})
"""Words that Hydra takes for something else than text where they have no quotes."""


def shown(values: Mapping[str, Any]) -> str:
    """A trial's values on one line, for people."""
    numbers = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in values.items()}
    return " ".join(f"{key}={value}" for key, value in numbers.items())


def override(key: str, value: object) -> str:
    """`key=value` in Hydra's grammar, which takes JSON's scalars and lists."""
    if isinstance(value, str) and value.isidentifier() and value.lower() not in _MEANT_OTHERWISE:
        return f"{key}={value}"
    return f"{key}={json.dumps(value)}"
