"""Predict over REST, tensor by tensor: what TensorFlow Serving's json_tensor tests hold, and more.

Each row is a request's body, the HTTP status and the whole answer: exact digits, exact words.
"""

from __future__ import annotations

import json

import pytest

from tests.serve.conformance import Conformance

ROW = "Failed to process element: {} of 'instances' list. Error: "
KEY = "Failed to process element: {} key: {} of 'instances' list. Error: "
UNFIT = "JSON Value: {} Type: {} is not of expected type: {}"
HELLO, WORLD = '{"b64": "aGVsbG8="}', '{"b64": "d29ybGQ="}'


def shown(value: str) -> str:
    """A base64 object as messages show it."""
    return value.replace('{"', '{\n    "').replace('"}', '"\n}')


VALUES = [
    # Whole numbers: RapidJSON's IsInt asks for 32 bits of each narrow type, and C++ wraps.
    ("int8", "[-128, 127]", "[-128, 127]"),
    ("int8", "300", "44"),
    ("uint8", "[0, 255, -1]", "[0, 255, 255]"),
    ("int16", "[-300, 40000]", "[-300, -25536]"),
    ("int32", "[-2147483648, 2147483647]", "[-2147483648, 2147483647]"),
    ("int32", "-0", "0"),
    ("uint32", "[0, 4294967295]", "[0, 4294967295]"),
    ("int64", "[-9223372036854775808, 9223372036854775807]", None),
    ("uint64", "[0, 18446744073709551615]", None),
    # Six digits where they suffice, else as many as it takes; always a point or an exponent.
    (
        "float32",
        "[9000000, 999999, 0.50000, 0.0003, 0.00003, 555557.5]",
        "[9e+06, 999999.0, 0.5, 0.0003, 3e-05, 555557.5]",
    ),
    ("float32", "[1, 2.0, 3, 5.003, 0.007, 0.0, -0.0]", "[1.0, 2.0, 3.0, 5.003, 0.007, 0.0, -0.0]"),
    ("float32", "[1435774380, 1435774380.0]", "[1.43577434e+09, 1.43577434e+09]"),
    ("float32", "[1.7976931348623157e308, -1.7976931348623157e308]", "[Infinity, -Infinity]"),
    ("float32", "[2.2250738585072014e-308, -2.2250738585072014e-308]", "[0.0, -0.0]"),
    (
        "float32",
        "[0.1, 0.2, 16777217, 1e-45, 3.4028235e38]",
        "[0.1, 0.2, 16777216.0, 1.4013e-45, 3.40282347e+38]",
    ),
    ("float32", "[NaN, Infinity, -Infinity, 3]", "[NaN, Infinity, -Infinity, 3.0]"),
    ("float32", "[Inf, -Inf, -NaN]", "[Infinity, -Infinity, NaN]"),
    ("float64", "[1.0, 2, 0.662, 0, 0.1]", "[1.0, 2.0, 0.662, 0.0, 0.1]"),
    (
        "float64",
        "[0.30000000000000004, 1e300, 123456789, 18446744073709551616]",
        "[0.30000000000000004, 1e+300, 123456789.0, 1.8446744073709552e+19]",
    ),
    ("float64", "[1E+2, 1.5e-7]", "[100.0, 1.5e-07]"),
    ("bool", "[true, false]", "[true, false]"),
    ("string", '["foo", "\\u00fc", ""]', '["foo", "ü", ""]'),
    (
        "string",
        '"\\u0000\\u001f\\"\\\\/\\b\\f\\n\\r\\t"',
        '"\\u0000\\u001f\\"\\\\/\\b\\f\\n\\r\\t"',
    ),
    ("string", '"\\ud83d\\ude00"', '"😀"'),
    ("string", f"[{HELLO}, {WORLD}]", '["hello", "world"]'),
    (
        "string",
        '[{"b64": ""}, {"b64": "aGk"}, {"b64": "aG k=\\n"}, {"b64": "aGk."}]',
        '["", "hi", "hi", "hi"]',
    ),
    ("bytes", f'[{HELLO}, "world"]', f"[{HELLO}, {WORLD}]"),
    # Scalars, empty lists and depth.
    ("float32", "1", "1.0"),
    ("string", '"word"', '"word"'),
    ("bool", "true", "true"),
    ("bytes", HELLO, HELLO),
    ("int32", "[]", "[]"),
    ("int32", "[[], []]", "[[], []]"),
    ("int32", "[[[1, 2], [3, 4], [5, 6]]]", "[[[1, 2], [3, 4], [5, 6]]]"),
    ("string", '[[["a"]], [["b"]]]', '[[["a"]], [["b"]]]'),
    ("uint16", "[]", "[]"),
    ("half", "[]", "[]"),
]


