"""Every speed script prints a whole table."""

import pytest

from benchmarks.speed import devices, engines, loader, setting, shares, side_by_side, tasks
from clhyper.backbones import SmallConvNet

SMALL = {"batch_size": 16, "threads": 1}


@pytest.fixture(autouse=True)
def small_network(monkeypatch):
    monkeypatch.setattr(setting, "BACKBONE", "small-convnet")
    monkeypatch.setattr(setting, "DEPTH", 1)


def rows(capsys):
    """The table's rows under its head, as lists of cells."""
    printed = capsys.readouterr().out
    table = [line for line in printed.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


@pytest.mark.slow
def test_every_strategy_is_timed_under_the_eager_engine(capsys):
    engines.main(engines.Options(engines=("eager",), experiences=2, epochs=2, images=32, eager_images=32, **SMALL))
    found = rows(capsys)
    assert [row[0] for row in found] == list(setting.STRATEGIES)
    assert all(float(row[2]) > 0 and row[-2:] == ["eager", "1"] for row in found)


def test_an_engine_that_fails_is_a_row_that_says_why_and_the_others_are_timed(capsys):
    options = engines.Options(
        strategies=("naive",), engines=("warp", "eager"), experiences=1, epochs=2, images=16, eager_images=16, **SMALL
    )
    engines.main(options)
    failed, timed = rows(capsys)
    assert "warp" in failed[2]
    assert float(timed[2]) > 0


def test_runs_side_by_side_are_timed_together(capsys):
    side_by_side.main(side_by_side.Options(runs=(1, 2), earlier=1, epochs=2, images=32, engine="eager", **SMALL))
    alone, two = rows(capsys)
    assert (alone[0], two[0]) == ("1", "2")
    assert float(two[1]) == pytest.approx(2 * float(two[2]), rel=0.01)


@pytest.mark.slow
def test_a_sweep_is_timed_under_each_executor(capsys):
    small = {"runs": 1, "experiences": 2, "epochs": 1, "threads": 1}  # of the backbone that stands there
    devices.main(devices.Options(device="cpu", devices=(1,), **small))
    found = rows(capsys)
    assert [row[:2] for row in found] == [["local", "1"], ["ray", "1"]]
    assert all(float(row[3]) == pytest.approx(3600 / float(row[2]), rel=0.02) and row[4] == "1" for row in found)


def test_steps_are_timed_and_memory_measured_by_the_number_of_earlier_tasks(capsys):
    tasks.main(tasks.Options(earlier_tasks=(1, 3), epochs=2, images=32, engine="eager", **SMALL))
    found = rows(capsys)
    assert [row[1] for row in found] == ["1", "3"] * 2
    assert all(float(row[2]) > 0 and float(row[4]) > 0 for row in found)


def test_avalanches_own_naive_is_timed_beside_ours(capsys):
    loader.main(loader.Options(engines=("eager",), workers=0, images=32, epochs=2, **SMALL))
    theirs, ours = rows(capsys)
    assert float(theirs[2]) == 1
    assert float(ours[2]) == pytest.approx(float(theirs[1]) / float(ours[1]), rel=0.02)


def test_the_parts_of_a_step_add_up_to_all_of_it(capsys):
    shares.main(shares.Options(strategies=("partial-hypernetwork", "naive"), earlier=1, steps=2, **SMALL))
    hypernetwork, naive = rows(capsys)
    for row in (hypernetwork, naive):
        assert sum(map(float, row[2:])) == pytest.approx(100, abs=5)
    part = dict(zip(shares.PARTS, hypernetwork[2:], strict=True))
    assert float(part["drift"]) > 0
    assert float(part["generation"]) > 0
    assert dict(zip(shares.PARTS, naive[2:], strict=True))["drift"] == "0"


def test_a_stream_of_synthetic_images_has_the_asked_images_in_each_experience():
    stream = setting.synthetic_stream([20, 7])
    assert [len(experience.images) for experience in stream.train_stream] == [20, 7]
    assert [experience.classes_by_task for experience in stream.train_stream] == [
        {0: [0, 1, 2, 3, 4]},
        {1: [0, 1, 2, 3, 4]},
    ]
    assert isinstance(stream.backbone("small-convnet"), SmallConvNet)
