"""Preprocess: from the raw table to clean splits and the features fitted on the training split."""

from pipeline.core.artifacts import PROCESSED, PROFILE, RAW
from pipeline.core.stage import Stage
from pipeline.preprocess.config import PreprocessStageConfig

STAGE = Stage(
    name="preprocess",
    does="check, clean and split the table, fit feature statistics on the training split",
    config=PreprocessStageConfig,
    params={
        "columns": "data.columns",
        "crosses": "data.crosses",
        "label": "data.label",
        "split": "data.split",
        "preprocess": "preprocess",
    },
    deps=(RAW,),
    outs=(PROCESSED, PROFILE),
)

__all__ = ["STAGE"]
