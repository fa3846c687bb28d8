"""Export: the registered model as a SavedModel version folder, proved before it is published."""

from pipeline.core.artifacts import EXPORT_RECORD, PROCESSED, REGISTRATION, SERVING, TRAINED
from pipeline.core.stage import Stage
from pipeline.export.config import ExportStageConfig

STAGE = Stage(
    name="export",
    does="write the SavedModel version folder that is served, and prove that it answers alike",
    config=ExportStageConfig,
    params={"export": "export"},
    deps=(TRAINED, PROCESSED, REGISTRATION),
    kept=(SERVING,),
    records=(EXPORT_RECORD,),
    heavy=True,
)

__all__ = ["STAGE"]
