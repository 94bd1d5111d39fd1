"""Runs of a static hypernetwork at depth 0, where the first convolution is frozen in a back that is generated."""

import json

import pytest
from small_sweeps import all_numbers, assert_same_numbers

from clhyper.runs import plan
from clhyper.runs.run import run


def a_run(**options):
    stream = {"backbone": "small-convnet", "experiences": 4, "images_each": 48}
    (config,) = plan("split-digits", ["static-hypernetwork"], benchmark_options=stream, strategy_options=options)
    return config


@pytest.mark.parametrize("moment", [2, 3])
def test_a_run_stopped_after_an_experience_ends_with_the_same_numbers(moment, tmp_path):
    config = a_run(epochs=1, batch_size=16, embedding=8)
    assert run(config, tmp_path / "straight").status == "complete"

    def stop(progress):
        if progress.experience == moment:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "stopped", stop)
    assert run(config, tmp_path / "stopped").status == "complete"
    assert_same_numbers(tmp_path / "stopped", all_numbers(tmp_path / "straight"))


def test_a_run_says_what_the_paper_counts(tmp_path):
    """16 (64 x 64 + 64) + 64 x 144 + 144, and 2 + 8 tiles of 64, for the small convnet's two generated kernels."""
    config = a_run(epochs=1)
    run(config, tmp_path)
    cost = json.loads((tmp_path / config.name / "result.json").read_text())["cost"]
    row = 2 * (16 + 32 + 64) + 65 * 3  # norms, and the classifier of three classes
    assert cost["trainable_parameters"] == 75_920 + 10 * 64 + row
    assert cost["generated_parameters"] == 10 * 16 * 16 * 9 + row
    assert cost["frozen_parameters"] == 9 * 16 + 3 * (10 * 64 + row)
    assert cost["bytes_per_task"] == 4 * (10 * 64 + row + 2 * (16 + 32 + 64)) + 3 * 8  # and running statistics
