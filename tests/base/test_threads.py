"""Work that is done side by side, one thread a part, and what it leaves as it was."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest
import torch
from bundle.base.threads import one_thread, side_by_side


@pytest.fixture(params=[1, 3], autouse=True)
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_a_block_of_one_thread_leaves_as_many_as_there_were(threads: int) -> None:
    with pytest.raises(ValueError, match="within"), one_thread():
        assert torch.get_num_threads() == 1
        raise ValueError("within")
    assert torch.get_num_threads() == threads


def test_parts_keep_their_order_and_each_has_one_thread(threads: int) -> None:
    made = side_by_side(lambda part: (part, torch.get_num_threads()), range(20))
    assert made == [(part, 1) for part in range(20)]
    assert torch.get_num_threads() == threads
    assert side_by_side(abs, []) == []


@pytest.mark.parametrize("recorded", [True, False])
def test_gradients_are_recorded_where_they_are_outside(recorded: bool) -> None:
    with torch.set_grad_enabled(recorded):
        assert side_by_side(lambda _: torch.is_grad_enabled(), range(4)) == [recorded] * 4


def test_a_part_that_fails_fails_the_whole_and_the_threads_come_back(threads: int) -> None:
    with pytest.raises(ZeroDivisionError):
        side_by_side(lambda part: 1 // part, [1, 0, 2])
    assert torch.get_num_threads() == threads


def test_the_same_threads_work_again_and_a_forked_process_has_its_own(threads: int) -> None:
    def names() -> set[str]:
        return set(side_by_side(lambda _: threading.current_thread().name, range(30)))

    before = threading.active_count()
    first = {thread for _ in range(3) for thread in names()}
    assert threading.active_count() <= before + threads
    assert len(first) <= threads
    if not hasattr(os, "fork"):
        return
    child = os.fork()
    if child == 0:  # a hanging child is ended by the alarm
        signal.alarm(20)
        os._exit(0 if side_by_side(abs, [-1, -2, -3]) == [1, 2, 3] else 1)
    assert os.waitpid(child, 0)[1] == 0
