"""What is wrong with a config, in words: pydantic's findings placed in the tree people wrote.

Pydantic says where a value failed by a path that also holds the names of union members; the JSON
schema of the same class says which parts of that path are keys a person can see, what stands
there, and what was expected.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic_core import ErrorDetails

from pipeline.core.errors import ConfigError, nearest
from pipeline.core.schema_words import NAMES_LISTED, Node, SchemaWords, choices, word

_UNKNOWN = frozenset({"unexpected_keyword_argument", "extra_forbidden"})
_MISSING = frozenset({"missing", "missing_argument", "missing_keyword_only_argument"})
_UNTAGGED = "union_tag_not_found"
_MISTAGGED = "union_tag_invalid"
_KEY = "[key]"
"""Last part of pydantic's path where the name of a key is wrong rather than its value."""
_OWN_WORDS = frozenset({"value_error", "assertion_error"})
_SHOWN_CHARACTERS = 200
_OTHERS_LISTED = 4


@dataclass(frozen=True)
class _Finding:
    """One thing wrong at one key.

    Attributes:
        kind: Pydantic's name for what is wrong.
        key: Dotted key as a person would write it.
        node: Schema of the value at `key`.
        owner: Schema of the mapping that holds `key`.
        value: What came.
        words: Pydantic's message, or that of a validator of ours.
    """

    kind: str
    key: str
    node: Node
    owner: Node
    value: object
    words: str


def explain(details: Sequence[ErrorDetails], schema: Node, key: str) -> ConfigError:
    """Makes one error of everything pydantic found.

    Unknown keys come first, because a mistyped key is also the reason for a missing one.

    Args:
        details: What pydantic found.
        schema: JSON schema of the class that was to be built.
        key: Dotted path of the whole value, for messages; may be empty.
    """
    places = _Schema(schema)
    found: dict[str, _Finding] = {}
    for detail in details:
        finding = places.find(detail, key)
        found.setdefault(finding.key, finding)
    # A union complains about the whole as well as about the part; the part says more.
    inner = [one for key, one in found.items() if not any(k.startswith(f"{key}.") for k in found)]
    first, *others = sorted(inner, key=_urgency)
    came, expected, remedy = _message(first, places)
    if others:
        listed = ", ".join(f"'{other.key}'" for other in others[:_OTHERS_LISTED])
        dots = ", ..." if len(others) > _OTHERS_LISTED else ""
        came += f"; also wrong: {listed}{dots}"
    return ConfigError(came, expected=expected, remedy=remedy)


def _urgency(finding: _Finding) -> int:
    if finding.kind in _UNKNOWN or finding.kind == _KEY:
        return 0
    return 2 if finding.kind in _MISSING else 1


def _message(finding: _Finding, places: _Schema) -> tuple[str, str, str]:
    expected = places.describe(finding.node)
    if finding.kind in _UNKNOWN:
        return _unknown(finding, places)
    if finding.kind in _MISSING or finding.kind == _UNTAGGED:
        came = f"config key '{finding.key}' is missing"
        return came, expected, f"set {finding.key}=VALUE"
    if finding.kind == _KEY:
        return f"unknown config key '{finding.key}'", finding.words, "rename or remove it"
    if finding.kind in _OWN_WORDS and isinstance(finding.value, Mapping | list):
        came = f"config section '{finding.key}' contradicts itself: {finding.words}"
        return came, "", f"change one of the keys of {finding.key}"
    shown = json.dumps(finding.value, default=str, ensure_ascii=False)[:_SHOWN_CHARACTERS]
    came = f"config key '{finding.key}' has the value {shown}"
    if finding.kind in _OWN_WORDS or not expected:
        expected = finding.words
    return came, expected, _remedy(finding)


def _unknown(finding: _Finding, places: _Schema) -> tuple[str, str, str]:
    siblings = sorted(places.names(finding.owner))
    leaf = finding.key.rsplit(".", 1)[-1]
    near = nearest(leaf, siblings)
    expected = "one of " + ", ".join(siblings) if len(siblings) <= NAMES_LISTED else ""
    remedy = f"did you mean {' or '.join(near)}?" if near else "remove it"
    return f"unknown config key '{finding.key}'", expected, remedy


def _remedy(finding: _Finding) -> str:
    known = [str(choice) for choice in choices(finding.node)]
    near = nearest(str(finding.value), known)
    if near:
        return f"did you mean {finding.key}={near[0]}?"
    if (
        isinstance(finding.value, str)
        and "number" in word(finding.node)
        and _numeric(finding.value)
    ):
        return f"write the number without quotes: {finding.key}={finding.value}"
    if isinstance(finding.value, str) and "name" in finding.node.get("properties", {}):
        return f"did you mean {finding.key}.name={finding.value}?"
    return f"set {finding.key} to such a value"


def _numeric(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _Schema(SchemaWords):
    """A JSON schema that can be walked along pydantic's error paths."""

    def find(self, detail: ErrorDetails, key: str) -> _Finding:
        """Places what pydantic found: union tags leave the path, the schema there is looked up."""
        parts: list[str] = [key] if key else []
        owner: Node = {}
        node = self.resolve(self._root)
        named = detail["loc"][-1:] == (_KEY,)
        for part in detail["loc"][: -1 if named else None]:
            child, is_key = self._step(node, part)
            if is_key:
                owner = self._holder(node, part)
                parts.append(str(part))
            node = self.resolve(child)
        value = detail["input"]
        if detail["type"] in {_UNTAGGED, _MISTAGGED}:
            tag = str(detail["ctx"]["discriminator"]).strip("'")
            union = self._union(node)
            parts.append(tag)
            node = {"enum": sorted(union.get("discriminator", {}).get("mapping", {}))}
            value = value.get(tag) if isinstance(value, Mapping) else value
        return _Finding(
            kind=_KEY if named else detail["type"],
            key=".".join(parts),
            node=node,
            owner=owner,
            value=value,
            words=detail["msg"].removeprefix("Value error, ").removeprefix("Input should be "),
        )

    def _union(self, node: Node) -> Node:
        """Looks through `X | None`, which adds nothing to pydantic's paths."""
        while "anyOf" in node:
            branches = [self.resolve(branch) for branch in node["anyOf"]]
            solid = [branch for branch in branches if branch.get("type") != "null"]
            if len(solid) != 1:
                return node
            node = solid[0]
        return node

    def _step(self, node: Node, part: str | int) -> tuple[Node, bool]:
        """The schema one step on, and whether `part` is a key rather than a union's tag."""
        node = self._union(node)
        mapping = node.get("discriminator", {}).get("mapping", {})
        if part in mapping:
            return {"$ref": mapping[part]}, False
        if "anyOf" in node:
            return self._member(node, str(part)), False
        return self._child(node, part), True

    def _member(self, union: Node, tag: str) -> Node:
        """The member of a union that pydantic's `tag` means: a class, a container, or a scalar."""
        container = {"dict": "object", "list": "array", "tupl": "array"}.get(tag[:4])
        for branch in map(self.resolve, union["anyOf"]):
            if branch.get("title") == tag or (container and branch.get("type") == container):
                return branch
        return union

    def _child(self, node: Node, part: str | int) -> Node:
        if isinstance(part, int):
            fixed = node.get("prefixItems", [])
            child = fixed[part] if part < len(fixed) else node.get("items", {})
        else:
            child = node.get("properties", {}).get(part) or node.get("additionalProperties")
        return child if isinstance(child, Mapping) else {}

    def _holder(self, node: Node, part: str | int) -> Node:
        node = self._union(node)
        return node if isinstance(part, str) else {}
