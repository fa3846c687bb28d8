"""Writes a benchmark's result into its section of docs/benchmarks.md, with where it was taken."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import re
from collections.abc import Sequence
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"
PACKAGES = ("tensorflow", "keras", "mlflow", "dvc", "pandas", "numpy", "scikit-learn")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, numbers to the right."""
    rules = ["---", *["---:"] * (len(head) - 1)]
    return [f"| {' | '.join(row)} |" for row in (head, rules, *rows)]


def circumstances(command: str) -> str:
    """When, with what and on how many cores the figures were taken."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    load = os.getloadavg()[0]
    return (
        f"`{command}`, {today}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{versions}; load average {load:.1f} at the end."
    )


def write_section(name: str, command: str, lines: Sequence[str]) -> None:
    """Replaces what stands between the marks of section `name`.

    Raises:
        SystemExit: The document has no such marks.
    """
    text = DOCUMENT.read_text(encoding="utf-8")
    body = "\n".join([*lines, "", circumstances(command)])
    marks = re.compile(rf"(<!-- begin {name} -->\n).*?(\n<!-- end {name} -->)", re.DOTALL)
    if not marks.search(text):
        raise SystemExit(f"{DOCUMENT} has no section <!-- begin {name} -->")
    written = marks.sub(lambda found: f"{found[1]}{body}{found[2]}", text)
    DOCUMENT.write_text(written, encoding="utf-8")
    print(f"written to {DOCUMENT}, section {name}")
