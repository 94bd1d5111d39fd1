import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from clhyper.data.batches import Batches, TrainingBatches
from clhyper.data.rows import Loader, OnDevice

DEVICE = torch.device("cpu")


class Numbers:
    """Stored rows, each its own number, that say how many were read at once."""

    def __init__(self, rows):
        self.stored, self.reads = torch.arange(rows)[:, None], []

    def __len__(self):
        return len(self.stored)

    def x(self, chosen):
        self.reads.append(len(chosen))
        return self.stored[chosen]


def sources(rows):
    numbers = Numbers(rows)
    return OnDevice(numbers.stored), Loader(numbers, DEVICE)


def training_batches(source, rows, size, seed=0, **options):
    y = torch.arange(rows)
    return TrainingBatches(source, y, -y, size, torch.Generator().manual_seed(seed), **options)


def epoch(batches):
    return list(batches.epoch(lambda count: torch.arange(count)[:, None], lambda steps: {"n": torch.arange(steps)}))


@settings(deadline=None, max_examples=50)
@given(rows=some.integers(1, 200), size=some.integers(1, 250), steps=some.integers(1, 5), seed=some.integers(0, 9))
def test_training_batches_are_whole_shuffled_and_without_repeats(rows, size, steps, seed):
    wanted = rows // size if rows >= size else 1
    for source in sources(rows):
        batches = training_batches(source, rows, size, seed, steps=steps)
        blocks = epoch(batches)
        assert [block.steps for block in blocks[:-1]] == [steps] * (len(blocks) - 1)
        assert sum(block.steps for block in blocks) == len(batches) == wanted
        seen = [block.step(number, block.x) for block in blocks for number in range(block.steps)]
        assert {len(y) for (_, y, _), _ in seen} == {min(rows, size)}
        assert [int(drawn["n"]) for _, drawn in seen] == list(range(wanted))
        numbers = torch.cat([y for (_, y, _), _ in seen])
        assert len(numbers.unique()) == len(numbers)
        assert torch.equal(torch.cat([block.draws for block in blocks])[:, 0], torch.arange(len(numbers)))
        for (x, y, tasks), _ in seen:
            assert torch.equal(x[:, 0], y)
            assert torch.equal(tasks, -y)


@settings(deadline=None, max_examples=50)
@given(rows=some.integers(1, 200), size=some.integers(1, 250))
def test_evaluation_batches_are_all_rows_in_order(rows, size):
    y = torch.arange(rows)
    for source in sources(rows):
        batches = Batches(source, y, -y, size, prepare=lambda x: 2 * x)
        seen = list(batches)
        assert len(seen) == len(batches)
        assert torch.equal(torch.cat([labels for _, labels, _ in seen]), y)
        assert torch.equal(torch.cat([x[:, 0] for x, _, _ in seen]), 2 * y)
        assert torch.equal(torch.cat([tasks for _, _, tasks in seen]), -y)
        assert all(len(part) <= size for batch in seen for part in batch)


def test_every_epoch_has_another_order_and_drops_other_rows():
    batches = training_batches(sources(100)[0], 100, 30)
    epochs = [torch.cat([block.y for block in epoch(batches)]) for _ in range(20)]
    assert len({tuple(order.tolist()) for order in epochs}) == 20
    assert set(torch.cat(epochs).tolist()) == set(range(100))


def test_blocks_and_loaders_change_no_order():
    orders = [
        torch.cat([block.x for block in epoch(training_batches(source, 100, 30, steps=steps))])
        for source in sources(100)
        for steps in (1, 2, 7)
    ]
    assert all(torch.equal(order, orders[0]) for order in orders)


def test_a_loader_reads_a_few_blocks_ahead_and_never_more():
    numbers = Numbers(1000)
    blocks = Loader(numbers, DEVICE).blocks(torch.arange(1000), 10)
    for used in range(1, 50):
        assert int(next(blocks)[0, 0]) == 10 * (used - 1)
        assert len(numbers.reads) <= used + 2
    blocks.close()
    assert set(numbers.reads) == {10}


def test_what_a_loader_fails_at_reaches_the_one_who_trains():
    class Torn(Numbers):
        def x(self, chosen):
            raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        epoch(training_batches(Loader(Torn(10), DEVICE), 10, 3))


def test_each_visit_takes_the_drawn_view_of_its_own_image():
    views = torch.stack([torch.arange(50) + 1000 * view for view in range(3)]).flatten()[:, None]
    batches = training_batches(OnDevice(views), 50, 20, are_features=True, views=3)
    drawn = torch.randint(3, (40, 1))
    blocks = list(batches.epoch(lambda count: drawn, lambda steps: {}))
    x, y = torch.cat([block.x for block in blocks])[:, 0], torch.cat([block.y for block in blocks])
    assert torch.equal(x, y + 1000 * drawn[:, 0])


@pytest.mark.parametrize("purpose", ["batches", "augmentation", "replay", "drift", "views"])
def test_random_numbers_depend_on_seed_experience_and_purpose_alone(purpose):
    from clhyper.engine.seeds import PURPOSES, derived_seed, generator, seeded

    seeds = {derived_seed(s, e, p) for s in range(4) for e in range(4) for p in PURPOSES}
    assert len(seeds) == 16 * len(PURPOSES)
    first = torch.rand(3, generator=generator(1, 2, purpose))
    outside = torch.get_rng_state()
    with seeded(5, 0):
        inside = torch.rand(3)
    assert torch.equal(torch.get_rng_state(), outside)
    assert torch.equal(first, torch.rand(3, generator=generator(1, 2, purpose)))
    with seeded(5, 0):
        assert torch.equal(inside, torch.rand(3))
