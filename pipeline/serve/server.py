"""The server: loads the models, opens the ports, watches the disk, and ends in good order."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import tensorflow as tf

from pipeline.core.errors import PipelineError
from pipeline.serve.api import Api
from pipeline.serve.loading import loading_of
from pipeline.serve.manager import Manager
from pipeline.serve.model_config import read_models
from pipeline.serve.models import Model, check_base_paths
from pipeline.serve.options import Options
from pipeline.serve.ports import port_taken, reserve
from pipeline.serve.request_log import RequestLog
from pipeline.serve.rest_server import RestServer
from pipeline.serve.rpc import GrpcServer
from pipeline.serve.servable import Servable
from pipeline.serve.status import ServingError
from pipeline.serve.warmup import warm_up

log = logging.getLogger(__name__)


class Server:
    """A server in this process; `start`, then `stop`.

    Args:
        options: What to serve and where.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.manager = Manager(
            self._load,
            options.retries,
            early_labels=options.early_labels,
            load_before_labels=options.load_before_labels,
        )
        self.rest_port: int | None = None
        """Port the REST API listens on, once started."""
        self.grpc_port: int | None = None
        """Port the gRPC API listens on, once started."""
        self.ending = threading.Event()
        """Set as soon as the server is to end, also while it still starts."""
        self._loading = loading_of(options.session)
        self._api = Api(self.manager, tensor_content=options.grpc.tensor_content)
        self._models = options.models
        self._refused = ""
        self._log = RequestLog(options.request_log) if options.request_log else None
        self._watchers: list[threading.Thread] = []
        self._grpc: GrpcServer | None = None
        self._rest: RestServer | None = None

    def _load(self, name: str, version: int, folder: Path) -> Servable:
        servable = Servable(
            name,
            version,
            folder,
            self._loading,
            check_methods=self.options.check_methods,
            observe=self._api.metrics.ran,
        )
        if self.options.warm_up:
            try:
                warm_up(servable, folder, self.options.warm_up)
            except ServingError:
                servable.close()
                raise
        servable.record = self._log.record if self._log else None
        return servable

    def start(self) -> None:
        """Loads every model, and only then opens the ports.

        Raises:
            BusyError: A port is taken.
            PipelineError: A model has a missing base path or a version that does not load.
        """
        tf.get_logger().setLevel("ERROR")  # the session API is meant, not an oversight
        options = self.options
        with contextlib.ExitStack() as reserved:
            # Taken before the models load: a wrong port should cost no time. Nobody can connect
            # before `listen`.
            rest = reserve(options.host, options.rest_port)
            grpc_ = reserve(options.host, options.grpc_port)
            for taken in filter(None, (rest, grpc_)):
                reserved.enter_context(taken)
            self._load_models()
            if grpc_ or options.grpc.socket:
                self._start_grpc(grpc_)
            if rest:
                self.rest_port = rest.getsockname()[1]
                self._rest = RestServer(self._api, options)
                self._rest.start(rest.dup())
        self._watch(self.manager.refresh, options.poll_seconds)
        if options.model_config_file:
            self._watch(self._reread_config, options.config_poll_seconds)

    def _load_models(self) -> None:
        try:
            check_base_paths(self.options.models)
            self._wait_for_versions()
            self.manager.apply(self.options.models)
        except ServingError as error:
            raise PipelineError(
                f"the server cannot start: {error.message}",
                remedy="correct the path, or export the model (again) with `pipeline run`",
            ) from error

    def _wait_for_versions(self) -> None:
        """As the real server does: a model may be served before its first export."""
        waiting = True
        while waiting and self.options.poll_seconds and not self.ending.is_set():
            empty = [model for model in self.options.models if not model.aspired()]
            for model in empty:
                log.warning(
                    "No versions of servable %s found under base path %s; waiting for one",
                    model.name,
                    model.base_path,
                )
            waiting = bool(empty) and not self.ending.wait(self.options.poll_seconds)

    def _start_grpc(self, reserved: socket.socket | None) -> None:
        options = self.options
        server = GrpcServer(self._api, options.threads, options.grpc)
        if reserved:
            self.grpc_port = reserved.getsockname()[1]
            reserved.close()
            host = f"[{options.host}]" if ":" in options.host else options.host
            try:
                server.listen(f"{host}:{self.grpc_port}", options.tls)
            except RuntimeError as error:
                raise port_taken(options.host, self.grpc_port or 0) from error
        if options.grpc.socket:
            try:
                server.listen(f"unix:{options.grpc.socket}", options.tls)
            except RuntimeError as error:
                raise PipelineError(
                    f"cannot listen on the UNIX socket {options.grpc.socket}",
                    remedy="correct --grpc_socket_path: its folder must exist and be writable",
                ) from error
        server.start()
        self._grpc = server

    def _watch(self, look: Callable[[], None], seconds: float) -> None:
        """Calls `look` every so many seconds until the end; 0: never."""
        if not seconds:
            return

        def watch() -> None:
            while not self.ending.wait(seconds):
                try:
                    look()
                except Exception:
                    # Whatever it was, the next look may find it mended, and requests go on.
                    log.exception("looking for changes failed")

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        self._watchers.append(thread)

    def _reread_config(self) -> None:
        path = self.options.model_config_file
        if path is None:
            return
        try:
            models = read_models(path, self.options.serving_folder)
            if models != self._models:
                self.manager.apply(models)
                self._models = models
                log.info("%s is taken over: %s", path.name, _labels(models))
            self._refused = ""
        except (PipelineError, ServingError) as error:
            if str(error) != self._refused:  # once, not at every look
                log.warning("%s is not taken over: %s", path.name, error)
            self._refused = str(error)

    def stop(self) -> None:
        """Takes no further request, lets the running ones end, frees everything."""
        self.ending.set()
        if self._grpc:
            self._grpc.stop(self.options.drain_seconds)
        if self._rest:
            self._rest.stop()
        if self._grpc:
            self._grpc.wait()
        for watcher in self._watchers:
            watcher.join()
        self.manager.close()
        if self._log:
            self._log.close()


def _labels(models: Iterable[Model]) -> str:
    """Who bears which label, for the log."""
    shown = []
    for model in models:
        labels = ", ".join(f"{label} = {version}" for label, version in model.labels.items())
        shown.append(f"{model.name} {labels or '(no labels)'}")
    return "; ".join(shown)
