"""What RapidJSON, the real server's reader, says of text that is no JSON, and what it lets pass."""

from __future__ import annotations

import json

import pytest

from tests.serve.conformance import Conformance

MISSING_NAME = "Missing a name for object member."
MISSING_COLON = "Missing a colon after a name of object member."
AFTER_MEMBER = "Missing a comma or '}' after an object member."
AFTER_ELEMENT = "Missing a comma or ']' after an array element."
ESCAPE = "Invalid escape character in string."
SURROGATE = "The surrogate pair in string is invalid."
INVALID = "Invalid value."
EMPTY = "The document is empty."

ERRORS = [
    (b"instances = [1, 2]", INVALID, 0),
    (b"   ", EMPTY, 3),
    (b"]", EMPTY, 0),
    (b"\0", EMPTY, 0),
    (b"nul", INVALID, 3),
    (b"nulL", INVALID, 3),
    (b"tru", INVALID, 3),
    (b"falsy", INVALID, 4),
    (b"{", MISSING_NAME, 1),
    (b"{'a': 1}", MISSING_NAME, 1),
    (b"{1: 2}", MISSING_NAME, 1),
    (b"{,}", MISSING_NAME, 1),
    (b'{"a": 1,}', MISSING_NAME, 8),
    (b'{"a"}', MISSING_COLON, 4),
    (b'{"a" 1}', MISSING_COLON, 5),
    (b'{"a":}', INVALID, 5),
    (b'{"a":', INVALID, 5),
    (b'{"a": 1', AFTER_MEMBER, 7),
    (b'{"a": 1 "b": 2}', AFTER_MEMBER, 8),
    (b'{"a": 1]', AFTER_MEMBER, 7),
    (b'{"a": 1\0}', AFTER_MEMBER, 7),
    (b"[", INVALID, 1),
    (b"[1,]", INVALID, 3),
    (b"[,1]", INVALID, 1),
    (b"[1 2]", AFTER_ELEMENT, 3),
    (b"[1}", AFTER_ELEMENT, 2),
    (b"[01]", AFTER_ELEMENT, 2),
    (b"[0x1]", AFTER_ELEMENT, 2),
    (b"[+1]", INVALID, 1),
    (b"[.5]", INVALID, 1),
    (b"[-]", INVALID, 2),
    (b"[- 1]", INVALID, 2),
    (b"[1.]", "Miss fraction part in number.", 3),
    (b"[1.e5]", "Miss fraction part in number.", 3),
    (b"[1e]", "Miss exponent in number.", 3),
    (b"[1e+]", "Miss exponent in number.", 4),
    (b"[1e309]", "Number too big to be stored in double.", 1),
    (b"[2, -1e400]", "Number too big to be stored in double.", 4),
    (b"[nan]", INVALID, 2),
    (b"[Na]", INVALID, 3),
    (b"[infinity]", INVALID, 1),
    (b"[Infinit]", INVALID, 8),
    (b"[Infx]", AFTER_ELEMENT, 4),
    (b'["a', "Missing a closing quotation mark in string.", 3),
    (b'["a\0"]', "Missing a closing quotation mark in string.", 3),
    (b'["\\x"]', ESCAPE, 2),
    (b'["a\tb"]', ESCAPE, 3),
    (b'["a\nb"]', ESCAPE, 3),
    (b'["\\u12"]', "Incorrect hex digit after \\u escape in string.", 2),
    (b'["\\u12g4"]', "Incorrect hex digit after \\u escape in string.", 2),
    (b'["ab\\ud800"]', SURROGATE, 4),
    (b'["\\ud800\\u0041"]', SURROGATE, 2),
    (b'["\\ud800\\"]', SURROGATE, 2),
    ('["ü", x]'.encode(), INVALID, 7),
]


@pytest.mark.parametrize(("body", "words", "offset"), ERRORS)
def test_text_that_is_no_json(
    conformance: Conformance, body: bytes, words: str, offset: int
) -> None:
    for verb in ("predict", "classify"):
        status, answer = conformance.post(body, verb=verb)
        expected = f"JSON Parse error: {words} at offset: {offset}"
        assert (status, json.loads(answer)) == (400, {"error": expected})


def test_no_text_at_all(conformance: Conformance) -> None:
    for verb in ("predict", "classify", "regress"):
        status, answer = conformance.post(b"", verb=verb)
        expected = {"error": "JSON Parse error: The document is empty"}
        assert (status, json.loads(answer)) == (400, expected)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("[1]", "[1]"),
        ("[]", "[]"),
        ("7", "7"),
        ("null", "null"),
        ("true", "true"),
        ('"x"', '"x"'),
        ('"\\u001f\\u007f\\u00fc/"', '"\\u001F\x7fü/"'),
        ('[1, [2.50, {}], {"a": []}]', '[1, [2.5, {}], {\n        "a": []\n    }]'),
        ("[NaN, 1]", "["),
        ("[1, Infinity]", "[1, "),
    ],
)
def test_json_that_is_no_object(conformance: Conformance, body: str, text: str) -> None:
    status, answer = conformance.post(body)
    assert (status, json.loads(answer)) == (400, {"error": f"JSON Value: {text} Is not object"})


def test_long_values_are_cut(conformance: Conformance) -> None:
    _, answer = conformance.post(json.dumps([1] * 1000))
    assert json.loads(answer) == {"error": f"JSON Value: [1{', 1' * 85} Is not object"}
    _, answer = conformance.post(json.dumps(["x" * 300, 1]))
    assert json.loads(answer) == {"error": f'JSON Value: ["{"x" * 300}" Is not object'}


GOOD = b'{"signature_name": "float32", "instances": [1.5]}'


@pytest.mark.parametrize(
    "body",
    [
        GOOD + b" and more",
        GOOD + b"}",
        GOOD + b"\0\xff",
        GOOD + GOOD,
        b" \t\r\n" + GOOD + b"\n",
        b"\xef\xbb\xbf" + GOOD,
        GOOD[:-1] + b', "signature_name": 7}',
        GOOD[:-1] + b', "instances": 7}',
        GOOD[:-1] + b', "odd": "\xff\xfe"}',
        GOOD[:-1] + b', "": {"a": [NaN, -Inf, 1E5]}}',
        GOOD.replace(b"float32", b"float\\u00332"),
        GOOD.replace(b"signature_name", b"signature\\u005fname"),
        GOOD.replace(b"1.5", b"15e-1"),
        GOOD.replace(b"1.5", b"0.00015E+4"),
    ],
)
def test_what_strict_parsers_refuse_or_read_otherwise(
    conformance: Conformance, body: bytes
) -> None:
    assert conformance.post(body) == (200, '{"predictions": [1.5]}')


@pytest.mark.parametrize("value", ["100", "null", "[]", '{"a": 1}', "true"])
def test_signature_names_that_are_no_text(conformance: Conformance, value: str) -> None:
    for verb in ("predict", "classify", "regress"):
        status, answer = conformance.post(f'{{"signature_name": {value}}}', verb=verb)
        assert status == 400
        error = json.loads(answer)["error"]
        assert error.startswith('JSON Value: {\n    "signature_name": ')
        assert error.endswith(
            "} not formatted correctly. 'signature_name' key must be a string value."
        )


def test_bytes_that_are_no_utf8_come_back_as_they_are(conformance: Conformance) -> None:
    body = b'{"signature_name": "string", "instances": ["\xff\x80", "\\udc00"]}'
    answer = conformance.send("POST", "/v1/models/kinds:predict", body)
    assert answer.content == b'{\n    "predictions": ["\xff\x80", "\xed\xb0\x80"]\n}'
