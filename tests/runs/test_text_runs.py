"""Runs on text from their configuration to results: bits on disk, resumption, evaluation again, the command line."""

import contextlib
import json
import math

import pytest
import torch
from brown_stand_in import installed

from clhyper.cli.main import main
from clhyper.errors import UserError
from clhyper.runs import load, load_experiences, load_matrix, make_config
from clhyper.runs.evaluate import evaluate
from clhyper.runs.export import export
from clhyper.runs.run import run
from clhyper.runs.trained import trained

STREAM = {"genres": ["news", "romance"], "window": 12, "characters_each": 600, "test_characters_each": 300}
LEARNERS = {
    "hyper-lstm": {"hyper_units": 8, "embedding": 4},
    "lstm": {},
    "layer-norm-lstm": {},
    "text-replay": {"buffer_size": 24, "replay_batch_size": 8},
}


def config(strategy="hyper-lstm", **stream):
    options = {"units": 16, "epochs": 2, "learning_rate": 1e-2, "batch_size": 16} | LEARNERS[strategy]
    return make_config("brown-characters", strategy, STREAM | stream, options)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    installed()
    results = tmp_path_factory.mktemp("results")
    for strategy in LEARNERS:
        outcome = run(config(strategy), results)
        assert outcome.status == "complete", outcome.reason
    return results


def test_a_run_on_text_is_measured_in_bits_from_the_matrix_to_the_frames(ran):
    runs = load(ran)
    assert runs.attrs["unread"] == {}
    assert (runs["bits"] > 1).all()
    assert (runs["bits"] < math.log2(60)).all()
    assert runs["acc"].isna().all()
    cells, trained = load_matrix(ran), load_experiences(ran)
    assert set(cells["measure"]) == {"bits"}
    for _, row in runs.iterrows():
        stored = json.loads((ran / row["folder"].rpartition("/")[2] / "matrix.json").read_text())
        assert stored["measure"] == "bits"
        (first, _), last = stored["matrix"]
        assert row["bits"] == pytest.approx(sum(last) / 2)
        assert row["bits_forgetting"] == pytest.approx(last[0] - first)
        own = trained[trained["folder"] == row["folder"]]
        assert own["accuracy"].tolist() == pytest.approx([first, sum(last) / 2])


def test_a_genre_ahead_is_predicted_only_where_all_share_one_head(ran, tmp_path):
    assert load_matrix(ran)["accuracy"].isna().sum() == len(LEARNERS)
    run(config("lstm", task_labels=False), tmp_path)
    assert load_matrix(tmp_path)["accuracy"].notna().all()
    assert load(tmp_path)["bits_fwt"].notna().all()


@pytest.mark.parametrize("strategy", ["hyper-lstm", "text-replay"])
def test_a_run_that_was_stopped_goes_on_with_the_same_numbers(ran, tmp_path, strategy):
    def stop(progress):
        if progress.experience > 1:
            assert progress.measure == "bits"
            raise KeyboardInterrupt

    one = config(strategy)
    with contextlib.suppress(KeyboardInterrupt):
        run(one, tmp_path, stop)
    assert load(tmp_path)["status"].tolist() == ["interrupted"]
    assert run(one, tmp_path).status == "complete"
    for name in ("matrix.json", "config.toml"):
        assert (tmp_path / one.name / name).read_text() == (ran / one.name / name).read_text()
    tensors = [
        torch.load(results / one.name / "checkpoint.pt", weights_only=True)["strategy"]["model"]["tensors"]
        for results in (ran, tmp_path)
    ]
    assert all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])


def test_evaluating_again_finds_the_bits_that_the_run_recorded(ran):
    found = evaluate(ran / config().name)
    assert found.measure == "bits"
    assert found.accuracy == found.recorded
    assert "equal to the recorded" in found.sentence


def test_what_cannot_be_exported_is_said_in_a_sentence(ran, tmp_path):
    with pytest.raises(UserError, match="can't be exported"):
        export(trained(ran / config().name), 0, tmp_path / "out")


def test_task_inference_says_why_it_leaves_text_out(ran):
    reasons = json.loads((ran / config().name / "result.json").read_text())["reasons"]
    assert "label of its own" in reasons["task_inference_accuracy_by_entropy"]


def test_the_table_and_the_figures_of_the_command_line_are_in_bits(ran, tmp_path, capsys):
    assert main(["table", str(ran), "--output", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "bits" in said
    assert "ACC" not in said
    assert main(["plot", str(ran), "--output", str(tmp_path)]) == 0
    assert {"bits-matrix.png", "bits-over-stream.png"} <= {file.name for file in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("words", "pieces"),
    [
        (
            ["brown-characters", "naive", "--genres", "news", "romance"],
            ["brown-characters is text", "naive learns images", "hyper-lstm"],
        ),
        (["split-digits", "lstm"], ["lstm reads sequences", "--backbone rows"]),
        (["brown-characters", "hyper-lstm", "--no-task-labels"], ["hyper-lstm needs task labels"]),
        (["brown-characters", "lstm", "--genres", "news", "humor"], ["Brown corpus", "has no genre humor"]),
    ],
)
def test_a_stream_and_a_strategy_that_do_not_fit_are_refused_before_anything_is_written(
    words, pieces, tmp_path, capsys
):
    installed()
    assert main(["run", *words, "--results", str(tmp_path / "new")]) == 2
    said = capsys.readouterr().err
    assert all(piece in said for piece in pieces), said
    assert not (tmp_path / "new").exists()
