"""Addresses, methods, headers and error pages of the REST API, and what it says of models."""

from __future__ import annotations

import gzip
import json
import socket
from urllib.parse import urlsplit

import pytest

from tests.serve.conformance import Conformance

HALF = "/v1/models/half_plus_two"
ONE = '{"instances": [1.0]}'
PACKED = gzip.compress(ONE.encode(), mtime=0)
EMPTY_DOCUMENT = "JSON Parse error: The document is empty"
PAGE = "<HTML><HEAD>\n<TITLE>{0} {1}</TITLE>\n</HEAD><BODY>\n<H1>{1}</H1>\n</BODY></HTML>\n"
CORS = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": "Content-Type",
}


def raw(conformance: Conformance, request: bytes) -> bytes:
    """The whole answer to bytes on a connection of their own."""
    with socket.create_connection(("127.0.0.1", urlsplit(conformance.url).port), 60) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(
    ("path", "version"),
    [
        (":predict", 124),
        ("/versions/123:predict", 123),
        ("/versions/000124:predict", 124),
        ("/labels/stable:predict", 123),
        ("/labels/st%61ble:predict", 123),
    ],
)
def test_addresses_that_answer(conformance: Conformance, path: str, version: int) -> None:
    for start in (HALF, "/V1/Models/half_plus_two", "/v1/models/half%5Fplus%5ftwo"):
        answer = conformance.send("POST", start + path, ONE)
        assert answer.json() == {"predictions": [2.5]}
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["content-length"] == str(len(answer.content))
        assert {name: answer.headers[name] for name in CORS} == CORS
    metadata = conformance.send("GET", HALF + path.removesuffix(":predict") + "/metadata").json()
    assert metadata["model_spec"]["version"] == str(version)


MALFORMED = [
    ("GET", "/v1/"),
    ("GET", "/v1/foo"),
    ("POST", "/v1/foo"),
    ("GET", "/v1/models/"),
    ("GET", HALF + "/"),
    ("GET", "/v1/models/debug/model_name"),
    ("POST", "/v1/models"),
    ("POST", HALF),
    ("POST", HALF + "/"),
    ("GET", HALF + ":predict"),
    ("GET", HALF + "/version/50:predict"),
    ("POST", HALF + "/version/50:regress"),
    ("POST", HALF + "/versions/HELLO:regress"),
    ("POST", HALF + "/versions/-1:predict"),
    ("POST", HALF + "/versions/1.0:predict"),
    ("POST", HALF + "/versions/:predict"),
    ("POST", HALF + "/metadata"),
    ("POST", HALF + "/metadata:predict"),
    ("POST", HALF + "/label/stable:regress"),
    ("POST", HALF + "/labels/:regress"),
    ("POST", HALF + "/versions/50/labels/stable:regress"),
    ("POST", HALF + "/labels/a/b:predict"),
    ("POST", HALF + ":explain"),
    ("POST", HALF + ":PREDICT"),
    ("POST", HALF + ":predict/"),
    ("POST", HALF + ":predict?a=1"),
    ("POST", HALF + ":predict:predict"),
    ("GET", HALF + "/metadata/"),
    ("GET", HALF + "/versions/123/metadata/more"),
    ("PUT", HALF + ":predict"),
    ("DELETE", HALF),
    ("PATCH", HALF + ":predict"),
    ("PUT", "/v1/anything/at%20all"),
]


