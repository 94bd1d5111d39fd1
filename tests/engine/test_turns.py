import threading
import time

import pytest

from clhyper.threads import Turns


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