@pytest.mark.parametrize(("kind", "value", "written"), VALUES)
def test_a_value_as_columns(
    conformance: Conformance, kind: str, value: str, written: str | None
) -> None:
    kind = {"half": "float16"}.get(kind, kind)
    body = f'{{"signature_name": "{kind}", "inputs": {value}}}'
    assert conformance.post(body) == (200, f'{{"outputs": {written or value}}}')
    body = f'{{"inputs": {{"x": {value}}}, "signature_name": "{kind}"}}'
    assert conformance.post(body) == (200, f'{{"outputs": {written or value}}}')


@pytest.mark.parametrize(
    ("kind", "value", "written"), [row for row in VALUES if row[1][0] == "[" and row[1] != "[]"]
)
def test_a_value_as_rows(
    conformance: Conformance, kind: str, value: str, written: str | None
) -> None:
    body = f'{{"signature_name": "{kind}", "instances": {value}}}'
    assert conformance.post(body) == (200, f'{{"predictions": {written or value}}}')


MISFITS = [
    *[(kind, "1.0", "1.0", "Number") for kind in ("int8", "uint8", "int16", "int32", "uint64")],
    *[(kind, "true", "true", "True") for kind in ("int32", "float", "string", "double")],
    *[(kind, "null", "null", "Null") for kind in ("int64", "float", "bool", "string")],
    *[(kind, '"1"', '"1"', "String") for kind in ("int64", "float", "bool", "uint32")],
    *[(kind, HELLO, shown(HELLO), "Object") for kind in ("int8", "float", "bool", "uint16")],
    ("bool", "false ", "false", None),
    ("bool", "0", "0", "Number"),
    ("string", "7", "7", "Number"),
    ("int8", "2147483648", "2147483648", "Number"),
    ("int32", "-2147483649", "-2147483649", "Number"),
    ("int64", "9223372036854775808", "9223372036854775808", "Number"),
    ("int64", "-9223372036854775809", "-9223372036854776000.0", "Number"),
    ("uint32", "-1", "-1", "Number"),
    ("uint32", "4294967296", "4294967296", "Number"),
    ("uint64", "-1", "-1", "Number"),
    ("uint64", "18446744073709551616", "18446744073709552000.0", "Number"),
    ("int32", "1e2", "100.0", "Number"),
    ("int32", "1e30", "1e30", "Number"),
    ("int32", "1.5e-7", "1.5e-7", "Number"),
    ("int32", "-0.00012", "-0.00012", "Number"),
    ("int32", "-0.0", "-0.0", "Number"),
    ("int32", "123456789012345678901234", "1.2345678901234569e23", "Number"),
    ("int32", "NaN", "", "Number"),
]


@pytest.mark.parametrize(("kind", "value", "text", "named"), MISFITS)
def test_values_of_another_kind(
    conformance: Conformance, kind: str, value: str, text: str, named: str | None
) -> None:
    signature = {"float": "float32", "double": "float64"}.get(kind, kind)
    body = f'{{"signature_name": "{signature}", "inputs": [{value}]}}'
    status, answer = conformance.post(body)
    if named is None:
        assert (status, answer) == (200, '{"outputs": [false]}')
        return
    words = UNFIT.format(text, named, kind)
    assert (status, json.loads(answer)) == (400, {"error": words})
    rows = body.replace("inputs", "instances")
    words = ROW.format(0) + f"INVALID_ARGUMENT: {words}"
    assert json.loads(conformance.post(rows)[1]) == {"error": words}


@pytest.mark.parametrize("kind", ["float16", "bfloat16", "uint16", "complex64"])
def test_kinds_that_json_does_not_have(conformance: Conformance, kind: str) -> None:
    name = {"float16": "half"}.get(kind, kind)
    words = f"Conversion of JSON Value: 1 to type: {name}"
    body = f'{{"signature_name": "{kind}", "inputs": [1]}}'
    status, answer = conformance.post(body)
    assert (status, json.loads(answer)) == (501, {"error": words})
    status, answer = conformance.post(body.replace("inputs", "instances"))
    words = ROW.format(0) + f"UNIMPLEMENTED: {words}"
    assert (status, json.loads(answer)) == (400, {"error": words})


