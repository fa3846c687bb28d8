"""Runs of a graph that are waited for without holding a thread.

What answers a request is a coroutine that waits for one kind of thing only, a `Run`. Whoever
drives it says where runs happen that hold a thread; a run in a batch holds none.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any, TypeVar

from pipeline.core.session import Array
from pipeline.serve.limits import NEVER

Answer = TypeVar("Answer")
Results = list[Array]
Done = Callable[[Results | None, BaseException | None], None]
"""Takes the results of a run, or why there are none."""


@dataclass(frozen=True)
class Run:
    """A run of a graph; `results = await run`.

    Attributes:
        start: Starts it, with what to call once, from any thread, and the deadline by
            `time.monotonic`.
        holds_thread: Whether `start` comes back only when the graph has run.
        takes_long: Whether it is known to take long then.
    """

    start: Callable[[Done, float], None]
    holds_thread: bool
    takes_long: bool = False

    def __await__(self) -> Generator[Run, Results, Results]:
        """The results; raises what the run ended with."""
        results = yield self
        return results


Elsewhere = Callable[[Run], Executor | None]
"""Says where a run happens that holds a thread; None: in the thread that comes to it."""


def here(_run: Run) -> None:
    """Runs everything in the thread that comes to it."""


def drive(
    coroutine: Coroutine[Run, Results | None, None],
    elsewhere: Elsewhere = here,
    deadline: float = NEVER,
    results: Results | None = None,
    error: BaseException | None = None,
) -> None:
    """Carries a coroutine on until its end, or until it waits for a run in a batch.

    Args:
        coroutine: What to carry on; it delivers its answer itself.
        elsewhere: Where runs happen that hold a thread.
        deadline: When nobody waits any more, by `time.monotonic`.
        results: Of the run that the coroutine waits for.
        error: Why there are none.
    """
    try:
        run = coroutine.throw(error) if error else coroutine.send(results)
    except StopIteration:
        return

    def go_on(results: Results | None, error: BaseException | None) -> None:
        drive(coroutine, elsewhere, deadline, results, error)

    pool = elsewhere(run) if run.holds_thread else None
    if pool:
        pool.submit(run.start, go_on, deadline)
    else:
        run.start(go_on, deadline)


def finished(coroutine: Coroutine[Any, Any, Answer]) -> Answer:
    """The answer of a coroutine, waited for in this thread.

    Raises:
        BaseException: What the coroutine raised.
    """
    future: Future[Answer] = Future()

    async def deliver() -> None:
        try:
            future.set_result(await coroutine)
        except BaseException as error:  # noqa: BLE001  raised again below
            future.set_exception(error)

    drive(deliver())
    return future.result()
