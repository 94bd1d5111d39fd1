"""Whatever is in its folder, a run starts or goes on, or says in a sentence why it can't; nothing is executed."""

import shutil

import pytest
import torch
from small_sweeps import finished_records, numbers, small_plan

from clhyper.runs.run import run


@pytest.fixture(scope="module")
def half_done(archive, tmp_path_factory) -> tuple:
    """A run's folder after two of four experiences."""
    results = tmp_path_factory.mktemp("half")
    (config,) = small_plan(archive, ["partial-hypernetwork"])

    class Enough(BaseException):
        pass

    def stop(progress):
        if progress.experience == 3:
            raise Enough

    with pytest.raises(Enough):
        run(config, results, stop)
    assert len(finished_records(results)[config.name]) == 2
    return config, results


def damage_temporary(folder):
    (folder / ".checkpoint.pt.4711").write_bytes(b"half a file")
    (folder / ".matrix.json.4711").write_bytes(b"[[")


def damage_experiences_ahead(folder):
    lines = (folder / "experiences.jsonl").read_text().splitlines()
    (folder / "experiences.jsonl").write_text("\n".join([*lines, lines[-1], '{"experience": 3, "accu']))


def damage_experiences_gone(folder):
    (folder / "experiences.jsonl").unlink()
    (folder / "matrix.json").unlink()


def damage_matrix(folder):
    (folder / "matrix.json").write_text((folder / "matrix.json").read_text()[:9])


def damage_result(folder):
    (folder / "result.json").write_text('{"schema": 1, "status": "comp')


def damage_config(folder):
    (folder / "config.toml").write_text("benchm")


def damage_checkpoint_half(folder):
    content = (folder / "checkpoint.pt").read_bytes()
    (folder / "checkpoint.pt").write_bytes(content[: len(content) // 2])


def damage_checkpoint_empty(folder):
    (folder / "checkpoint.pt").write_bytes(b"")


def damage_checkpoint_text(folder):
    (folder / "checkpoint.pt").write_text("this is no checkpoint")


def damage_checkpoint_foreign(folder):
    torch.save({"weight": torch.ones(3)}, folder / "checkpoint.pt")


def damage_checkpoint_list(folder):
    torch.save([1, 2], folder / "checkpoint.pt")


def damage_checkpoint_lacking(folder):
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    del content["strategy"]
    torch.save(content, folder / "checkpoint.pt")


def damage_results_of_other_kinds(folder):
    (folder / "result.json").write_text("[1, 2]")
    (folder / "failure.json").write_text('"failed"')
    (folder / "matrix.json").write_text("7")


@pytest.mark.parametrize(
    ("damage", "kept"),
    [
        (damage_temporary, 2),
        (damage_experiences_ahead, 2),
        (damage_experiences_gone, 2),
        (damage_matrix, 2),
        (damage_result, 2),
        (damage_config, 2),
        (damage_checkpoint_half, 0),
        (damage_checkpoint_empty, 0),
        (damage_checkpoint_text, 0),
        (damage_checkpoint_foreign, 0),
        (damage_checkpoint_list, 0),
        (damage_checkpoint_lacking, 0),
        (damage_results_of_other_kinds, 2),
    ],
)
def test_a_run_goes_on_from_whatever_a_crash_has_left(damage, kept, half_done, uninterrupted, tmp_path):
    config, before = half_done
    shutil.copytree(before, tmp_path / "r")
    folder = tmp_path / "r" / config.name
    records = finished_records(tmp_path / "r")[config.name]
    damage(folder)
    damaged = (folder / "checkpoint.pt").read_bytes()
    assert run(config, tmp_path / "r").status == "complete"
    assert numbers(folder) == uninterrupted[config.name]
    assert finished_records(tmp_path / "r")[config.name][:kept] == records[:kept]
    set_aside = folder / "checkpoint.pt.damaged"
    assert set_aside.exists() == (kept == 0)
    assert kept or set_aside.read_bytes() == damaged
    assert not list(folder.glob(".*"))


def test_a_run_begun_by_a_version_with_other_parameters_is_refused_in_a_sentence_and_kept(half_done, tmp_path):
    config, before = half_done
    shutil.copytree(before, tmp_path / "r")
    path = tmp_path / "r" / config.name / "checkpoint.pt"
    content = torch.load(path, weights_only=True)
    tensors = content["strategy"]["model"]["tensors"]
    tensors["hypernetwork.kernels.0.weight"] = tensors.pop("hypernetwork.left")
    torch.save(content, path)
    earlier = path.read_bytes()
    outcome = run(config, tmp_path / "r")
    assert (outcome.status, outcome.misuse) == ("failed", True)
    assert "was begun by an earlier version of clhyper" in outcome.reason
    assert "\n" not in outcome.reason
    assert path.read_bytes() == earlier


def test_a_complete_run_with_a_truncated_result_is_completed_without_training(archive, uninterrupted, tmp_path):
    (config,) = small_plan(archive, ["naive"])
    run(config, tmp_path)
    records = finished_records(tmp_path)
    result = tmp_path / config.name / "result.json"
    result.write_text(result.read_text()[:40])
    told = []
    assert run(config, tmp_path, told.append).status == "complete"
    assert told == []
    assert finished_records(tmp_path) == records
    assert numbers(tmp_path / config.name) == uninterrupted[config.name]


class Hostile:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_hostile_checkpoint_runs_no_code(zipped, archive, uninterrupted, tmp_path):
    (config,) = small_plan(archive, ["naive"])
    folder = tmp_path / "r" / config.name
    folder.mkdir(parents=True)
    content = {"schema": 1, "records": Hostile(tmp_path / "owned")}
    torch.save(content, folder / "checkpoint.pt", _use_new_zipfile_serialization=zipped)
    torch.load(folder / "checkpoint.pt", weights_only=False)  # it does what it is made for
    (tmp_path / "owned").unlink()
    assert run(config, tmp_path / "r").status == "complete"
    assert not (tmp_path / "owned").exists()
    assert numbers(folder) == uninterrupted[config.name]


def test_checkpoints_hold_tensors_and_plain_values_only(half_done):
    config, results = half_done
    content = torch.load(results / config.name / "checkpoint.pt", weights_only=True)
    assert content["schema"] == 1
    assert set(content) >= {"records", "matrix", "strategy", "accuracy", "cost", "data", "loading_seconds"}


def test_a_checkpoint_of_another_schema_is_left_alone_and_said(half_done, tmp_path):
    config, before = half_done
    shutil.copytree(before, tmp_path / "r")
    checkpoint = tmp_path / "r" / config.name / "checkpoint.pt"
    torch.save({**torch.load(checkpoint, weights_only=True), "schema": 99}, checkpoint)
    content = checkpoint.read_bytes()
    outcome = run(config, tmp_path / "r")
    assert (outcome.status, outcome.misuse) == ("failed", True)
    assert "schema 99" in outcome.reason
    assert checkpoint.read_bytes() == content
