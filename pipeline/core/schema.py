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
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar, dataclass_transform

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass
from pydantic_core import ErrorDetails

from pipeline.core.errors import ConfigError, nearest

T = TypeVar("T")

_STRICT = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(Field,))
def config(cls: type[T]) -> type[T]:
    """Makes `cls` a frozen, keyword-only dataclass that refuses unknown keys and wrong types."""
    decorate: Callable[[type[T]], Any] = dataclass(frozen=True, kw_only=True, config=_STRICT)
    made: type[T] = decorate(cls)
    return made


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


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
    try:
        # JSON mode, because strict Python mode would refuse a list where a tuple is declared.
        built: T = _adapter(kind).validate_json(json.dumps(values))
        return built
    except ValidationError as error:
        raise _explain(error, kind, key) from None


def dump(value: object) -> Any:
    """The plain nested dicts and lists that `build` would make `value` from."""
    return _adapter(type(value)).dump_python(value, mode="json")


def _explain(error: ValidationError, kind: object, key: str) -> ConfigError:
    details = error.errors(include_url=False)
    first = details[0]
    path = _dotted(key, first)
    more = f" (and {len(details) - 1} more)" if len(details) > 1 else ""
    if first["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
        names = set(field_names(kind))
        near = nearest(str(first["loc"][-1]), names)
        return ConfigError(
            f"unknown config key '{path}'{more}",
            expected="one of " + ", ".join(sorted(names)) if len(names) < 40 else "",
            remedy=f"did you mean {' or '.join(near)}?" if near else "remove it",
        )
    if first["type"] in {"missing", "missing_argument", "missing_keyword_only_argument"}:
        return ConfigError(f"config key '{path}' is missing{more}", remedy=f"set {path}=VALUE")
    came = json.dumps(first["input"], default=str)
    return ConfigError(
        f"config key '{path}' has the value {came[:200]}{more}",
        expected=first["msg"].removeprefix("Input should be ").removeprefix("Value error, "),
        remedy=f"set {path} to such a value",
    )


def _dotted(key: str, detail: ErrorDetails) -> str:
    parts = [str(part) for part in detail["loc"]]
    return ".".join([key, *parts] if key else parts)


def field_names(kind: object) -> Iterator[str]:
    """Every field name of the config class `kind` and of the classes inside it."""
    schema = _adapter(kind).json_schema()
    yield from schema.get("properties", {})
    for definition in schema.get("$defs", {}).values():
        yield from definition.get("properties", {})


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
