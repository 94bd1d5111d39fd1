"""A run's strategy rebuilt from its folder."""

import shutil

import numpy as np
import pytest
import torch
from small_sweeps import write_archive
from trained_runs import STRATEGIES, trained_run

import clhyper
from clhyper.errors import UserError
from clhyper.runs.evaluate import evaluate
from clhyper.runs.files import read_json


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("data") / "a.npz", classes=4)


@pytest.fixture(scope="module")
def naive(archive, tmp_path_factory):
    return trained_run(archive, tmp_path_factory.mktemp("naive"), "naive")


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def accuracies(found):
    matrix = clhyper.AccuracyMatrix()
    found.strategy.plugins.append(matrix)
    found.strategy.eval(found.stream.eval_stream)
    return next(iter(matrix.rows.values()))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_run_of_every_strategy_is_rebuilt_and_predicts_as_recorded(strategy, trained_folder):
    folder = trained_folder(strategy)
    before = contents(folder)
    state = torch.get_rng_state()
    found = clhyper.trained(folder)
    assert torch.equal(torch.get_rng_state(), state)
    assert found.config.strategy == strategy
    assert accuracies(found) == found.recorded == read_json(folder / "matrix.json")[-1]
    assert contents(folder) == before


def test_an_unfinished_run_is_as_it_was_after_its_last_finished_experience(archive, tmp_path):
    folder = trained_run(archive, tmp_path, "naive", stop_after=1)
    found = clhyper.trained(str(folder))
    assert (found.experiences, list(found.strategy.model.classes_of)) == (1, [0])
    assert found.recorded[1] is None
    assert accuracies(found) == found.recorded[:1]
    found.strategy.train(found.stream.train_stream[1])  # it can go on
    assert list(found.strategy.model.classes_of) == [0, 1]


@pytest.mark.parametrize("strategy", ["naive", "separate", "partial-hypernetwork"])
def test_an_unfinished_run_is_evaluated_by_what_it_has_learned(strategy, archive, tmp_path):
    found = evaluate(trained_run(archive, tmp_path, strategy, stop_after=1))
    assert found.accuracy[0] == found.recorded[0] is not None
    assert set(found.accuracy[1:]) == {None}
    assert found.use["batch_ms"] > 0


def test_a_pretrained_front_is_not_needed_again(archive, tmp_path):
    stream = clhyper.trained(trained_run(archive, tmp_path, "naive", freeze_depth=0)).stream
    torch.save(stream.backbone().state_dict(), tmp_path / "front.pt")
    folder = trained_run(archive, tmp_path, "separate", front=tmp_path / "front.pt")
    (tmp_path / "front.pt").unlink()
    found = clhyper.trained(folder)
    assert found.strategy.front_source == str(tmp_path / "front.pt")
    assert found.strategy.model.front_frozen
    assert accuracies(found) == found.recorded


def test_images_may_have_moved_or_be_others_but_not_have_changed(archive, tmp_path):
    copy = tmp_path / "copy.npz"
    shutil.copy(archive, copy)
    folder = trained_run(copy, tmp_path, "naive")
    shutil.move(copy, tmp_path / "moved.npz")
    with pytest.raises(UserError, match=r"copy\.npz"):
        clhyper.trained(folder)
    assert clhyper.trained(folder, data=tmp_path / "moved.npz").same_data
    write_archive(copy, classes=4, images=21)
    with pytest.raises(UserError, match="the data set has changed since this run"):
        clhyper.trained(folder)
    others = clhyper.trained(folder, data=copy)
    assert not others.same_data
    assert others.mean == clhyper.trained(folder, data=tmp_path / "moved.npz").mean != others.stream.images.mean
    for classes in (2, 6):
        write_archive(copy, classes=classes)
        with pytest.raises(UserError, match="images of another shape or of other classes"):
            clhyper.trained(folder, data=copy)


def test_images_of_classes_with_other_names_or_in_another_order_are_refused(archive, tmp_path):
    arrays = dict(np.load(archive))

    def named(*names):
        np.savez(tmp_path / "-".join(names), **arrays, class_names=np.array(names))
        return tmp_path / f"{'-'.join(names)}.npz"

    folder = trained_run(named("x", "y", "z", "w"), tmp_path, "naive")
    assert clhyper.trained(folder).same_data
    with pytest.raises(UserError, match="matched by number, and names differ at class 0: 'x' in the run and 'y' here"):
        clhyper.trained(folder, data=named("y", "x", "z", "w"))


