"""`clhyper pareto`: table, files and figure."""

from pathlib import Path

import pandas as pd
import pytest
from written_runs import write_run

from clhyper.cli.main import main

PUBLISHED = Path(__file__).parents[2] / "results" / "freeze-depth"


@pytest.fixture
def results(tmp_path) -> Path:
    for seed in range(3):
        write_run(tmp_path / "r", "naive", seed, forgetting=0.3 + seed / 100, train_macs=1e9)
        write_run(tmp_path / "r", "latent-replay", seed, forgetting=0.1 + seed / 100, train_macs=2e9)
        write_run(tmp_path / "r", "ewc", seed, forgetting=0.4, train_macs=3e9)
    return tmp_path / "r"


def test_it_prints_the_table_and_writes_numbers_with_units_and_a_figure(results, tmp_path, capsys):
    assert main(["pareto", str(results), "--output", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    name = "pareto-forgetting-train-macs"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{name}.{kind}" for kind in ("csv", "md", "png", "svg")
    ]
    rows = pd.read_csv(tmp_path / "out" / f"{name}.csv").set_index("strategy")
    assert rows["forgetting [fraction]"].to_dict() == pytest.approx({"ewc": 0.4, "latent-replay": 0.11, "naive": 0.31})
    assert rows["train_macs [MAC]"]["naive"] == 1e9
    assert rows["probability"].to_dict() == {"ewc": 0, "latent-replay": 1, "naive": 1}
    lines = [line for line in printed.splitlines() if line.strip().startswith(("naive", "latent", "ewc"))]
    assert [line.split()[0] for line in lines] == ["naive", "latent-replay", "ewc"]
    assert "100.0" in lines[0]
    assert (tmp_path / "out" / f"{name}.md").read_text().count("| naive |") == 1


@pytest.mark.slow
def test_published_runs_are_taken_too_and_each_stream_has_its_figure(tmp_path, capsys):
    arguments = ["pareto", str(PUBLISHED), "--metric", "acc", "--cost", "bytes-kept", "--output", str(tmp_path)]
    assert main(arguments) == 0
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "split-digits-pareto-acc-bytes-kept.png",
        "split-parquet-pareto-acc-bytes-kept.png",
    }
    assert "split-digits, 5 experiences" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metric", "accuracy"], "accuracy"),
        (["--cost", "train_mac"], "train"),
        (["--cost", "generation-ms"], "generation_ms: no complete run has it"),
        (["more"], "second"),
        (["--output", "{file}"], "is a file"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(arguments, message, results, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    before = sorted(results.iterdir())
    arguments = [argument.format(file=tmp_path / "file") for argument in arguments]
    assert main(["pareto", str(results), *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert sorted(results.iterdir()) == before
