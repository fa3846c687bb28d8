"""Ingest: brings the source and what joins it into one raw Parquet table."""

from pipeline.core.artifacts import RAW, SOURCES
from pipeline.core.stage import Stage
from pipeline.ingest.agreement import agree
from pipeline.ingest.config import IngestStageConfig

STAGE = Stage(
    name="ingest",
    does="bring the source and its joins into data/raw",
    config=IngestStageConfig,
    params={"source": "data.source", "joins": "data.joins", "ingest": "ingest"},
    deps=(SOURCES,),
    outs=(RAW,),
    agree=agree,
)

__all__ = ["STAGE"]