class RunsCode:
    def __reduce__(self):
        return exec, ("raise SystemExit('it ran')",)


def damage(folder, case):
    checkpoint = folder / "checkpoint.pt"
    if case == "truncated":
        checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    elif case == "hostile":
        torch.save({"schema": 1, "strategy": RunsCode()}, checkpoint)
    elif case == "list":
        torch.save([1, 2], checkpoint)
    elif case == "schema":
        torch.save({**torch.load(checkpoint), "schema": 99}, checkpoint)
    elif case == "emptied":
        torch.save({"schema": 1}, checkpoint)
    elif case == "other network":
        saved = torch.load(checkpoint)
        saved["strategy"]["model"]["tensors"] = {"w": torch.zeros(2)}
        torch.save(saved, checkpoint)
    elif case == "none":
        checkpoint.unlink()
    elif case == "no config":
        (folder / "config.toml").unlink()
    elif case == "no threads":
        config = folder / "config.toml"
        config.write_text(config.read_text().replace("threads = 1", "threads = 0"))
    elif case == "bad config":
        (folder / "config.toml").write_text("schema = = 1")
    elif case == "other strategy":
        config = folder / "config.toml"
        config.write_text(config.read_text().replace('strategy = "naive"', 'strategy = "niave"'))
    elif case == "gone":
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("truncated", r"checkpoint\.pt: damaged, or no checkpoint of a run"),
        ("hostile", r"checkpoint\.pt: damaged, or no checkpoint of a run"),
        ("list", r"checkpoint\.pt: schema None, this version of clhyper reads schema 1"),
        ("schema", r"checkpoint\.pt: schema 99, this version of clhyper reads schema 1"),
        ("emptied", r"checkpoint\.pt: damaged, or no checkpoint of a run"),
        ("other network", r"doesn't fit the network of config\.toml"),
        ("none", r"no experience finished yet"),
        ("no config", r"no run's folder, which has a config\.toml"),
        ("bad config", r"not TOML"),
        ("no threads", r"threads 0: at least 1"),
        ("other strategy", r"unknown strategy 'niave'"),
        ("gone", r"no such folder"),
    ],
)
def test_a_folder_that_is_no_whole_run_is_refused_with_one_sentence_and_left_alone(case, sentence, naive, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(naive, folder)
    damage(folder, case)
    before = contents(folder) if folder.exists() else {}
    with pytest.raises(UserError, match=sentence) as error:
        clhyper.trained(folder)
    assert "\n" not in str(error.value)
    assert (contents(folder) if folder.exists() else {}) == before


def test_no_data_is_taken_for_a_stream_whose_images_come_with_it(naive, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(naive, folder)
    lines = (folder / "config.toml").read_text().splitlines()
    digits = [line for line in lines if not line.startswith("data")]
    (folder / "config.toml").write_text("\n".join(digits).replace("split-npz", "split-digits"))
    with pytest.raises(UserError, match="split-digits has no option data"):
        clhyper.trained(folder, data="x.npz")


def test_a_front_file_that_changed_is_said_by_finished_and_half_done_runs(archive, naive, tmp_path):
    front = tmp_path / "front.pt"

    def write_front(seed):
        torch.manual_seed(seed)
        torch.save(clhyper.trained(naive).stream.backbone().state_dict(), front)

    write_front(1)
    done = trained_run(archive, tmp_path / "done", "separate", front=front)
    half = trained_run(archive, tmp_path / "half", "separate", front=front, stop_after=1)
    assert read_json(done / "result.json")["front_digest"]
    trained_run(archive, tmp_path / "done", "separate", front=front)  # unchanged: skipped
    write_front(2)
    with pytest.raises(UserError, match="the front's file has changed since this run ended"):
        trained_run(archive, tmp_path / "done", "separate", front=front)
    with pytest.raises(AssertionError, match="the front's file has changed since this run began"):
        trained_run(archive, tmp_path / "half", "separate", front=front)
    write_front(1)
    trained_run(archive, tmp_path / "half", "separate", front=front)
    assert read_json(half / "result.json")["status"] == "complete"
