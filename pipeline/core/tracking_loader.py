"""The model as `mlflow.pyfunc` loads it: a raw table in, a table of answers out.

A copy of this very file travels with every registered version ("models from code": no pickle), so
it imports nothing of the project. Beside it travel

- `saved_model/`: the SavedModel with its signature `serving_default`;
- `rows/`: features.json, and the files of the project that turned raw tables into served columns
  when the model was made (see `register.package`).

Only MLflow runs this file; nothing in the project imports it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

_BATCH_ROWS = 4096


class RawTableModel(mlflow.pyfunc.PythonModel):  # type: ignore[misc]
    """Answers for each row of a raw table, just as the served model does."""

    def load_context(self, context: Any) -> None:
        """Loads the SavedModel and the code that reads raw tables."""
        folder = Path(context.artifacts["rows"])
        self._rows = _package(folder)
        features = json.loads((folder / "features.json").read_text(encoding="utf-8"))
        self._features = self._rows.build(self._rows.FeatureSet, features, "features.json")
        saved_model = context.artifacts["saved_model"]
        self._arguments = _arguments(Path(saved_model))
        # The signature holds only a weak reference to the model: both are kept.
        self._loaded = tf.saved_model.load(saved_model)
        self._answer = self._loaded.signatures["serving_default"]

    def predict(
        self,
        context: Any,  # noqa: ARG002 - MLflow's own signature
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> pd.DataFrame:
        """Answers a table.

        Args:
            context: MLflow's.
            model_input: Raw columns in whatever dtypes a file or query gives; further columns
                are ignored.
            params: None are known.

        Returns:
            With the index of `model_input`: for classes float32 `score_CLASS` for each class and
            `predicted`; for regression float32 `value`.
        """
        frame = self._rows.as_served(model_input, self._features.columns)
        starts = range(0, max(len(frame), 1), _BATCH_ROWS)
        answers = [self._ask(frame.iloc[at : at + _BATCH_ROWS]) for at in starts]
        joined = {key: np.concatenate([one[key] for one in answers]) for key in answers[0]}
        if "value" in joined:
            return pd.DataFrame({"value": joined["value"]}, index=model_input.index)
        classes = self._features.label.classes
        scores = {f"score_{name}": joined["scores"][:, i] for i, name in enumerate(classes)}
        words = [word.decode("utf-8") for word in joined["predicted"]]
        predicted = pd.Series(words, index=model_input.index, dtype="str")
        return pd.DataFrame(scores, index=model_input.index).assign(predicted=predicted)

    def _ask(self, frame: pd.DataFrame) -> dict[str, Any]:
        tensors = {self._arguments[str(name)]: _tensor(column) for name, column in frame.items()}
        return {key: answer.numpy() for key, answer in self._answer(**tensors).items()}


def _arguments(folder: Path) -> dict[str, str]:
    """Column to the name of the signature's argument in Python.

    The two differ where a column's name is no Python name; only the signature in the file knows
    both, as `inputs[COLUMN].name == "serving_default_ARGUMENT:0"`.
    """
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    inputs = saved.meta_graphs[0].signature_def["serving_default"].inputs
    return {
        column: info.name.removeprefix("serving_default_").removesuffix(":0")
        for column, info in inputs.items()
    }


def _package(folder: Path) -> ModuleType:
    """Imports `folder` under a name of its own: two versions in one process stay apart."""
    name = "rows_" + hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    spec = importlib.util.spec_from_file_location(
        name, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} is no Python package")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _tensor(values: pd.Series[Any]) -> tf.Tensor:
    if isinstance(values.dtype, pd.StringDtype):
        return tf.constant(values.to_numpy(dtype=object), tf.string)
    return tf.constant(values.to_numpy())


mlflow.models.set_model(RawTableModel())
