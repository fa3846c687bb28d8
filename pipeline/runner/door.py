"""`pipeline stage NAME`: in the warm process where one waits for it, else here."""

from __future__ import annotations

from pathlib import Path

from pipeline.core.processes import die_with_parent
from pipeline.runner.warm import is_warm, run_in_warm_process


def run_stage_process(root: Path, name: str) -> int:
    """Runs the stage called `name`; returns its exit code.

    Raises:
        UsageError: There is no such stage.
        PipelineError: The warm process died.
    """
    die_with_parent()
    if is_warm(name):
        return run_in_warm_process(name)
    # Imported only here: a stage process that hands its work over starts in 0.1 s.
    from pipeline.runner.execute import flush_journals, run_stage
    from pipeline.runner.stages import find_stage

    stage = find_stage(name)
    code = run_stage(root, name)
    if stage.heavy:
        flush_journals(root)
    return code
