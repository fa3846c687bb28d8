"""Packs a trained model as an MLflow model: code and data files, no pickle.

The one file of this room that imports MLflow.
"""

from __future__ import annotations

import ast
import re
import warnings
from importlib import metadata
from pathlib import Path

import mlflow
import pandas as pd
from mlflow.models import ModelSignature
from mlflow.types.schema import AnyType, ColSpec, DataType, Schema

import pipeline.core
from pipeline.core.artifacts import write_json
from pipeline.core.errors import PipelineError
from pipeline.core.features import FeatureSet
from pipeline.core.schema import dump
from pipeline.core.tracking import PYFUNC_NOISE
from pipeline.core.tracking_registry import SAVED_MODEL

CORE = Path(pipeline.core.__file__).parent
LOADER = CORE / "tracking_loader.py"

_ROWS_DOOR = """\"\"\"How raw tables became served columns when the model was made.\"\"\"

from .features import FeatureSet
from .schema import build
from .table import as_served

__all__ = ["FeatureSet", "as_served", "build"]
"""
_NEEDED = ("mlflow", "numpy", "pandas", "pydantic", "tensorflow")
"""What the packed model imports; given, because MLflow would guess it for 15 s."""


def package(saved_model: Path, features: FeatureSet, example: pd.DataFrame, folder: Path) -> Path:
    """Writes an MLflow model that takes raw tables and needs nothing of this project.

    Args:
        saved_model: The SavedModel; its folder must be called as `SAVED_MODEL` says.
        features: What the model was fitted with.
        example: A few rows as served, kept as the input example.
        folder: An empty folder to work in.

    Returns:
        The MLflow model's folder, inside `folder`.
    """
    rows = folder / "rows"
    write_rows_package(rows, features)
    model = folder / "model"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", PYFUNC_NOISE)
        mlflow.pyfunc.save_model(
            model,
            python_model=LOADER,
            artifacts={SAVED_MODEL: str(saved_model), "rows": str(rows)},
            signature=signature(features),
            input_example=example,
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in _NEEDED],
            metadata={"columns": {column.name: column.dtype for column in features.columns}},
        )
    return model


def signature(features: FeatureSet) -> ModelSignature:
    """The raw columns in, the answers out.

    Inputs are of any type: files and queries give the same column as int64 or float64, as text
    or as a timestamp, MLflow's typed columns refuse what needs the least conversion (int64 for a
    double), and the packed code brings all of them to the served dtypes, which the model's
    metadata lists under `columns`.
    """
    inputs = Schema([ColSpec(AnyType(), column.name) for column in features.columns])
    if features.label.task == "regression":
        return ModelSignature(inputs, Schema([ColSpec(DataType.float, "value")]))
    scores = [ColSpec(DataType.float, f"score_{name}") for name in features.label.classes]
    return ModelSignature(inputs, Schema([*scores, ColSpec(DataType.string, "predicted")]))


def write_rows_package(folder: Path, features: FeatureSet) -> None:
    """Writes `core.table`, what it imports, and the features as a package that stands alone."""
    folder.mkdir(parents=True)
    for name, text in _sources("table", "features", "schema").items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    (folder / "__init__.py").write_text(_ROWS_DOOR, encoding="utf-8")
    write_json(folder / "features.json", dump(features))


def _sources(*names: str) -> dict[str, str]:
    """Modules of `pipeline.core` and all they import from it, with relative imports."""
    texts: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in texts:
            text = (CORE / f"{name}.py").read_text(encoding="utf-8")
            waiting += _core_imports(name, text)
            texts[name] = re.sub(r"^from pipeline\.core\.", "from .", text, flags=re.MULTILINE)
    return texts


def _core_imports(name: str, text: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(text)):
        module = node.module or "" if isinstance(node, ast.ImportFrom) else ""
        if module.startswith("pipeline.core."):
            found.append(module.removeprefix("pipeline.core."))
        elif module.startswith("pipeline") or _imports_project(node):
            raise PipelineError(
                f"core/{name}.py imports the project in a way that cannot be packed",
                expected="`from pipeline.core.MODULE import NAME`",
                remedy=f"write it so: line {getattr(node, 'lineno', 0)}",
            )
    return found


def _imports_project(node: ast.AST) -> bool:
    return isinstance(node, ast.Import) and any(
        alias.name.split(".")[0] == "pipeline" for alias in node.names
    )
