"""The documents: versions agree, links lead somewhere, the picture stands alone."""

from __future__ import annotations

import re
import tomllib
import xml.etree.ElementTree as ET

import pytest

import pipeline
from tests.conftest import REPOSITORY

DOCUMENTS = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")])


def test_the_changelog_is_at_the_version_of_the_code():
    text = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - (\d{4}-\d{2}-\d{2})$", text, re.MULTILINE)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert released[0][0] == pipeline.__version__ == project["version"]
    assert [date for _, date in released] == sorted((d for _, d in released), reverse=True)
    headings = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert headings <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert text.index("## [Unreleased]") < text.index(f"## [{pipeline.__version__}]")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document):
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        linked = document if not path else (document.parent / path).resolve()
        assert linked.exists(), f"{document.name} links to {target}"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{document.name} links to {target}"


def anchors(document):
    """What the headings of a document are linked by."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_benchmark_has_its_section():
    page = (REPOSITORY / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    sections = re.findall(r"<!-- begin (\w+) -->\n.*?\n<!-- end \1 -->", page, re.DOTALL)
    written = {
        name
        for script in (REPOSITORY / "benchmarks").glob("*.py")
        for name in re.findall(r'write_section\(\s*"(\w+)"', script.read_text(encoding="utf-8"))
    }
    assert {"pipeline_run", "preprocess"} <= written <= set(sections)
    for script in re.findall(r"benchmarks/\w+\.py", page):
        assert (REPOSITORY / script).exists()


def test_the_picture_stands_alone():
    picture = REPOSITORY / "docs" / "pipeline.svg"
    tree = ET.parse(picture)
    tags = {element.tag.rpartition("}")[2] for element in tree.iter()}
    assert not tags & {"script", "image", "use", "foreignObject", "a"}
    text = picture.read_text(encoding="utf-8")
    addresses = set(re.findall(r"https?://[^\s\"']+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert "prefers-color-scheme: dark" in text
    names = {element.text for element in tree.iter() if element.get("class") == "name"}
    assert {"compose", "ingest", "preprocess", "train", "evaluate", "register", "export"} <= names
