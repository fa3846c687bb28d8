"""The HTTP server under the REST API."""

from __future__ import annotations

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import uvicorn

from pipeline.serve.api import Api
from pipeline.serve.http import LimitedProtocol
from pipeline.serve.options import Options
from pipeline.serve.ports import port_taken
from pipeline.serve.rest import Rest

_BACKLOG = 2048


class RestServer:
    """Answers for `api` over HTTP, in a thread of its own.

    Args:
        api: Answers.
        options: Limits, threads, TLS.
    """

    def __init__(self, api: Api, options: Options) -> None:
        self._host = options.host
        self._pool = ThreadPoolExecutor(options.threads, thread_name_prefix="rest")
        config = uvicorn.Config(
            Rest(api, self._pool, options.rest),
            http=partial(LimitedProtocol, options.rest.timeout_seconds),  # type: ignore[arg-type]
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            limit_concurrency=options.rest.max_connections,
            timeout_graceful_shutdown=round(options.drain_seconds),
        )
        config.load()
        if options.tls:
            config.ssl = options.tls.context()
        self._server = uvicorn.Server(config)

    def start(self, reserved: socket.socket) -> None:
        """Begins to answer on a socket that is bound already.

        Raises:
            BusyError: It cannot be listened on.
        """
        port = reserved.getsockname()[1]
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [reserved]}, daemon=True
        )
        self._thread.start()
        while not self._server.started:
            if not self._thread.is_alive():
                raise port_taken(self._host, port)
            time.sleep(0.01)

    def stop(self) -> None:
        """Takes no further request, and waits until the running ones have ended."""
        self._server.should_exit = True
        self._thread.join()
        self._pool.shutdown()
