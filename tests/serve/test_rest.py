"""The REST API of a real server process: answers, codes and words."""

from __future__ import annotations

import json

import pytest
import requests

from pipeline.core.server_process import Running

MANY = {"number": 0.5, "word": "ü", "flag": True, "pair": [1, 2]}
PREDICT = "/v1/models/half:predict"
FAILED_0 = "Failed to process element: 0 of 'instances' list. Error: INVALID_ARGUMENT: "


def post(server: Running, path: str, body: object) -> requests.Response:
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    return requests.post(server.rest_url + path, data=data, timeout=30)


def get(server: Running, path: str) -> requests.Response:
    return requests.get(server.rest_url + path, timeout=30)


def error(response: requests.Response, status: int = 400) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"]
    return body["error"]


def test_the_newest_version_answers_rows(server: Running) -> None:
    response = post(server, PREDICT, {"instances": [2.0, 3.0, 4.0]})
    assert response.json() == {"predictions": [3.0, 3.5, 4.0]}
    assert response.headers["content-type"] == "application/json"


def test_columns_are_answered_in_columns(server: Running) -> None:
    assert post(server, PREDICT, {"inputs": [2, 3]}).json() == {"outputs": [3.0, 3.5]}
    assert post(server, PREDICT, {"inputs": {"x": [2, 3]}}).json() == {"outputs": [3.0, 3.5]}
    assert post(server, PREDICT, {"instances": [{"x": 2}]}).json() == {"predictions": [3.0]}


@pytest.mark.parametrize(
    ("choice", "bias"),
    [
        ("", 2.0),
        ("/versions/1", 1.0),
        ("/versions/2", 2.0),
        ("/labels/champion", 1.0),
        ("/labels/challenger", 2.0),
    ],
)
def test_version_and_label_choose(server: Running, choice: str, bias: float) -> None:
    response = post(server, f"/v1/models/half{choice}:predict", {"instances": [0]})
    assert response.json() == {"predictions": [bias]}


def test_every_kind_of_tensor_in_rows(server: Running) -> None:
    body = {"signature_name": "many", "instances": [MANY, {**MANY, "number": 1e30}]}
    first, second = post(server, PREDICT, body).json()["predictions"]
    assert first == {
        "number": 0.5,
        "word": "ü",
        "word_bytes": {"b64": "w7w="},
        "flag": True,
        "pair": [1, 2],
        "sum": 3.5,
    }
    assert second["number"] == 1e30


def test_every_kind_of_tensor_in_columns(server: Running) -> None:
    inputs = {"number": [0.5], "word": [{"b64": "w7w="}], "flag": [False], "pair": [[1, 2]]}
    outputs = post(server, PREDICT, {"signature_name": "many", "inputs": inputs}).json()["outputs"]
    assert outputs["word"] == ["ü"]
    assert outputs["word_bytes"] == [{"b64": "w7w="}]
    assert outputs["pair"] == [[1, 2]]
    assert outputs["flag"] == [False]


def test_other_number_types(server: Running) -> None:
    inputs = {
        "int8": [-1],
        "uint8": [255],
        "int16": [-300],
        "int32": [2147483647],
        "uint32": [4294967295],
        "uint64": [18446744073709551615],
        "float32": [[0.1, 16777217]],
    }
    body = {"signature_name": "numbers", "inputs": inputs}
    response = post(server, PREDICT, body)
    assert response.json()["outputs"] == {
        **{f"{name}_out": value for name, value in inputs.items()},
        "float32_out": [[0.1, 16777216.0]],
    }
    assert '"float32_out": [[0.1, 16777216.0]]' in response.text


def test_numbers_that_json_does_not_know(server: Running) -> None:
    response = post(server, PREDICT, '{"instances": [NaN, Infinity, -Infinity, -Inf, 1e-7]}')
    assert response.text.count("NaN") == 1
    assert response.text.count("-Infinity") == 2
    assert response.json()["predictions"][1] == float("inf")
    assert response.json()["predictions"][4] == 2.0


def test_text_after_the_object_and_bytes_that_are_no_utf8(server: Running) -> None:
    assert post(server, PREDICT, '{"instances": [2]} and more').json() == {"predictions": [3.0]}
    body = {"signature_name": "many", "instances": [{**MANY, "word": "?"}]}
    raw = json.dumps(body).encode().replace(b'"?"', b'"\xff"')
    response = post(server, PREDICT, raw)
    assert response.status_code == 200
    assert b'"word": "\xff"' in response.content


