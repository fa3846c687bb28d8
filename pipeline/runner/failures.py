"""What the machine refuses, said so that a person knows what to do."""

from __future__ import annotations

import errno

from pipeline.core.errors import PipelineError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def machine_failure(error: BaseException) -> PipelineError | None:
    """A full disk, a missing permission or too little memory; None for anything else."""
    if isinstance(error, OSError) and error.errno in _FULL:
        return PipelineError(
            f"the disk is full ({error.filename or 'while writing'})",
            remedy="free some space (`dvc gc --workspace` drops old artifacts), then run again",
        )
    if isinstance(error, OSError) and error.errno in _FORBIDDEN:
        return PipelineError(
            f"no permission for {error.filename or 'a file'}: {error.strerror}",
            remedy="give this user write permission there, then run again",
        )
    if isinstance(error, MemoryError):
        return PipelineError(
            "the machine is out of memory", remedy="use fewer rows or a bigger one"
        )
    return None
