"""Independent tasks on one process or several."""

from __future__ import annotations

import os

import pytest
import torch

from neurocompare.errors import InputError
from neurocompare.execute import completed


def square(x: int) -> int:
    return x * x


def fail_at_two(x: int) -> int:
    if x == 2:
        raise InputError("two is refused; try three")
    return x


def threads_and_process(x: int) -> tuple[int, int]:
    return torch.get_num_threads(), os.getpid()


def test_one_worker_is_this_process_and_keeps_the_order():
    assert list(completed(square, [(3, 1), (2,)])) == [9, 1, 4]
    assert {pid for _, pid in completed(threads_and_process, [(1, 2)])} == {os.getpid()}


def test_several_workers_give_the_same_and_waves_do_not_mix():
    found = list(completed(square, [(3, 1), (2, 4)], workers=2))
    assert sorted(found[:2]) == [1, 9]
    assert sorted(found[2:]) == [4, 16]


def test_workers_are_other_processes_with_one_thread_each():
    found = set(completed(threads_and_process, [range(4)], workers=2))
    assert {threads for threads, _ in found} == {1}
    assert os.getpid() not in {pid for _, pid in found}


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_error_comes_out_as_it_was_raised(workers):
    with pytest.raises(InputError, match="two is refused; try three"):
        list(completed(fail_at_two, [range(6)], workers))


def test_no_items_no_results():
    assert list(completed(square, [(), ()], workers=2)) == []
