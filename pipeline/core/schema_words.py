"""What a JSON schema accepts, in words for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Node = Mapping[str, Any]
"""A node of a JSON schema."""

NAMES_LISTED = 40
"""Longer lists of names help nobody."""


class SchemaWords:
    """A JSON schema that says what its nodes accept."""

    def __init__(self, root: Node) -> None:
        self._root = root

    def names(self, node: Node) -> Iterator[str]:
        """The keys that the mapping `node` may have."""
        yield from self.resolve(node).get("properties", {})

    def describe(self, node: Node, *, brief: bool = False) -> str:
        """What `node` accepts, in words; empty where the schema does not say.

        Args:
            node: A node of the schema.
            brief: Whether keys of a mapping are left out.
        """
        node = self.resolve(node)
        if "discriminator" in node:
            tags = ", ".join(sorted(node["discriminator"]["mapping"]))
            return f"a mapping whose '{node['discriminator']['propertyName']}' is one of {tags}"
        if "anyOf" in node:
            return " or ".join(self.describe(branch, brief=brief) for branch in node["anyOf"])
        if choices(node):
            named = [str(choice) for choice in choices(node)]
            return named[0] if len(named) == 1 else "one of " + ", ".join(named)
        if node.get("type") == "array":
            return self._describe_list(node)
        if node.get("type") == "object":
            return self._describe_mapping(node, brief=brief)
        return word(node) + _range(node)

    def _describe_list(self, node: Node) -> str:
        if "prefixItems" in node:
            items = ", ".join(self.describe(item, brief=True) for item in node["prefixItems"])
            return f"a list [{items}]"
        least = node.get("minItems", 0)
        count = f" with at least {least} entries" if least > 1 else " that is not empty"
        what = self.describe(node.get("items", {}), brief=True)
        return "a list" + (count if least else "") + (f", each {what}" if what else "")

    def _describe_mapping(self, node: Node, *, brief: bool) -> str:
        if isinstance(node.get("additionalProperties"), Mapping):
            return f"names, each with {self.describe(node['additionalProperties'], brief=True)}"
        names = list(node.get("properties", {}))
        if brief or not names or len(names) > NAMES_LISTED:
            return "a mapping"
        return "a mapping with the keys " + ", ".join(names)

    def resolve(self, node: Node) -> Node:
        """Follows references to the node itself."""
        while "$ref" in node:
            node = self._root["$defs"][node["$ref"].rsplit("/", 1)[-1]]
        return node


def choices(node: Node) -> tuple[Any, ...]:
    """The values a node lists, in a union those of every member."""
    if "anyOf" in node:
        return tuple(choice for branch in node["anyOf"] for choice in choices(branch))
    if "enum" in node:
        return tuple(node["enum"])
    return (node["const"],) if "const" in node else ()


def word(node: Node) -> str:
    """What a scalar is called; empty for anything else."""
    kind = node.get("type")
    if kind == "string" and node.get("pattern"):
        return f"text that matches {node['pattern']}"
    if kind == "string" and node.get("minLength"):
        return "text that is not empty"
    words = {
        "integer": "a whole number",
        "number": "a number",
        "string": "text",
        "boolean": "true or false",
        "null": "null",
    }
    return words.get(str(kind), "")


def _range(node: Node) -> str:
    low, above = node.get("minimum"), node.get("exclusiveMinimum")
    high, below = node.get("maximum"), node.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}"
    parts = [
        f"{word} {bound:g}"
        for word, bound in (
            ("of at least", low),
            ("above", above),
            ("of at most", high),
            ("below", below),
        )
        if bound is not None
    ]
    step = [f"a multiple of {node['multipleOf']:g}"] if "multipleOf" in node else []
    return "".join(f" {part}" for part in [" and ".join([*parts, *step])] if part)
