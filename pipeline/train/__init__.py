"""Training: a Keras core on encoded features, saved with its encoder as one model."""

from pipeline.core.artifacts import PROCESSED, TRAINED
from pipeline.core.stage import Stage
from pipeline.train.agreement import agree
from pipeline.train.config import TrainStageConfig

STAGE = Stage(
    name="train",
    does="trains the model and saves it with its preprocessing",
    config=TrainStageConfig,
    params={"train": "train", "model": "model", "strategy": "strategy", "launcher": "launcher"},
    deps=(PROCESSED,),
    outs=(TRAINED,),
    heavy=True,
    agree=agree,
)

__all__ = ["STAGE"]
