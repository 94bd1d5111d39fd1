import threading
import time

import pytest
import torch

from clhyper.data.rows import Loader
from clhyper.threads import Turns, turns


def test_nobody_works_while_a_thread_is_alone_and_all_go_on_afterwards():
    turns, alone, seen, steps = Turns(), threading.Event(), [], [0] * 4

    def work(number):
        with turns.working(), turns.working():
            for _ in range(200):
                turns.rest()
                seen.append(alone.is_set())
                steps[number] += 1
                time.sleep(0.0005)
                if steps[number] == 50 * (number + 1):
                    with turns.alone():
                        alone.set()
                        time.sleep(0.01)
                        alone.clear()

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert steps == [200] * 4
    assert not any(seen)


def test_a_thread_that_begins_to_work_waits_for_the_one_that_is_alone():
    turns, order = Turns(), []

    def begin():
        with turns.working():
            order.append("work")

    with turns.alone():
        thread = threading.Thread(target=begin, daemon=True)
        thread.start()
        time.sleep(0.05)
        order.append("alone")
    thread.join(10)
    assert order == ["alone", "work"]


def test_being_alone_ends_with_an_error_inside_and_work_may_be_left_by_one():
    turns = Turns()
    with turns.working():
        with pytest.raises(ValueError, match="inside"), turns.alone():
            raise ValueError("inside")
        with turns.working():
            turns.rest()
    with turns.alone():
        pass


class SlowImages:
    """Images that take a while to read."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return self.rows

    def x(self, rows):
        time.sleep(0.01)
        return rows[:, None].float()


def test_a_thread_that_waits_for_its_images_lets_others_be_alone():
    seen, device = [], torch.device("cpu")

    def read():
        with turns.working():
            seen.extend(len(block) for block in Loader(SlowImages(200), device).in_order(10))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()

    def ask():
        for _ in range(5):
            with turns.alone():
                time.sleep(0.005)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    for thread in (reader, asking):
        thread.join(30)
        assert not thread.is_alive()
    assert seen == [10] * 20


def test_going_on_from_a_checkpoint_leaves_the_random_numbers_that_others_draw():
    import strategies
    from benchmarks import SplitDigits

    stream = SplitDigits()
    first, again = (strategies.Naive(stream.backbone(), epochs=1) for _ in range(2))
    first.train(stream.train_stream[0], eval_streams=[])
    before = torch.get_rng_state()
    again.restore(first.state())
    assert torch.equal(torch.get_rng_state(), before)
