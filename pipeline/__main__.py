"""`python -m pipeline`, the same as the console script `pipeline`."""

from __future__ import annotations

import sys

from pipeline.cli import run_command
from pipeline.core.processor import sort_fast


def main() -> None:
    """Ends the process with the command's exit code."""
    sort_fast()
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    main()
