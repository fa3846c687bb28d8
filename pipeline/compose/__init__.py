"""Stage `compose`: turns configs/ and the recorded overrides into params.yaml."""

from pipeline.core.artifacts import CONFIGS, OVERRIDES, PARAMS
from pipeline.core.stage import Stage

__all__ = ["STAGE"]

STAGE = Stage(
    name="compose",
    does="puts configs/ and overrides.yaml together into params.yaml, and checks every key",
    deps=(CONFIGS, OVERRIDES),
    kept=(PARAMS,),
    records=(PARAMS,),
)
