"""A driver in a process of its own: trains a small world on Ray, in the environment it is given.

python -m tests.train.ray_driver ROOT CHANGES.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from pipeline.core.artifacts import Artifacts
from pipeline.core.errors import PipelineError
from tests.train.worlds import train


def main() -> int:
    changes = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    try:
        train(Artifacts(Path(sys.argv[1])), "mlp", **changes)
    except PipelineError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
