"""Errors as TensorFlow Serving tells them: a canonical code and one message."""

from __future__ import annotations

import enum


class Code(enum.IntEnum):
    """Canonical status codes; the numbers are those of gRPC and of TensorFlow."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


HTTP_STATUS: dict[Code, int] = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}
"""As `ToHTTPStatusCode` of TensorFlow Serving's http_server.cc maps them."""

_GRPC_MESSAGE_LIMIT = 1024


class ServingError(Exception):
    """A request, or the loading of a version, ended with `code`.

    Args:
        code: Canonical code.
        message: What the client is told.
    """

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        # Half of a surrogate pair, quoted from a request, has no UTF-8 form to answer in.
        self.message = message.encode("utf-8", "replace").decode("utf-8")

    def __str__(self) -> str:
        """As absl::Status prints itself."""
        return f"{self.code.name}: {self.message}"

    @property
    def grpc_message(self) -> str:
        """The message cut as TensorFlow Serving cuts it, to fit in HTTP/2 trailers."""
        if len(self.message) <= _GRPC_MESSAGE_LIMIT:
            return self.message
        return self.message[:_GRPC_MESSAGE_LIMIT] + "...TRUNCATED"


def invalid(message: str) -> ServingError:
    """An INVALID_ARGUMENT error: the request is wrong, whatever the server's state."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def not_found(message: str) -> ServingError:
    """A NOT_FOUND error: no such model, version or label is loaded."""
    return ServingError(Code.NOT_FOUND, message)
