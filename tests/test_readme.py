"""Every command of the README works, in the order in which it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import REPOSITORY, Project

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```bash\n(.*?)```", README, flags=re.DOTALL)
COMMANDS = [
    shlex.split(line, comments=True) for block in BLOCKS for line in block.splitlines() if line
]
ELSEWHERE = {
    ("make", "run"),  # .ci/run and this very test are parts of the other
    ("make", "test"),
    ("pipeline", "serve"),  # runs until Ctrl-C: tests/serve
    ("pipeline", "ui"),  # likewise: tests/runner
}


def test_make_targets_exist() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for program, target, *_ in COMMANDS:
        if program == "make":
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_make_run_is_the_pipeline_and_a_question() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    recipe = makefile.partition("\nrun:")[2].split("\n\n")[0]
    assert "pipeline run" in recipe
    assert "pipeline ask" in recipe


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (REPOSITORY / target).exists(), target


@pytest.fixture
def my_table(project: Project) -> Project:
    """The files that the README's reader brings."""
    from importlib.util import find_spec

    package = find_spec("palmerpenguins")
    assert package is not None
    assert package.origin is not None
    table = pd.read_csv(Path(package.origin).parent / "data" / "penguins.csv")
    table.to_csv(project.root / "data" / "source" / "my.csv", index=False)
    table.drop(columns="species").head(5).to_csv(project.root / "new.csv", index=False)
    return project


@pytest.mark.timeout(1200)
def test_commands_work_in_order(my_table: Project) -> None:
    ran = [command for command in COMMANDS if tuple(command[:2]) not in ELSEWHERE]
    assert len(ran) >= 12
    for command in ran:
        done = my_table.run(*command)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
