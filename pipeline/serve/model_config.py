"""Reading and checking TensorFlow Serving's model_config_list. Imports TensorFlow's protos."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from google.protobuf import text_format  # type: ignore[import-untyped]
from tensorflow_serving.config import model_server_config_pb2

from pipeline.core.errors import ConfigError, PipelineError
from pipeline.serve.models import Model, folder_of
from pipeline.serve.status import ServingError, invalid

_PLATFORM = "tensorflow"

ModelServerConfig: TypeAlias = model_server_config_pb2.ModelServerConfig


def read_models(path: Path, serving_folder: Path | None = None) -> tuple[Model, ...]:
    """Reads the models of a model config file.

    Args:
        path: The file.
        serving_folder: Where a base path that does not exist is looked for too, as
            `serving_folder/NAME`: a project keeps being served after it was moved.

    Raises:
        PipelineError: See `read_model_config`.
    """
    models = read_model_config(path)
    if serving_folder is None:
        return models
    return tuple(
        model
        if model.base_path.is_dir()
        else replace(model, base_path=(serving_folder / model.name).absolute())
        for model in models
    )


def read_model_config(path: Path) -> tuple[Model, ...]:
    """Reads a ModelServerConfig in protobuf text format.

    Raises:
        PipelineError: The file cannot be read.
        ConfigError: It is no such text, or does not say what it must.
    """
    remedy = "see `model_config_list` in docs/serving.md"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PipelineError(
            f"the model config file {path} cannot be read: {error.strerror}", "", remedy
        ) from error
    try:
        return models_of(text_format.Parse(text, ModelServerConfig()))
    except text_format.ParseError as error:
        raise ConfigError(
            f"Error parsing text-format tensorflow.serving.ModelServerConfig: {path}: {error}",
            "a ModelServerConfig as text",
            remedy,
        ) from error
    except ServingError as error:
        raise ConfigError(f"{path}: {error.message}", "", remedy) from error


def models_of(config: ModelServerConfig, served: Collection[str] = ()) -> tuple[Model, ...]:
    """The models of a ModelServerConfig.

    Args:
        config: The config.
        served: Models that are served already.

    Raises:
        ServingError: INVALID_ARGUMENT, with the texts of TensorFlow Serving's server_core.cc.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise invalid("ModelServer does not yet support custom model config.")
    listed = config.model_config_list.config
    _check_names([one.name for one in listed])
    for one in listed:
        if not folder_of(one.base_path).is_absolute():
            raise invalid(
                f"Expected model {one.name} to have an absolute path or URI; "
                f"got base_path()={one.base_path}"
            )
    for one in listed:
        _check_platform(one, is_served=one.name in served)
    return tuple(_model(one) for one in listed)


def _check_names(names: Sequence[str]) -> None:
    for position, name in enumerate(names):
        if name in names[:position]:
            raise invalid(f"Illegal to list model {name} multiple times in config list")


def _model(one: model_server_config_pb2.ModelConfig) -> Model:
    policy = one.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    return Model(
        name=one.name,
        base_path=folder_of(one.base_path),
        newest=0 if choice == "all" else max(policy.latest.num_versions, 1),
        specific=frozenset(policy.specific.versions) if choice == "specific" else None,
        labels=dict(one.version_labels),
    )


def _check_platform(one: model_server_config_pb2.ModelConfig, *, is_served: bool) -> None:
    fields = "ModelServerConfig::model_type (deprecated)", "ModelServerConfig::model_platform"
    if one.model_type and one.model_platform:
        text = f"Illegal setting both {fields[0]} and {fields[1]}, model name is {one.name}"
    elif one.model_type not in {0, model_server_config_pb2.TENSORFLOW}:
        text = f"ModelServerConfig::model_type choice {one.model_type} not supported."
    elif not one.model_type and not one.model_platform:
        text = f"Illegal setting neither {fields[0]} nor {fields[1]}, model name is {one.name}"
    elif is_served and one.model_platform not in {"", _PLATFORM}:
        text = (
            f"Illegal to change a model's platform. For model {one.name} platform was {_PLATFORM} "
            f"and new platform requested is {one.model_platform}"
        )
    elif one.model_platform not in {"", _PLATFORM}:
        text = f"Model {one.name} requests unsupported platform {one.model_platform}"
    else:
        return
    raise invalid(text)
