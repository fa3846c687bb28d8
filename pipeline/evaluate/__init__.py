"""Room `evaluate`: how good the trained model is, and whether it may go on."""

from pipeline.core import artifacts
from pipeline.core.stage import Stage
from pipeline.evaluate.agreement import agree
from pipeline.evaluate.config import EvaluateStageConfig

STAGE = Stage(
    name="evaluate",
    does="measures the model against baselines and champion, and writes the verdict",
    config=EvaluateStageConfig,
    params={"evaluate": "evaluate", "name": "register.name"},
    deps=(artifacts.PROCESSED, artifacts.TRAINED),
    outs=(artifacts.EVALUATION_PLOTS, artifacts.VERDICT),
    records=(artifacts.METRICS,),
    metrics=(artifacts.SCORES,),
    heavy=True,
    agree=agree,
)

__all__ = ["STAGE"]
