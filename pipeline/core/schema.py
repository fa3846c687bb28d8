"""Typed configs: a plain mapping from YAML becomes a frozen dataclass, or a clear error.

Every option is a field of a pydantic dataclass with a sentence as its docstring:

    @config
    class OptimizerConfig:
        name: Literal["adam", "sgd"]
        \"\"\"Which optimizer.\"\"\"
        learning_rate: float = Field(gt=0)
        \"\"\"Step size at the start.\"\"\"

Types are strict: the YAML text "5" is not the number 5. Fields without a default must stand in
the YAML, so a default is written in one place only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.mismatch import explain

T = TypeVar("T")

# Every process imports every config class and checks few: validators are built when first used,
# and field docstrings stay in the source, since reading them costs more than all the rest.
_STRICT = ConfigDict(extra="forbid", strict=True, defer_build=True)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
def config(cls: type[T]) -> type[T]:
    """Makes `cls` a frozen, keyword-only dataclass that refuses unknown keys and wrong types."""
    decorate: Callable[[type[T]], Any] = dataclass(frozen=True, kw_only=True, config=_STRICT)
    made: type[T] = decorate(cls)
    return made


@cache
def _cached_adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _adapter(kind: Any) -> TypeAdapter[Any]:
    return _cached_adapter(kind)


def build(kind: type[T], values: object, key: str = "") -> T:
    """Builds a `kind` from plain YAML values.

    Args:
        kind: A `@config` dataclass, or any type pydantic can check.
        values: Nested dicts, lists and scalars.
        key: Dotted path of `values` in the whole config, for messages.

    Raises:
        ConfigError: A key is unknown, missing, of the wrong type or out of range; says which
            key, what came, what was expected, and the nearest known names.
    """
    # JSON, because strict Python mode would refuse a list where a tuple is declared; `default=str`,
    # because YAML readers make dates of what was meant as text.
    text = json.dumps(values, default=str)
    try:
        built: T = _adapter(kind).validate_json(text)
    except ValidationError as error:
        details = error.errors(include_url=False)
    else:
        return built
    raise explain(details, schema(kind), key)


def dump(value: object) -> Any:
    """The plain nested dicts and lists that `build` would make `value` from."""
    return _adapter(type(value)).dump_python(value, mode="json")


def schema(kind: Any) -> dict[str, Any]:
    """JSON schema of the config class `kind`: names, types and ranges of its fields."""
    return _adapter(kind).json_schema()


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one flat mapping with dotted keys; lists are leaves."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{key}.")
        else:
            flat[key] = value
    return flat


def lookup(values: Mapping[str, Any], key: str) -> Any:
    """The value at the dotted `key`.

    Raises:
        ConfigError: There is no such key; names the nearest ones.
    """
    here: Any = values
    for part in key.split("."):
        if not isinstance(here, Mapping) or part not in here:
            near = nearest(key, flatten(values))
            raise ConfigError(
                f"config key '{key}' is missing",
                remedy=f"did you mean {' or '.join(near)}?" if near else "run `pipeline run`",
            )
        here = here[part]
    return here