def test_status(server: Running) -> None:
    ok = {"error_code": "OK", "error_message": ""}
    two = {"version": "2", "state": "AVAILABLE", "status": ok}
    one = {"version": "1", "state": "AVAILABLE", "status": ok}
    assert get(server, "/v1/models/half").json() == {"model_version_status": [two, one]}
    assert get(server, "/v1/models/half/versions/1").json() == {"model_version_status": [one]}


def test_metadata(server: Running) -> None:
    found = get(server, "/v1/models/half/versions/1/metadata").json()
    assert found["model_spec"] == {"name": "half", "signature_name": "", "version": "1"}
    signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    assert signature["inputs"]["x"]["dtype"] == "DT_FLOAT"
    assert signature["inputs"]["x"]["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}]


def test_classify_and_regress(server: Running) -> None:
    body = {"signature_name": "classify", "examples": [{"x": 0.5}, {}]}
    answer = post(server, "/v1/models/half:classify", body).json()
    assert answer == {"results": [[["no", 0.5], ["yes", 2.5]], [["no", -1.0], ["yes", 1.0]]]}
    body = {"signature_name": "regress", "context": {"x": [4.0]}, "examples": [{}, {"x": 0.0}]}
    assert post(server, "/v1/models/half:regress", body).json() == {"results": [4.0, 2.0]}


def test_addresses_are_matched_whatever_their_case(server: Running) -> None:
    assert post(server, "/V1/Models/half:predict", {"instances": [2]}).json()["predictions"]
    status = get(server, "/v1/models/half/METADATA").json()
    assert "model_version_status" in status, "as in the real server: not the word `metadata`"


def test_cors_preflight_needs_an_origin(server: Running) -> None:
    url = server.rest_url + PREDICT
    assert requests.options(url, headers={"Origin": "http://a"}, timeout=30).status_code == 200
    refused = requests.options(url, timeout=30)
    assert (refused.status_code, refused.content) == (400, b"")


NOT_SERVED = "Servable not found for request: "


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/models/nope:predict", 404, NOT_SERVED + "Latest(nope)"),
        ("/v1/models/half/versions/7:predict", 404, NOT_SERVED + "Specific(half, 7)"),
        ("/v1/models/half/labels/gold:predict", 400, "Unrecognized servable version label: gold"),
        ("/v1/models/half:explain", 400, "Malformed request: POST /v1/models/half:explain"),
        ("/v1/models/half", 400, "Malformed request: POST /v1/models/half"),
        ("/v1/models/half/versions/x:predict", 400, "Malformed request: POST "),
        ("/v1/models/half:PREDICT", 400, "Malformed request: POST /v1/models/half:PREDICT"),
        ("/v1/models/half:predict?a=1", 400, "Malformed request: POST /v1/models/half:predict?a"),
        (
            "/v1/models/half/versions/99999999999999999999:predict",
            400,
            "Failed to convert version: 99999999999999999999 to numeric.",
        ),
    ],
)
def test_wrong_addresses(server: Running, path: str, status: int, words: str) -> None:
    assert error(post(server, path, {"instances": [1]}), status).startswith(words)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/v1/models/nope", 404, "Could not find any versions of model nope"),
        ("/v1/models/half/versions/7", 404, "Could not find version 7 of model half"),
        ("/v1/models/nope/metadata", 404, NOT_SERVED + "Latest(nope)"),
        ("/v1/models", 400, "Missing model name in request."),
        ("/v1/models/half:predict", 400, "Malformed request: GET /v1/models/half:predict"),
        ("/v1/models/ha%6cf/labels/gold/metadata", 400, "Unrecognized servable version label"),
        ("/v1/models/h%C3%BC", 404, "Could not find any versions of model hü"),
        ("/v1/models/half?a=1", 404, "Could not find any versions of model half?a=1"),
    ],
)
def test_wrong_addresses_to_look_at(server: Running, path: str, status: int, words: str) -> None:
    assert error(get(server, path), status).startswith(words)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"{", "JSON Parse error: Missing a name for object member. at offset: 1"),
        (b'{"instances": [1,}', "JSON Parse error: Invalid value. at offset: 17"),
        (b'{"instances" [1]}', "JSON Parse error: Missing a colon after a name of object member."),
        (b'{"a": 1 "b": 2}', "JSON Parse error: Missing a comma or '}' after an object member."),
        (b"[1]", "JSON Value: [1] Is not object"),
        (b"{}", "Missing 'inputs' or 'instances' key"),
        (b'{"instances": 3}', "JSON Value: {"),
        (b'{"instances": []}', "JSON Value: {"),
        (b'{"instances": [1], "inputs": [1]}', "JSON Value: {"),
        (b'{"signature_name": 3, "instances": [1]}', "JSON Value: {"),
        (
            b'{"signature_name": "no", "instances": [1]}',
            'Serving signature name: "no" not found in signature def',
        ),
        (
            b'{"instances": ["a"]}',
            FAILED_0 + 'JSON Value: "a" Type: String is not of expected type: float',
        ),
        (
            b'{"instances": [true]}',
            FAILED_0 + "JSON Value: true Type: True is not of expected type: float",
        ),
        (
            b'{"instances": [1, [2]]}',
            FAILED_0.replace("0", "1") + "Expecting shape [] but got: [1]",
        ),
        (
            b'{"instances": [{"z": 1}]}',
            FAILED_0.replace("0", "0 key: z") + "JSON object: does not have named input: z",
        ),
        (b'{"inputs": {"z": [1]}}', "Missing named input: x in 'inputs' object."),
        (
            b'{"inputs": [[1], [1, 2]]}',
            "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
        ),
        (
            b'{"signature_name": "many", "instances": [1]}',
            "instances is a plain list, but expecting list of objects",
        ),
        (
            b'{"signature_name": "many", "instances": [{"word": "a"}]}',
            "Failed to process element: 0 of 'instances' list. JSON object: {",
        ),
        (
            b'{"signature_name": "halves", "inputs": [1]}',
            "Conversion of JSON Value: 1 to type: half",
        ),
    ],
)
def test_wrong_bodies(server: Running, body: bytes, words: str) -> None:
    status = 501 if "Conversion" in words else 400
    assert error(post(server, PREDICT, body), status).startswith(words)