SHAPES = [
    (
        "int32",
        '"instances": [[1, 2], [3, 4], [5, 6, 7]]',
        ROW.format(2) + "INVALID_ARGUMENT: Expecting tensor size: 2 but got: 3",
    ),
    (
        "int32",
        '"instances": [[1, 2], [3, 4], [[5, 6]]]',
        ROW.format(2) + "INVALID_ARGUMENT: Expecting shape [2] but got: [1,2]",
    ),
    (
        "int32",
        '"instances": [1, [1]]',
        ROW.format(1) + "INVALID_ARGUMENT: Expecting shape [] but got: [1]",
    ),
    (
        "int32",
        '"instances": [[1, 2], ["a", "b"]]',
        ROW.format(1) + "INVALID_ARGUMENT: " + UNFIT.format('"a"', "String", "int32"),
    ),
    (
        "int32",
        '"instances": [[1, [2]]]',
        ROW.format(0) + "INVALID_ARGUMENT: Encountered list at unexpected level: 1 expected < 1",
    ),
    (
        "int32",
        '"instances": [[[1], 2]]',
        ROW.format(0) + "INVALID_ARGUMENT: "
        "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
    ),
    (
        "int32",
        '"inputs": [[1, 2], [3]]',
        "Encountered list at unexpected size: 1 at level: 1 expected size: 2",
    ),
    (
        "int32",
        '"inputs": [[], [1]]',
        "Encountered list at unexpected size: 1 at level: 1 expected size: 0",
    ),
    (
        "string",
        '"inputs": [{"b64": 1}]',
        'JSON Value: {\n    "b64": 1\n} not formatted correctly for base64 data',
    ),
    (
        "string",
        '"inputs": [{"b64": "aGk=", "more": 1}]',
        (
            "JSON Value: {\n"
            '    "b64": "aGk=",\n    "more": 1\n} not formatted correctly for base64 data'
        ),
    ),
    ("string", '"inputs": [{"b64": "a"}]', "Unable to base64 decode"),
    ("string", '"inputs": [{"b64": "aGk=="}]', "Unable to base64 decode"),
    ("string", '"inputs": [{"b64": "aG=k"}]', "Unable to base64 decode"),
    ("string", '"inputs": [{"b64": "_-8="}]', "Unable to base64 decode"),
    (
        "string",
        '"instances": ["a", {"x": "b"}]',
        "Expecting value/list but got object at item 1 of input list",
    ),
    (
        "string",
        '"instances": [{"x": "a"}, "b"]',
        "Expecting object but got list at item 1 of input list",
    ),
    (
        "string",
        '"instances": [{"x": "a"}, {"b64": "YQ=="}]',
        "Expecting object but got list at item 1 of input list",
    ),
    (
        "int32",
        '"instances": [{"z": 1}]',
        KEY.format(0, "z") + "INVALID_ARGUMENT: JSON object: does not have named input: z",
    ),
    (
        "int32",
        '"instances": [{}]',
        (
            "Failed to process element: 0 of 'instances' list. "
            "JSON object: {} keys must be equal to: x"
        ),
    ),
    (
        "two",
        '"instances": [{"number": 1, "word": "a"}, {"number": 2}]',
        (
            "Failed to process element: 1 of 'instances' list. JSON object: {\n"
            '    "number": 2\n} keys must be equal to: number,word'
        ),
    ),
    (
        "two",
        '"instances": [{"number": [1], "word": "a"}, {"number": [1, 2], "word": "b"}]',
        KEY.format(1, "number") + "INVALID_ARGUMENT: Expecting tensor size: 1 but got: 2",
    ),
    (
        "two",
        '"instances": [1, 2]',
        (
            "instances is a plain list, but expecting list of objects as "
            "multiple input tensors required as per tensorinfo_map"
        ),
    ),
    (
        "two",
        '"inputs": [1, 2]',
        (
            "inputs is a plain value/list, but expecting an object as "
            "multiple input tensors required as per tensorinfo_map"
        ),
    ),
    (
        "two",
        '"inputs": {"b64": "YQ=="}',
        (
            "inputs is a plain value/list, but expecting an object as "
            "multiple input tensors required as per tensorinfo_map"
        ),
    ),
    ("two", '"inputs": {"number": 1}', "Missing named input: word in 'inputs' object."),
    (
        "two_words",
        '"instances": [{"b64": "YQ=="}]',
        (
            "input size does not match signature: 1!=2 "
            "len({a}) != len({a,b}). Sent extra: {}. Missing but required: {b}."
        ),
    ),
    ("int32", '"inputs": {"z": 1}', "Missing named input: x in 'inputs' object."),
    (
        "int32",
        '"instances": 3',
        (
            'JSON Value: {\n    "signature_name": "int32",\n    "instances": 3\n'
            "} Expecting 'instances' to be an list/array"
        ),
    ),
    (
        "int32",
        '"instances": []',
        (
            'JSON Value: {\n    "signature_name": "int32",\n'
            "    \"instances\": []\n} No values in 'instances' array"
        ),
    ),
    (
        "int32",
        '"instances": [1], "inputs": [1]',
        (
            'JSON Value: {\n    "signature_name": "int32",\n'
            '    "instances": [1],\n    "inputs": [1]\n} Not formatted correctly expecting only '
            "one of 'inputs' or 'instances' keys to exist "
        ),
    ),
    ("int32", '"rows": [1]', "Missing 'inputs' or 'instances' key"),
    ("no_input", '"instances": [1]', "Failed to get input map for signature: no_input"),
    ("nothing", '"instances": [1]', 'Serving signature name: "nothing" not found in signature def'),
    (
        "",
        '"instances": [1]',
        'Serving signature name: "serving_default" not found in signature def',
    ),
    # Answers that JSON cannot give.
    ("scalar", '"instances": [1]', "Tensor name: y has no shape information "),
    ("uneven", '"instances": [1]', "Tensor name: b has inconsistent batch size: 2 expecting: 1"),
]


