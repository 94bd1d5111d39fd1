"""Operations that a counter is told the part of, and backward passes that nobody tells the part of."""

import threading

import torch
from torch.utils.checkpoint import checkpoint

from clhyper.evaluation.counter import OperationCounter
from clhyper.parts import PARTS, part


def test_a_part_within_drift_is_drift_and_one_within_another_part_is_its_own():
    x = torch.ones(2, 3)
    with OperationCounter() as counter:
        with part("drift"), part("generation"):
            x @ torch.ones(3, 5)
        with part("back"):
            with part("generation"):
                x @ torch.ones(3, 7)
            x @ torch.ones(3, 11)
        x @ torch.ones(3, 13)
    assert counter.macs() == {"front": 0, "generation": 42, "back": 66, "drift": 30, "other": 78}


def test_what_is_computed_again_in_a_backward_pass_belongs_to_the_part_that_it_was_first_computed_in():
    x, weight = torch.ones(2, 3), torch.ones(3, 5, requires_grad=True)
    other = torch.ones(5, 1, requires_grad=True)
    with OperationCounter() as counter:
        with part("front"):
            hidden = checkpoint(lambda w: (x @ w).square(), weight, use_reentrant=False)
        with part("back"):
            loss = (hidden @ other).sum()
        with part("generation"):  # a part that is under way elsewhere doesn't count
            loss.backward()
    assert counter.macs() == {"front": 30 + 30 + 30, "generation": 0, "back": 30, "drift": 0, "other": 0}


def test_a_backward_pass_in_another_thread_as_on_a_gpu_belongs_to_the_forward_passes_parts():
    with OperationCounter() as counter:
        loss, wanted = forward(5)
        counted_before = counter.macs()

        def backward():
            with counter.mode:  # as the engine of autograd hands it to the threads of devices
                torch.ones(3, 3, requires_grad=True).square().sum().backward()  # numbers the thread's own nodes
                loss.backward()

        thread = threading.Thread(target=backward)
        thread.start()
        thread.join()
    assert {name: counter.macs()[name] - counted_before[name] for name in PARTS} == wanted


def forward(width):
    """A loss behind a front and a back, and what its backward pass takes."""
    first, second = torch.ones(3, width, requires_grad=True), torch.ones(width, 7, requires_grad=True)
    with part("front"):
        hidden = torch.ones(2, 3) @ first
    with part("back"):
        loss = (hidden @ second).sum()
    nothing = dict.fromkeys(PARTS, 0)
    return loss, {**nothing, "front": 2 * 3 * width, "back": 2 * 2 * width * 7}


def test_threads_that_count_at_once_count_their_own():
    both, found = threading.Barrier(2, timeout=60), {}

    def count(width):
        with OperationCounter() as counter:
            both.wait()
            with part("drift"):
                both.wait()
                torch.ones(2, 3) @ torch.ones(3, width)
                both.wait()
            both.wait()
            loss, _ = forward(width)
            both.wait()
            loss.backward()
        found[width] = counter.macs()

    threads = [threading.Thread(target=count, args=(width,)) for width in (5, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for width in (5, 11):
        wanted = {"front": 2 * 6 * width, "back": 3 * 14 * width, "drift": 6 * width}
        assert found[width] == {**dict.fromkeys(PARTS, 0), **wanted}


def test_counters_leave_nothing_behind_in_the_thread():
    with OperationCounter(), part("back"):
        forward(5)
    x = torch.ones(2, 3, requires_grad=True)
    with part("front"):
        y = x @ torch.ones(3, 5)
    with OperationCounter() as counter:
        y.sum().backward()
    assert counter.macs() == {name: 30 if name == "other" else 0 for name in PARTS}
