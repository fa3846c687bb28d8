"""The history of champions: append-only, and the line that rollbacks walk back on."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.core.promotions import append_promotion, champions, new_promotion, read_promotions


def change(action: str, to: int, name: str = "flights"):
    return new_promotion(name, action, None, to, reason="why", verdict="VALIDATED", model_hash="h")


@given(st.lists(st.one_of(st.integers(1, 6), st.none()), max_size=30))
def test_rollbacks_undo_promotions_one_by_one(steps):
    """A number promotes it; None rolls back to the one before, where there is one."""
    history, line = [], []
    for step in steps:
        if step is None and len(line) > 1:
            line.pop()
            history.append(change("rolled_back", line[-1]))
        elif step is not None and line[-1:] != [step]:
            line.append(step)
            history.append(change("promoted", step))
        history.append(change("promoted", 99, name="another"))
        assert champions(history, "flights") == line


def test_a_rollback_over_several_takes_them_all_off_the_line():
    history = [change("registered", 1), change("promoted", 2), change("promoted", 3)]
    assert champions([*history, change("rolled_back", 1)], "flights") == [1]
    # To one that is not on the line (a hand-edited history) it is a change like any other.
    assert champions([*history, change("rolled_back", 7)], "flights") == [1, 2, 3, 7]


def test_the_file_only_grows_and_takes_each_change_once(tmp_path):
    path = tmp_path / "models" / "history.jsonl"
    assert read_promotions(path) == []
    first, second = change("registered", 1), change("promoted", 2)
    append_promotion(path, first)
    begun = path.read_bytes()
    append_promotion(path, second)
    append_promotion(path, first)
    assert path.read_bytes().startswith(begun)
    assert read_promotions(path) == [first, second]


def test_lines_that_are_no_record_are_left_out(tmp_path):
    path = tmp_path / "history.jsonl"
    first = change("registered", 1)
    append_promotion(path, first)
    with path.open("a") as file:
        file.write('<<<<<<< HEAD\n{"id": 1}\n[]\n{"torn')
    append_promotion(path, replace(first, id="other"))
    assert [one.id for one in read_promotions(path)] == [first.id, "other"]