@pytest.mark.parametrize(("signature", "body", "words"), SHAPES)
def test_what_does_not_fit_the_signature(
    conformance: Conformance, signature: str, body: str, words: str
) -> None:
    text = f'{{"signature_name": "{signature}", {body}}}'
    status, answer = conformance.post(text)
    assert (status, json.loads(answer)) == (400, {"error": words})


@pytest.mark.parametrize(
    ("signature", "body", "answer"),
    [
        (
            "two",
            '"instances": [{"number": 1, "word": "a"}, {"word": {"b64": "Yg=="}, "number": 2}]',
            '{"predictions": [{"number": 1, "word": "a"},{"number": 2, "word": "b"}]}',
        ),
        (
            "two",
            '"inputs": {"number": [[1], [2]], "word": "a", "unknown": 5}',
            '{"outputs": {"number": [[1], [2]],"word": "a"}}',
        ),
        (
            "text_and_bytes",
            '"instances": [["a", "b"]]',
            '{"predictions": [{"y": ["a", "b"], "y_bytes": [{"b64": "YQ=="}, {"b64": "Yg=="}]}]}',
        ),
        ("text_and_bytes", '"inputs": "a"', '{"outputs": {"y": "a","y_bytes": {"b64": "YQ=="}}}'),
        ("scalar", '"inputs": [1, 2]', '{"outputs": 3.0}'),
        ("uneven", '"inputs": [1]', '{"outputs": {"a": [1.0],"b": [1.0, 1.0]}}'),
        ("int32", '"instances": [1], "instances": [2]', '{"predictions": [1]}'),
        ("int32", '"instances": [1], "more": [[[{}]]], "examples": 7', '{"predictions": [1]}'),
        ("int32", '"instances": [{"x": [1]}]', '{"predictions": [[1]]}'),
        ("string", '"instances": [[{"b64": "YQ=="}], ["b"]]', '{"predictions": [["a"], ["b"]]}'),
    ],
)
def test_rows_and_columns(conformance: Conformance, signature: str, body: str, answer: str) -> None:
    text = f'{{"signature_name": "{signature}", {body}}}'
    assert conformance.post(text) == (200, answer)


def test_nesting_beside_the_question_and_in_the_wrong_place(conformance: Conformance) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    body = f'{{"signature_name": "int32", "instances": [1], "nested": {deep}}}'
    assert conformance.post(body) == (200, '{"predictions": [1]}')
    status, answer = conformance.post(f'{{"signature_name": {deep}}}')
    assert status == 400
    assert answer.endswith(
        "not formatted correctly. 'signature_name' key must be a string value.\"}"
    )
