"""Register: a validated model becomes a version in the model registry."""

from pipeline.core.artifacts import METRICS, PROCESSED, REGISTRATION, TRAINED, VERDICT
from pipeline.core.stage import Stage
from pipeline.register.config import RegisterStageConfig

__all__ = ["STAGE"]

STAGE = Stage(
    name="register",
    does="registers the validated model in MLflow",
    config=RegisterStageConfig,
    params={"register": "register", "data_name": "data.name"},
    deps=(TRAINED, VERDICT, METRICS, PROCESSED),
    records=(REGISTRATION,),
    heavy=True,
)
