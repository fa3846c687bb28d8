"""What REST requests are answered with: JSON, text, or the pages of the real server's libevent."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from pipeline.serve.json_answers import error_answer
from pipeline.serve.rest_body import BodyTooLargeError
from pipeline.serve.status import HTTP_STATUS, ServingError, invalid

Headers = tuple[tuple[bytes, bytes], ...]

JSON: Headers = ((b"content-type", b"application/json"),)
TEXT: Headers = ((b"content-type", b"text/plain"),)
CORS: Headers = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST, GET"),
    (b"access-control-allow-headers", b"Content-Type"),
)
_UNNAMED: Headers = ((b"content-type", b"text/html; charset=ISO-8859-1"),)
_PAGE: Headers = ((b"content-type", b"text/html"), (b"connection", b"close"))


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        status: HTTP status.
        body: The text.
        headers: Besides its length.
    """

    status: int
    body: bytes = b""
    headers: Headers = JSON


def page(status: int) -> Reply:
    """What libevent says where no handler is asked; it closes the connection."""
    words = HTTPStatus(status).phrase
    body = (
        f"<HTML><HEAD>\n<TITLE>{status} {words}</TITLE>\n</HEAD><BODY>\n<H1>{words}</H1>\n"
        "</BODY></HTML>\n"
    )
    return Reply(status, body.encode(), _PAGE)


def unnamed(status: int) -> Reply:
    """An empty answer, of the type that libevent gives to what has none."""
    return Reply(status, headers=_UNNAMED)


def refusal(error: ServingError) -> Reply:
    """An error as JSON, with the HTTP status of its code."""
    status = 413 if isinstance(error, BodyTooLargeError) else HTTP_STATUS[error.code]
    return Reply(status, error_answer(error))


def failure(status: int, message: str) -> Reply:
    """An error as JSON."""
    return Reply(status, error_answer(invalid(message)))
