"""The model builders, found by name: a new model is one file here and one YAML.

A builder is a module with two names:

- `CONFIG`, a `@config` dataclass whose field `name` says the module's name;
- `build(features, config)`, which returns a `keras.Model` that takes
  `{"dense": float32 [rows, D], "indices": int32 [rows, C]}` (D or C may be 0) and returns logits
  `[rows, 1]` (binary), logits `[rows, K]` (multiclass) or the standardised value `[rows, 1]`
  (regression).

Such a module imports Keras inside `build` only, so that configs are checked without TensorFlow.

A builder of one's own lives in any module; `_target_: my_models.tower.build` in the model's YAML
names its `build`, and `train.allowed_targets` must allow it.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.schema import build, dump

if TYPE_CHECKING:
    import keras

    from pipeline.core.features import FeatureSet

TARGET = "_target_"


class ModelOptions(Protocol):
    """What every builder's config has."""

    @property
    def name(self) -> str:
        """The builder's name."""


@dataclass(frozen=True)
class TargetOptions:
    """A builder of the user's own, not imported yet.

    Attributes:
        name: What the model is called in records.
        target: Dotted path of its `build` function.
        options: Its section of params.yaml, without `_target_`; checked when it is imported.
    """

    name: str
    target: str
    options: Mapping[str, Any]


Builder = Callable[["FeatureSet", Any], "keras.Model"]


def names() -> list[str]:
    """Names of the builders that stand in this folder."""
    return sorted(module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)]))


def _module(name: object) -> ModuleType:
    if name not in names():
        near = nearest(str(name), names())
        raise ConfigError(
            f"config key 'model.name' has the value {name!r}",
            expected="one of " + ", ".join(names()),
            remedy=f"did you mean {' or '.join(near)}?" if near else f"or set model.{TARGET}",
        )
    return importlib.import_module(f"{__name__}.{name}")


def parse(values: object) -> ModelOptions:
    """Turns the section `model` of params.yaml into the options of the builder it names.

    Raises:
        ConfigError: No builder has this name, or an option is unknown, missing or out of range.
    """
    if not isinstance(values, Mapping):
        return build(TargetOptions, values, "model")
    if TARGET in values:
        options = {key: value for key, value in values.items() if key != TARGET}
        name = str(options.get("name", "custom"))
        return TargetOptions(name=name, target=str(values[TARGET]), options=options)
    if "name" not in values:
        raise ConfigError("config key 'model.name' is missing", remedy="set model.name=NAME")
    kind: type[ModelOptions] = _module(values["name"]).CONFIG
    return build(kind, values, "model")


def plain(options: ModelOptions) -> Any:
    """The section of params.yaml that `parse` would make `options` from."""
    if isinstance(options, TargetOptions):
        return {**options.options, TARGET: options.target}
    return dump(options)


ModelConfig = Annotated[
    ModelOptions,
    PlainValidator(parse),
    PlainSerializer(plain),
    WithJsonSchema({"type": "object"}),
]
"""The section `model`: each builder's own options, told apart by `name`."""


def require_allowed(options: ModelOptions, prefixes: tuple[str, ...]) -> None:
    """Refuses a user's builder outside the allow-list: importing a module runs its code.

    Raises:
        ConfigError: `model._target_` does not stand in or under one of `prefixes`.
    """
    if not isinstance(options, TargetOptions):
        return
    if not any(options.target.startswith(f"{prefix}.") for prefix in prefixes):
        raise ConfigError(
            f"config key 'model.{TARGET}' has the value {options.target!r}",
            expected=f"a function in one of {list(prefixes)} (train.allowed_targets)",
            remedy=f"if you trust it: train.allowed_targets=[{options.target.split('.')[0]}]",
        )


def load(options: ModelOptions) -> tuple[Builder, Any]:
    """Imports the builder and returns it with its typed options.

    Raises:
        ConfigError: A user's builder cannot be imported, or does not take these options.
    """
    if not isinstance(options, TargetOptions):
        builder: Builder = _module(options.name).build
        return builder, options
    module_name, _, function = options.target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
        return getattr(module, function), build(module.CONFIG, dict(options.options), "model")
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"model.{TARGET}={options.target} cannot be used: {error}",
            expected="module.function, with a @config class CONFIG beside the function",
            remedy="see docs/models.md",
        ) from error
