"""Reading and checking TensorFlow Serving's model_config_list. Imports TensorFlow's protos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from google.protobuf import text_format  # type: ignore[import-untyped]
from tensorflow_serving.config import model_server_config_pb2

from pipeline.core.errors import ConfigError, PipelineError
from pipeline.serve.models import Model
from pipeline.serve.status import ServingError, invalid

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


def models_of(config: ModelServerConfig) -> tuple[Model, ...]:
    """The models of a ModelServerConfig.

    Raises:
        ServingError: INVALID_ARGUMENT, with the texts of TensorFlow Serving's server_core.cc.
    """
    if config.WhichOneof("config") == "custom_model_config":
        raise invalid("ModelServer does not yet support custom model config.")
    models = []
    names: set[str] = set()
    for one in config.model_config_list.config:
        if one.name in names:
            raise invalid(f"Illegal to list model {one.name} multiple times in config list")
        names.add(one.name)
        models.append(_model(one))
    return tuple(models)


def _model(one: model_server_config_pb2.ModelConfig) -> Model:
    if not Path(one.base_path).is_absolute():
        raise invalid(
            f"Expected model {one.name} to have an absolute path or URI; "
            f"got base_path()={one.base_path}"
        )
    _check_platform(one)
    policy = one.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    return Model(
        name=one.name,
        base_path=Path(one.base_path),
        newest=0 if choice == "all" else max(policy.latest.num_versions, 1),
        specific=frozenset(policy.specific.versions) if choice == "specific" else frozenset(),
        labels=dict(one.version_labels),
    )


def _check_platform(one: model_server_config_pb2.ModelConfig) -> None:
    fields = "ModelServerConfig::model_type (deprecated)", "ModelServerConfig::model_platform"
    if one.model_type and one.model_platform:
        text = f"Illegal setting both {fields[0]} and {fields[1]}, model name is {one.name}"
    elif one.model_type not in {0, model_server_config_pb2.TENSORFLOW}:
        text = f"ModelServerConfig::model_type choice {one.model_type} not supported."
    elif not one.model_type and not one.model_platform:
        text = f"Illegal setting neither {fields[0]} nor {fields[1]}, model name is {one.name}"
    elif one.model_platform not in {"", "tensorflow"}:
        text = f"Model {one.name} requests unsupported platform {one.model_platform}"
    else:
        return
    raise invalid(text)
