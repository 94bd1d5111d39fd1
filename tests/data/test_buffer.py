from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from clhyper.data.buffer import BalancedBuffer


def example(task, label, number):
    """A feature that tells which example it is."""
    return torch.tensor([task, label, number], dtype=torch.float32)


class Stream:
    """Feeds a buffer examples that carry their own task, label and number."""

    def __init__(self, capacity, seed=0):
        self.buffer = BalancedBuffer(capacity)
        self.generator = torch.Generator().manual_seed(seed)
        self.given = Counter()
        self.reads = []

    def bring(self, task, *counts):
        """As many examples of the task's label 0, 1, ... as `counts` says, in mixed order."""
        rows = []
        for label, count in enumerate(counts):
            for _ in range(count):
                rows.append(example(task, label, self.given[task, label]))
                self.given[task, label] += 1
        order = torch.randperm(len(rows), generator=self.generator).tolist()
        x = torch.stack([rows[i] for i in order])

        def read(chosen):
            self.reads.append(len(chosen))
            return x[chosen]

        self.buffer.update(x[:, 1].long(), x[:, 0].long(), read, self.generator)
        return self.held()

    def held(self):
        buffer = self.buffer
        assert len(buffer) == len(buffer.x) == len(buffer.y) == len(buffer.tasks)
        for x, y, task in zip(buffer.x.tolist(), buffer.y.tolist(), buffer.tasks.tolist(), strict=True):
            assert x[:2] == [task, y]
        assert len({tuple(x) for x in buffer.x.tolist()}) == len(buffer)
        return Counter(zip(buffer.tasks.tolist(), buffer.y.tolist(), strict=True))


def test_labels_that_restart_in_each_task_are_balanced_as_other_classes():
    stream = Stream(12)
    assert stream.bring(0, 30, 30) == {(0, 0): 6, (0, 1): 6}
    assert stream.bring(1, 30, 30) == {(0, 0): 3, (0, 1): 3, (1, 0): 3, (1, 1): 3}
    assert stream.bring(2, 30, 30) == {(task, label): 2 for task in range(3) for label in range(2)}


def test_what_a_rare_class_cannot_fill_goes_to_the_others():
    stream = Stream(20)
    assert stream.bring(0, 2, 50, 50) == {(0, 0): 2, (0, 1): 9, (0, 2): 9}


@settings(deadline=None, max_examples=60)
@given(
    capacity=some.integers(0, 40),
    tasks=some.lists(some.lists(some.integers(1, 25), min_size=1, max_size=4), min_size=1, max_size=5),
    seed=some.integers(0, 1000),
)
def test_capacity_is_kept_and_shares_are_as_equal_as_the_examples_allow(capacity, tasks, seed):
    stream = Stream(capacity, seed)
    possible = Counter()  # the most that each key can still fill: what was dropped can't come back
    for task, counts in enumerate(tasks):
        possible.update({(task, label): count for label, count in enumerate(counts)})
        held = stream.bring(task, *counts)
        assert sum(held.values()) == min(capacity, sum(possible.values()))
        unfilled = [held[key] for key in possible if held[key] < possible[key]]
        if unfilled:
            assert max(held.values(), default=0) <= min(unfilled) + 1
        possible = Counter(held)


def test_a_buffer_of_capacity_zero_stays_empty():
    stream = Stream(0)
    assert stream.bring(0, 5, 5) == {}


def test_only_the_chosen_examples_are_read():
    stream = Stream(10)
    stream.bring(0, 500, 500)
    stream.bring(1, 500, 500)
    assert stream.reads[0] == 10
    assert 4 <= stream.reads[1] <= 6


def test_what_is_kept_of_earlier_tasks_is_a_part_of_what_was_stored():
    stream = Stream(12)
    stream.bring(0, 40, 40)
    before = {tuple(x) for x in stream.buffer.x.tolist()}
    stream.bring(1, 40, 40)
    after = {tuple(x) for x in stream.buffer.x.tolist() if x[0] == 0}
    assert len(after) == 6
    assert after < before


def test_each_example_of_a_class_is_as_likely_to_be_stored():
    counts = Counter()
    for seed in range(300):
        stream = Stream(4, seed)
        stream.bring(0, 10)
        counts.update(int(x[2]) for x in stream.buffer.x)
    assert set(counts) == set(range(10))
    assert max(counts.values()) < 2 * min(counts.values())


def test_a_class_that_comes_again_keeps_old_and_new_in_proportion_to_what_came():
    stream = Stream(20)
    stream.bring(0, 300)
    stream.bring(0, 100)
    late = sum(int(x[2]) >= 300 for x in stream.buffer.x)
    assert late == 5
    assert stream.held() == {(0, 0): 20}
    stream.bring(0, 400)
    assert sum(int(x[2]) >= 400 for x in stream.buffer.x) == 10


@pytest.mark.parametrize("learned", [1, 3])
def test_a_restored_buffer_goes_on_as_the_saved_one(learned, tmp_path):
    first = Stream(15)
    for task in range(learned):
        first.bring(task, 20, 20)
    torch.save(first.buffer.state(), tmp_path / "buffer.pt")
    second = Stream(15)
    second.buffer.restore(torch.load(tmp_path / "buffer.pt", weights_only=True), torch.device("cpu"))
    assert second.held() == first.held()
    second.given = Counter(first.given)
    for stream in (first, second):
        stream.generator.manual_seed(9)
        stream.bring(0, 30, 5)
        stream.bring(learned, 20, 20)
    assert torch.equal(first.buffer.x, second.buffer.x)
    assert torch.equal(first.buffer.y, second.buffer.y)
    assert torch.equal(first.buffer.tasks, second.buffer.tasks)
