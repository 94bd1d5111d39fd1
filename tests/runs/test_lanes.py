"""How many runs go side by side: what is counted, and what follows from it."""

import ast
import gc
import random
import threading
import time

import numpy as np
import pytest
import torch
from small_sweeps import STRATEGIES, small_plan

from clhyper import registry
from clhyper.engine.seeds import seed_everything_else, seeded
from clhyper.runs import files
from clhyper.runs.lanes import Lane, Seen, Throughput, decide
from clhyper.runs.run import is_out_of_memory, run
from clhyper.threads import process

GIB = float(2**30)
START = Seen(0, 0.0, 100 * GIB)


# What auto decides


def test_the_first_run_is_alone():
    assert decide([START]) == 1


def test_runs_are_doubled_while_all_together_get_clearly_faster():
    seen = [START]
    for lanes, rate in ((1, 100.0), (2, 180.0), (4, 300.0), (8, 400.0), (16, 460.0)):
        assert decide(seen) == lanes
        seen.append(Seen(lanes, rate, (100 - lanes) * GIB))
    assert decide(seen) == 16


@pytest.mark.parametrize("rate", [50.0, 100.0, 109.0])
def test_more_runs_that_are_no_clear_gain_are_given_up(rate):
    history = [START, Seen(1, 60.0, 98 * GIB), Seen(2, 100.0, 96 * GIB), Seen(4, rate, 92 * GIB)]
    assert decide(history) == 2


@pytest.mark.parametrize(("free", "lanes"), [(50.0, 4), (24.1, 4), (23.9, 3), (11.9, 2), (0.0, 2)])
def test_no_more_runs_are_added_than_find_memory(free, lanes):
    history = [Seen(0, 0.0, (free + 20) * GIB), Seen(1, 60.0, (free + 10) * GIB), Seen(2, 100.0, free * GIB)]
    assert decide(history) == lanes  # each took 10 GiB, and a fifth more must be free


def test_where_memory_is_unknown_throughput_alone_decides():
    assert decide([Seen(0, 0.0, None), Seen(1, 60.0, None)]) == 2


# What is counted


@pytest.fixture
def clock():
    class Clock:
        now = 0.0

        def __call__(self) -> float:
            return self.now

    return Clock()


def test_throughput_is_that_of_all_lanes_once_each_is_training(clock):
    throughput = Throughput(clock)
    throughput.restart(range(2))
    throughput.add(0, 1000)
    clock.now = 10.0
    assert throughput.rate() is None, "the other one still loads or captures"
    throughput.add(1, 1000)
    throughput.add(0, 30)
    clock.now = 20.0
    assert throughput.rate() is None, "the other one has told of nothing since"
    throughput.add(1, 20)
    assert throughput.rate() == 5.0


def test_throughput_is_known_only_after_some_seconds_and_counted_anew_after_a_restart(clock):
    throughput = Throughput(clock)
    throughput.restart(range(1))
    throughput.add(0, 1)
    throughput.add(0, 100)
    clock.now = 1.0
    assert throughput.rate() is None
    clock.now = 5.0
    assert throughput.rate() == 20.0
    throughput.restart(range(1))
    assert throughput.rate() is None


def test_steps_of_many_threads_are_all_counted(clock):
    throughput = Throughput(clock)
    throughput.restart(range(8))
    for lane in range(8):
        throughput.add(lane, 0)
    work = [threading.Thread(target=lambda n=n: [throughput.add(n, 1) for _ in range(2000)]) for n in range(8)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    clock.now = 10.0
    assert throughput.rate() == 1600.0


def test_a_lane_knows_how_many_there_were_at_most_since_it_was_asked():
    lane = Lane()
    for lanes in (1, 3, 2):
        lane.beside(lanes)
    assert (lane.most(), lane.most(), lane.ever) == (3, 2, 3)
    lane.beside(1)
    assert (lane.most(), lane.most(), lane.ever) == (2, 1, 3)


# What threads share


def test_only_one_thread_at_a_time_has_the_random_state_seeded():
    with seeded(0, 0):
        alone = torch.rand(3)
    inside, drawn = threading.Event(), []

    def other():
        inside.set()
        with seeded(1, 0):
            drawn.append(torch.rand(1000))
        seed_everything_else(2, 0)

    with seeded(0, 0):
        thread = threading.Thread(target=other)
        thread.start()
        inside.wait()
        thread.join(0.1)
        assert torch.equal(torch.rand(3), alone)
        assert not drawn
    thread.join()
    assert len(drawn) == 1


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_draws_from_no_global_random_state_so_that_others_beside_it_repeat_theirs(strategy, archive, tmp_path):
    (config,) = small_plan(archive, [strategy])
    assert run(config, tmp_path).status == "complete"
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()
    seed_everything_else(config.seed, 0 if strategy == "joint" else 3)
    assert torch.equal(after[0], torch.get_rng_state())
    assert after[1] == random.getstate()
    assert all(np.array_equal(a, b) for a, b in zip(after[2], np.random.get_state(), strict=True))


def test_strategies_are_read_in_several_threads_though_python_parses_in_one():
    errors = []

    def read():
        try:
            for entry in registry.entries("strategy").values():
                registry._parsed.__wrapped__(entry.path, 0)
        except BaseException as error:
            errors.append(error)

    def let_others(phase, info):
        time.sleep(0.0002)

    threshold = gc.get_threshold()
    gc.callbacks.append(let_others)
    gc.set_threshold(100, 1000, 1000)  # so that threads change in the middle of parsing, as they may
    try:
        threads = [threading.Thread(target=read) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.set_threshold(*threshold)
        gc.callbacks.remove(let_others)
    assert errors == []


def test_parsing_is_repeated_where_another_threads_was_in_the_way(monkeypatch):
    refused = iter([SystemError("AST constructor recursion depth mismatch (before=57, after=44)")] * 3)
    parse = ast.parse

    def refuse_at_first(*what, **how):
        for error in refused:
            raise error
        return parse(*what, **how)

    monkeypatch.setattr(ast, "parse", refuse_at_first)
    registry._light_module.cache_clear()
    assert registry.find("strategy", "naive").options()
    assert next(refused, None) is None


def test_a_process_that_is_to_end_waits_until_its_threads_have_written(monkeypatch):
    monkeypatch.setattr(files, "_WRITING", threading.RLock())
    written, let_go = threading.Event(), threading.Event()

    def write():
        with files.uninterrupted():
            let_go.wait(30)
            written.set()

    def end():
        files.wait_for_writing()
        ended.append(written.is_set())

    ended: list[bool] = []
    writer = threading.Thread(target=write)
    writer.start()
    ender = threading.Thread(target=end)
    ender.start()
    ender.join(0.1)
    assert not ended
    let_go.set()
    ender.join()
    writer.join()
    assert ended == [True]


def test_out_of_memory_is_known_by_the_root_of_an_error():
    def raised(error: Exception, cause: Exception | None = None) -> Exception:
        try:
            raise error from cause
        except Exception as caught:
            return caught

    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"))
    assert is_out_of_memory(raised(ValueError("capture failed"), torch.OutOfMemoryError("no room")))
    assert not is_out_of_memory(ValueError("a file about being out of memory"))
    assert not is_out_of_memory(RuntimeError("shapes don't fit"))


def test_the_lock_of_a_process_may_be_taken_twice_by_one_thread():
    with process, seeded(0, 0), seeded(0, 1):
        assert torch.rand(1).item() >= 0
