"""`pipeline stage NAME`: in the warm process where there is one, else here."""

from __future__ import annotations

import os
from pathlib import Path

from pipeline.runner.execute import die_with_parent, flush_journals, run_stage
from pipeline.runner.host import SOCKET_VARIABLE, run_in_warm_process
from pipeline.runner.stages import find_stage


def run_stage_process(root: Path, name: str) -> int:
    """Runs the stage called `name`; returns its exit code.

    Raises:
        UsageError: There is no such stage.
        PipelineError: The warm process died.
    """
    die_with_parent()
    stage = find_stage(name)
    if stage.heavy and os.environ.get(SOCKET_VARIABLE):
        return run_in_warm_process(name)
    code = run_stage(root, name)
    if stage.heavy:
        flush_journals(root)
    return code
