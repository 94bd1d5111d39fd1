import functools
from pathlib import Path

import pytest
from small_sweeps import all_numbers, longer_plan, small_plan, write_archive
from trained_runs import trained_run

from clhyper.runs.run import run


@pytest.fixture(scope="session")
def archive(tmp_path_factory) -> Path:
    return write_archive(tmp_path_factory.mktemp("data") / "small.npz")


def numbers_of(configs, results: Path) -> dict:
    for config in configs:
        assert run(config, results).status == "complete"
    return all_numbers(results)


@pytest.fixture(scope="session")
def uninterrupted(archive, tmp_path_factory) -> dict:
    """Numbers of every strategy's run, made one after the other in this process."""
    return numbers_of(small_plan(archive), tmp_path_factory.mktemp("uninterrupted"))


@pytest.fixture(scope="session")
def longer(archive, tmp_path_factory) -> dict:
    """Numbers of longer runs, made one after the other in this process."""
    return numbers_of(longer_plan(archive), tmp_path_factory.mktemp("longer"))


@pytest.fixture(scope="session")
def trained_folder(tmp_path_factory):
    """Makes, once, the folder of a strategy's run of two experiences; to be read, not changed."""
    results = tmp_path_factory.mktemp("trained")
    archive = write_archive(results / "four.npz", classes=4)

    @functools.cache
    def folder(strategy: str, task_labels: bool = True) -> Path:
        return trained_run(archive, results, strategy, norm="batch", task_labels=task_labels)

    return folder
