"""Threads that share the parts or files of one call."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator

import pytest

from edge_core import retries
from edge_vfs import workers

from .interrupts import interrupt, interruptible


def test_every_item_is_done_once_whatever_the_number_of_threads() -> None:
    for number in (1, 2, 7):
        done: list[int] = []
        workers.each(done.append, range(100), number)
        assert sorted(done) == list(range(100))


def test_an_item_is_taken_only_when_a_thread_is_free() -> None:
    taken: list[int] = []
    both, free = threading.Barrier(3), threading.Event()

    def items() -> Iterator[int]:
        for n in range(10):
            taken.append(n)
            yield n

    def work(n: int) -> None:
        if n < 2:
            both.wait()
            free.wait()

    call = threading.Thread(target=workers.each, args=(work, items(), 2))
    call.start()
    both.wait()
    assert taken == [0, 1]
    free.set()
    call.join()
    assert len(taken) == 10


def test_the_threads_of_a_call_share_a_gate() -> None:
    gates: list[object] = []
    for _ in range(2):
        workers.each(lambda _: gates.append(retries.gate.get()), range(10), 3)
    assert len(set(gates)) == 2, "each call has its own"
    assert None not in gates
    assert retries.gate.get() is None


def test_the_first_failure_stops_all_and_is_raised() -> None:
    stopped = threading.Event()
    done: list[int] = []

    def work(n: int) -> None:
        done.append(n)
        if n == 3:
            raise KeyError("the first")
        if n < 3:
            return
        stopped.wait()
        raise workers.Stopped

    with pytest.raises(KeyError, match="the first"):
        workers.each(work, range(1000), 4, stopped=stopped)
    assert len(done) < 20
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("edge-")]


def test_a_failure_of_the_iterator_is_raised() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        workers.each(lambda _: None, items(), 2)


def test_an_interrupt_ends_the_call_and_its_threads() -> None:
    stopped = threading.Event()

    def work(n: int) -> None:
        if n == 1:
            interrupt()
        stopped.wait()
        raise workers.Stopped

    with interruptible(), pytest.raises(KeyboardInterrupt):
        workers.each(work, range(4), 2, stopped=stopped)
    assert stopped.is_set()


def test_threads_see_the_context_of_their_caller() -> None:
    setting = contextvars.ContextVar("setting", default=0)
    setting.set(7)
    seen: list[int] = []
    workers.each(lambda _: seen.append(setting.get()), range(2), 2)
    assert seen == [7, 7]


def test_zero_workers_are_refused() -> None:
    with pytest.raises(ValueError, match="max_workers must be 1 or more, not 0"):
        workers.each(print, [1], 0)
