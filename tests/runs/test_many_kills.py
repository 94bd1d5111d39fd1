"""Two hundred kills at random moments of a sweep of every strategy: nothing is lost and nothing changes."""

import random
import shutil
import time

import pytest
from small_sweeps import assert_same_numbers, finished_records, run_to_end, small_words, start, wait_until, workers

KILLS = 200


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_sweep_killed_two_hundred_times_loses_nothing_and_ends_with_the_same_numbers(
    archive, uninterrupted, tmp_path
):
    results, moments = tmp_path / "r", random.Random(2)
    words = [*small_words(archive, results, jobs=2), "--quiet"]
    finished: dict = {}
    longest, kills, ends = 4.0, 0, 0
    while kills < KILLS:
        sweep = start(words, tmp_path / "log")
        sweep.join(moments.uniform(0, longest))
        if sweep.exitcode is None:
            sweep.kill()
            sweep.join()
            kills += 1
        else:
            assert sweep.exitcode == 0, (tmp_path / "log").read_text()
        wait_until(lambda: not workers(), "the killed sweep's processes are gone", seconds=30)
        for name, records in finished.items():
            assert finished_records(results)[name][: len(records)] == records, f"lost after {kills} kills"
        finished = finished_records(results)
        assert not list(results.glob("*/failure.json")), "a kill is no failure of a run"
        if sweep.exitcode == 0:  # nothing is left to kill: take the runs away and kill on
            assert_same_numbers(results, uninterrupted)
            shutil.rmtree(results)
            finished, ends = {}, ends + 1
        time.sleep(0.01)
    assert run_to_end(words, tmp_path / "last")[0] == 0
    assert_same_numbers(results, uninterrupted)
    assert ends, "sweeps came to their end in between"
