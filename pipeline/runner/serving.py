"""`pipeline serve`, `ask` and `predict` on what this project exported."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import requests

from pipeline.compose.compose import compose, validate
from pipeline.compose.overrides import read_overrides
from pipeline.core.artifacts import Artifacts
from pipeline.core.console import say
from pipeline.core.errors import PipelineError, UsageError
from pipeline.core.features import FeatureSet
from pipeline.core.records import LABEL
from pipeline.core.runtime import quiet_tensorflow
from pipeline.core.schema import build, lookup
from pipeline.core.serving_config import (
    ServedModel,
    publish_serving_config,
    read_serving_config,
)
from pipeline.core.tracking import TrackingConfig, open_registry
from pipeline.runner.personal import personal_columns
from pipeline.runner.stages import CONFIGURED

_ASK_TIMEOUT_SECONDS = 30


def serve_project(root: Path, overrides: Sequence[str]) -> int:
    """Serves models/serving until Ctrl-C; returns the exit code.

    Args:
        root: The project.
        overrides: Added to those of the last run, for this server only.
    """
    params = compose(root, [*read_overrides(root), *overrides])
    validate(params, CONFIGURED)
    artifacts = _with_serving_config(root, params)
    from pipeline.serve import STAGE
    from pipeline.serve.stage import serve

    return serve(STAGE.configure(params).serve, artifacts, personal_columns(params))


def _with_serving_config(root: Path, params: dict[str, Any]) -> Artifacts:
    """Writes models.config where versions were pulled from a DVC remote, which leaves it out."""
    artifacts = Artifacts(root)
    if not artifacts.serving_config.exists() and list(artifacts.serving.glob("*/*/saved_model.pb")):
        tracking = build(TrackingConfig, lookup(params, "tracking"), "tracking")
        publish_serving_config(artifacts, open_registry(root, tracking).aliases)
    return artifacts


def predict(
    root: Path, *, source: str, url: str | None, model: str | None, output: str | None
) -> int:
    """Sends the rows of `source` to a server, or to the exported model in process."""
    quiet_tensorflow()
    from pipeline.serve.command import predict_command

    return predict_command(Artifacts(root), source, url=url, model=model, output=output)


def ask(root: Path, *, rows: int) -> int:
    """Starts a server on free ports, asks it about real test rows by REST and gRPC, stops it.

    Args:
        root: The project.
        rows: How many rows to ask about.

    Raises:
        UsageError: `rows` is below 1.
        PipelineError: Nothing is exported, the server does not come up, or the two protocols
            answer differently.
    """
    from pipeline.core.server_process import running

    if rows < 1:
        raise UsageError(f"--rows is {rows}", expected="a whole number of at least 1")
    artifacts = _with_serving_config(root, compose(root, read_overrides(root)))
    model = _exported_model(artifacts)
    test = artifacts.split("test").read()
    asked = test.iloc[:: max(1, len(test) // rows)].head(rows)
    with running(artifacts.serving_config) as server:
        by_rest = _ask_by_rest(server.rest_url, model, asked, artifacts.features.read())
        by_grpc = _ask_by_grpc(server.grpc_url, model, asked, artifacts.features.read())
    _require_agreement(by_rest, by_grpc)
    return 0


def _exported_model(artifacts: Artifacts) -> ServedModel:
    if not artifacts.serving_config.exists():
        raise PipelineError("no model is exported here", remedy="run `pipeline run` first")
    name = artifacts.export.read().name
    for model in read_serving_config(artifacts.serving_config):
        if model.name == name:
            return model
    raise PipelineError(f"{name} is not among the served models", remedy="run `pipeline run`")


def _label(model: ServedModel) -> str | None:
    """The champion answers; a model that has none yet answers with its newest version."""
    return "champion" if "champion" in model.labels else None


def _ask_by_rest(
    url: str, model: ServedModel, asked: pd.DataFrame, features: FeatureSet
) -> list[Any]:
    label = _label(model)
    address = f"{url}/v1/models/{model.name}{f'/labels/{label}' if label else ''}:predict"
    columns = [column.name for column in features.columns]
    question = json.dumps({"instances": asked[columns].to_dict(orient="records")})
    say(f"\nQuestion, REST: POST {address}\n{question}\nAnswer:")
    answer = requests.post(address, data=question, timeout=_ASK_TIMEOUT_SECONDS)
    if not answer.ok:
        raise PipelineError(f"the server refused: {answer.status_code} {answer.text}")
    rows: list[dict[str, Any]] = answer.json()["predictions"]
    for row in rows:
        say(json.dumps(row, ensure_ascii=False))
    return [row[_answered(features)] for row in rows]


def _ask_by_grpc(
    url: str, model: ServedModel, asked: pd.DataFrame, features: FeatureSet
) -> list[Any]:
    quiet_tensorflow()
    from pipeline.serve.client import predict_frame

    say(f"\nQuestion, gRPC: Predict at {url}, the same {len(asked)} rows\nAnswer:")
    answers = predict_frame(url, model.name, asked, columns=features.columns, label=_label(model))
    classes = features.label.classes
    truth = [classes[int(index)] for index in asked[LABEL]] if classes else asked[LABEL]
    say(answers.assign(actual=truth).to_string(index=False))
    return list(answers[_answered(features)])


def _answered(features: FeatureSet) -> str:
    return "predicted" if features.label.classes else "value"


def _require_agreement(rest: Sequence[Any], grpc: Sequence[Any]) -> None:
    for one, other in zip(rest, grpc, strict=True):
        # REST prints a float32 with as many digits as tell it apart, so small steps remain.
        if one != other and not math.isclose(one, other, rel_tol=1e-6):
            raise PipelineError(f"REST says {one}, gRPC says {other}")