@pytest.mark.parametrize(("method", "path"), MALFORMED)
def test_addresses_that_the_api_does_not_have(
    conformance: Conformance, method: str, path: str
) -> None:
    answer = conformance.send(method, path, ONE)
    assert answer.status_code == 400
    assert answer.json() == {"error": f"Malformed request: {method} {path}"}
    assert answer.text == json.dumps(answer.json(), indent=4)
    assert {name: answer.headers[name] for name in CORS} == CORS


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v1/models", 400, "Missing model name in request."),
        ("GET", "/v1/models/metadata", 404, "Could not find any versions of model metadata"),
        ("GET", "/v1/models/foo", 404, "Could not find any versions of model foo"),
        ("GET", "/v1/models/foo/versions/5", 404, "Could not find version 5 of model foo"),
        ("GET", HALF + "/versions/5", 404, "Could not find version 5 of model half_plus_two"),
        ("GET", HALF + "?a=1", 404, "Could not find any versions of model half_plus_two?a=1"),
        ("GET", "/v1/models/a%21%3A%2f", 404, "Could not find any versions of model a!:/"),
        ("GET", "/v1/models/h%C3%BC", 404, "Could not find any versions of model hü"),
        (
            "GET",
            "/v1/models/foo/metadata",
            404,
            "Servable not found for request: Latest(foo)",
        ),
        (
            "GET",
            HALF + "/versions/5/metadata",
            404,
            "Servable not found for request: Specific(half_plus_two, 5)",
        ),
        ("GET", HALF + "/labels/x/metadata", 400, "Unrecognized servable version label: x"),
        ("POST", HALF + "/labels/x:predict", 400, "Unrecognized servable version label: x"),
        ("POST", "/v1/models/foo/labels/x:predict", 400, "Unrecognized servable version label: x"),
        ("POST", HALF + "/labels/a%20b:predict", 400, "Unrecognized servable version label: a b"),
        (
            "POST",
            HALF + "99:predict",
            404,
            "Servable not found for request: Latest(half_plus_two99)",
        ),
        (
            "POST",
            "/v1/models/foo/versions/50:predict",
            404,
            "Servable not found for request: Specific(foo, 50)",
        ),
        *[
            (
                method,
                f"{HALF}/versions/18446744073709551615{verb}",
                400,
                "Failed to convert version: 18446744073709551615 to numeric.",
            )
            for method, verb in (("POST", ":predict"), ("POST", ":regress"), ("GET", ""))
        ],
        (
            "GET",
            f"{HALF}/versions/9223372036854775807",
            404,
            "Could not find version 9223372036854775807 of model half_plus_two",
        ),
    ],
)
def test_who_is_not_there(
    conformance: Conformance, method: str, path: str, status: int, words: str
) -> None:
    answer = conformance.send(method, path, ONE)
    assert (answer.status_code, answer.json()) == (status, {"error": words})
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("body", ["", "x", '{"instances": ["x"]}', '{"signature_name": "no"}'])
def test_a_malformed_body_is_told_before_the_model_is_looked_up(
    conformance: Conformance, body: str
) -> None:
    answer = conformance.send("POST", "/v1/models/foo:predict", body)
    found = "Servable not found for request: Latest(foo)"
    assert answer.status_code == (404 if body[:1] == "{" else 400)
    assert (answer.json()["error"] == found) == (body[:1] == "{")


@pytest.mark.parametrize("path", ["/", "/index.html", "/v1", "/v2/models/a", "/v1models", "/a?b#c"])
def test_a_path_outside_the_api_is_a_page(conformance: Conformance, path: str) -> None:
    for method in ("GET", "POST", "OPTIONS", "PUT"):
        answer = conformance.send(method, path)
        assert (answer.status_code, answer.text) == (404, PAGE.format(404, "Not Found"))
        assert answer.headers["content-type"] == "text/html"
        assert answer.headers["connection"] == "close"
        assert not set(CORS) & {name.lower() for name in answer.headers}


@pytest.mark.parametrize(
    ("request_line", "status", "words"),
    [
        (b"TRACE /v1/models/kinds HTTP/1.1", 501, "Not Implemented"),
        (b"GET /v1/models/a<b HTTP/1.1", 400, "Bad Request"),
        (b"GET /v1/models/a%zz HTTP/1.1", 400, "Bad Request"),
        (b"GET /v1/models/a[b] HTTP/1.1", 400, "Bad Request"),
        (b"GET /v1/models/" + "ü".encode() + b" HTTP/1.1", 400, "Bad Request"),
        (b"GET /v1/models/kinds HTTP/one", 400, "Bad Request"),
        (b"nonsense", 400, "Bad Request"),
    ],
)
def test_what_is_no_request(
    conformance: Conformance, request_line: bytes, status: int, words: str
) -> None:
    answer = raw(conformance, request_line + b"\r\nHost: a\r\n\r\n").decode()
    head, _, body = answer.partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} {words}\r\n")
    assert body == PAGE.format(status, words)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("http://elsewhere:1/v1/models/kinds", None),
        ("/v1/models/kinds#part", "Could not find any versions of model kinds#part"),
        ("/v1/models/kinds?a#b", "Could not find any versions of model kinds?a#b"),
    ],
)
def test_other_forms_of_an_address(
    conformance: Conformance, target: str, words: str | None
) -> None:
    request = f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    head, _, body = raw(conformance, request.encode()).decode().partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 404 " if words else "HTTP/1.1 200 ")
    assert not words or json.loads(body) == {"error": words}


def test_head_gets_no_body(conformance: Conformance) -> None:
    answer = raw(conformance, b"HEAD /v1/models/kinds HTTP/1.1\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\n")


