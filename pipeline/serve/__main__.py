"""`python -m pipeline.serve`: the embedded server as a program of its own."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Sequence

from pipeline.core.errors import PipelineError
from pipeline.core.runtime import quiet_tensorflow

_VERSIONS = {"TensorFlow ModelServer": "tensorflow-serving-api", "TensorFlow Library": "tensorflow"}
"""What `--version` says, and the package whose version it is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the server until a signal; returns the exit code."""
    from pipeline.serve.flags import parse_flags
    from pipeline.serve.ports import check_ports

    try:
        options = parse_flags(sys.argv[1:] if arguments is None else arguments)
        if options is None:
            for name, package in _VERSIONS.items():
                print(f"{name}: {importlib.metadata.version(package)}")
            return 0
        # Before TensorFlow is imported: a wrong port should cost no time.
        check_ports(options.host, options.rest_port, options.grpc_port)
        quiet_tensorflow()
        from pipeline.serve.run import serve_until_signalled

        return serve_until_signalled(options)
    except PipelineError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
