"""`clhyper rank`: table, files and diagram."""

from pathlib import Path

import pandas as pd
import pytest
from written_runs import write_run

from clhyper.cli.main import main

ACC = {"naive": 0.3, "ewc": 0.5, "latent-replay": 0.9}


@pytest.fixture
def folders(tmp_path) -> list[str]:
    for place, experiences in enumerate((5, 2)):
        for strategy, acc in ACC.items():
            write_run(tmp_path / str(place), strategy, 0, {"experiences": experiences}, acc=acc)
    return [str(tmp_path / "0"), str(tmp_path / "1")]


def test_several_folders_are_ranked_together_and_the_numbers_written(folders, tmp_path, capsys):
    assert main(["rank", *folders, "--output", str(tmp_path / "out")]) == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"rank-acc.{kind}" for kind in ("csv", "md", "png", "svg")
    ]
    rows = pd.read_csv(tmp_path / "out" / "rank-acc.csv").set_index("configuration")
    assert rows["mean rank"].to_dict() == {"latent-replay k=2": 1.0, "ewc k=0": 2.0, "naive k=0": 3.0}
    assert rows["acc [fraction], split-digits, 2 experiences"].tolist() == [0.9, 0.5, 0.3]
    printed = capsys.readouterr().out
    assert printed.index("latent-replay k=2") < printed.index("ewc k=0") < printed.index("naive k=0")
    assert "2 streams and 3 configurations" in printed
    text = (tmp_path / "out" / "rank-acc.md").read_text()
    assert "| latent-replay k=2 | 1.00 | 90.0 | 90.0 (1) | 90.0 (1) |" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{0}"], "there is one"),
        (["{0}", "{0}"], "is given twice"),
        (["{0}", "{0}x"], "no such folder"),
        (["{0}", "{1}", "--metric", "ac"], "acc"),
        (["{0}", "{1}", "--metric", "fwt"], "fwt: no complete run has it"),
        (["{0}", "{1}", "--outpt", "x"], "--output"),
    ],
)
def test_bad_input_is_one_sentence_and_writes_nothing(arguments, message, folders, capsys):
    before = sorted(Path(folders[0]).iterdir())
    assert main(["rank", *(argument.format(*folders) for argument in arguments)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert sorted(Path(folders[0]).iterdir()) == before
