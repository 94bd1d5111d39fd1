"""What becomes of runs that are done or half done when something around them changes."""

import dataclasses
import tomllib

import pytest
from small_sweeps import numbers, small_plan, write_archive

from clhyper.errors import UserError
from clhyper.runs import load
from clhyper.runs.run import run


def test_a_finished_run_is_skipped_with_its_numbers_but_not_when_its_data_has_changed(tmp_path):
    archive = write_archive(tmp_path / "a.npz", classes=4)
    (config,) = small_plan(archive, ["naive"], experiences=2)
    first = run(config, tmp_path / "r")
    again = run(config, tmp_path / "r")
    assert (first.status, again.status) == ("complete", "skipped")
    assert again.metrics == first.metrics
    write_archive(archive, classes=4, images=21)
    with pytest.raises(UserError, match="the data set has changed since this run ended"):
        run(config, tmp_path / "r")


def test_a_run_begun_with_other_threads_goes_on_with_those(tmp_path):
    archive = write_archive(tmp_path / "a.npz", classes=4)
    (config,) = small_plan(archive, ["naive"], experiences=2)

    def stop(progress):
        if progress.experience == 2:
            raise KeyboardInterrupt

    assert config.threads == 1
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "r", stop)
    other = dataclasses.replace(config, threads=2)
    assert run(other, tmp_path / "r").status == "complete"
    assert tomllib.loads((tmp_path / "r" / config.name / "config.toml").read_text())["threads"] == 1
    assert run(config, tmp_path / "alone").status == "complete"
    assert numbers(tmp_path / "r" / config.name) == numbers(tmp_path / "alone" / config.name)


def test_a_finished_run_whose_options_are_no_longer_known_stays_among_the_results(tmp_path):
    archive = write_archive(tmp_path / "a.npz", classes=4)
    (config,) = small_plan(archive, ["naive"], experiences=2)
    accuracy = run(config, tmp_path / "r").metrics["acc"]
    file = tmp_path / "r" / config.name / "config.toml"
    file.write_text(file.read_text().replace("learning_rate", "step_size").replace('"naive"', '"forgotten"'))
    (row,) = load(tmp_path / "r").to_dict("records")
    assert (row["status"], row["strategy"], row["acc"]) == ("complete", "forgotten", accuracy)


def test_a_run_begun_under_another_default_is_not_taken_for_this_one(tmp_path):
    archive = write_archive(tmp_path / "a.npz", classes=4)
    (config,) = small_plan(archive, ["naive"], experiences=2)
    assert run(config, tmp_path / "r").status == "complete"
    file = tmp_path / "r" / config.name / "config.toml"
    file.write_text(file.read_text().replace("learning_rate = 0.001", "learning_rate = 0.1"))
    with pytest.raises(UserError, match=r"begun with learning_rate 0\.1, and 0\.001 is the default now"):
        run(config, tmp_path / "r")