def test_a_float_is_no_integer_and_kernels_judge_shapes(server: Running) -> None:
    body = {"signature_name": "many", "instances": [{**MANY, "pair": [1, 2.0]}]}
    words = error(post(server, PREDICT, body))
    assert "JSON Value: 2.0 Type: Number is not of expected type: int64" in words
    inputs = {"number": [1, 2, 3], "word": ["a"], "flag": [True], "pair": [[1, 2], [3, 4]]}
    words = error(post(server, PREDICT, {"signature_name": "many", "inputs": inputs}))
    assert "Incompatible shapes" in words


def test_deep_nesting_is_an_error_and_no_crash(server: Running) -> None:
    deep = '{"inputs": ' + "[" * 100_000 + "]" * 100_000 + "}"
    assert "dimensions" in error(post(server, PREDICT, deep))
    unclosed = '{"instances": ' + "[" * 100_000
    assert "JSON Parse error" in error(post(server, PREDICT, unclosed))
    assert post(server, PREDICT, {"instances": [2]}).json() == {"predictions": [3.0]}


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"examples": [{"x": 1.0}]}, "No classification inputs found in SignatureDef"),
        ({"signature_name": "no", "examples": [{}]}, "No signature was found with the name: no"),
        ({"signature_name": "regress", "examples": [{}]}, "Expected classification signature"),
        ({"signature_name": "classify"}, "JSON Value: {"),
        ({"signature_name": "classify", "examples": []}, "JSON Value: {"),
        ({"signature_name": "classify", "examples": [3]}, "Example must be JSON object but got"),
        ({"signature_name": "classify", "examples": [{"x": None}]}, "Feature: x has element with"),
        ({"signature_name": "classify", "examples": [{"x": [1, "a"]}]}, "Unexpected element type"),
    ],
)
def test_wrong_examples(server: Running, body: object, words: str) -> None:
    assert error(post(server, "/v1/models/half:classify", body)).startswith(words)


def test_a_body_that_is_too_large_is_refused(server: Running) -> None:
    with requests.Session() as session:
        size = 300 * 2**20
        chunk = b" " * 2**20
        request = requests.Request(
            "POST", server.rest_url + PREDICT, data=(chunk for _ in range(size // len(chunk)))
        )
        try:
            response = session.send(request.prepare(), timeout=60)
        except requests.ConnectionError:
            return  # the server hangs up on a client that goes on sending
        assert response.status_code == 413