def test_options_asks_for_an_origin(conformance: Conformance) -> None:
    for path in (HALF + ":predict", HALF, "/v1/whatever"):
        for origin, status in (("http://a", 200), ("https://a:1", 200), ("null", 400), ("", 400)):
            answer = conformance.send("OPTIONS", path, Origin=origin)
            assert (answer.status_code, answer.content) == (status, b"")
            assert {name: answer.headers[name] for name in CORS} == CORS
            assert answer.headers["content-type"] == "text/html; charset=ISO-8859-1"


def test_connections_live_on(conformance: Conformance) -> None:
    request = f"POST {HALF}:predict HTTP/1.1\r\nHost: a\r\nContent-Length: {len(ONE)}\r\n\r\n{ONE}"
    wrong = request.replace(":predict", ":explain")
    answers = raw(
        conformance, (request + wrong + request.replace("Host: a", "Connection: close")).encode()
    )
    assert answers.count(b"HTTP/1.1 200 OK") == 2
    assert answers.count(b"HTTP/1.1 400 Bad Request") == 1
    old = raw(conformance, request.replace("HTTP/1.1", "HTTP/1.0").encode())
    assert b"connection: close" in old
    assert old.endswith(b'"predictions": [2.5]\n}')


@pytest.mark.parametrize(
    ("body", "encoding", "error"),
    [
        pytest.param(PACKED, "gzip", None, id="packed"),
        pytest.param(PACKED, "x-gzip, my_gzip", None, id="packed under another name"),
        pytest.param(ONE.encode(), "deflate", None, id="an encoding nobody unpacks"),
        pytest.param(ONE.encode(), "gzip", EMPTY_DOCUMENT, id="not packed"),
        pytest.param(PACKED[:-5], "gzip", EMPTY_DOCUMENT, id="cut off"),
        pytest.param(b"", "gzip", EMPTY_DOCUMENT, id="empty"),
    ],
)
def test_packed_bodies(
    conformance: Conformance, body: bytes, encoding: str, error: str | None
) -> None:
    answer = conformance.send("POST", HALF + ":predict", body, Content_Encoding=encoding)
    assert answer.json() == ({"error": error} if error else {"predictions": [2.5]})
    assert answer.status_code == (400 if error else 200)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "a"])
def test_the_type_of_a_body_does_not_matter(conformance: Conformance, kind: str) -> None:
    answer = conformance.send("POST", HALF + ":predict", ONE, Content_Type=kind)
    assert answer.json() == {"predictions": [2.5]}
    assert answer.headers["content-type"] == "application/json"


def test_status_as_proto3_json(conformance: Conformance) -> None:
    one = (
        '{{\n   "version": "{}",\n   "state": "AVAILABLE",\n   "status": {{\n'
        '    "error_code": "OK",\n    "error_message": ""\n   }}\n  }}'
    )
    whole = '{{\n "model_version_status": [\n  {}\n ]\n}}\n'
    both = f"{one.format(124)},\n  {one.format(123)}"
    assert conformance.send("GET", HALF).text == whole.format(both)
    # A label in the address is not looked at, known or not.
    assert conformance.send("GET", HALF + "/labels/stable").text == whole.format(both)
    assert conformance.send("GET", HALF + "/labels/nothing").text == whole.format(both)
    assert conformance.send("GET", HALF + "/versions/123").text == whole.format(one.format(123))


def test_metadata_as_proto3_json(conformance: Conformance) -> None:
    answer = conformance.send("GET", HALF + "/versions/123/metadata")
    assert answer.text.startswith(
        '{\n"model_spec":{\n "name": "half_plus_two",\n "version": "123",\n'
        ' "signature_name": ""\n}\n,\n"metadata": {"signature_def": {\n "signature_def": {\n'
    )
    assert answer.text.endswith("\n}\n}\n}\n")
    found = answer.json()["metadata"]["signature_def"]["signature_def"]
    assert set(found) == {
        *("serving_default", "regress_x_to_y", "regress_x2_to_y3"),
        *("classify_x_to_y", "classify_x2_to_y3"),
    }
    size = [{"size": "-1", "name": ""}, {"size": "1", "name": ""}]
    shape = {"dim": size, "unknown_rank": False}
    assert found["serving_default"] == {
        "inputs": {"x": {"dtype": "DT_FLOAT", "tensor_shape": shape, "name": "x:0"}},
        "outputs": {"y": {"dtype": "DT_FLOAT", "tensor_shape": shape, "name": "y:0"}},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    assert found["classify_x_to_y"]["method_name"] == "tensorflow/serving/classify"
    kinds = conformance.send("GET", "/v1/models/kinds/metadata").json()["metadata"]
    scalar = kinds["signature_def"]["signature_def"]["float32"]["inputs"]["x"]
    assert scalar["tensor_shape"] == {"dim": [], "unknown_rank": True}
