"""What commands print: plain lines, nothing, or live progress; tables and figures of a real sweep."""

import csv
import os
import pty
import re
import sys
from pathlib import Path

import pytest

from clhyper.runs.local import _start_server


@pytest.fixture(scope="module")
def swept(tmp_path_factory, tiny) -> tuple[Path, int]:
    """Results of a small sweep, with its exit code."""
    from clhyper.cli.main import main

    results = tmp_path_factory.mktemp("swept")
    words = f"sweep split-npz naive partial-hypernetwork --freeze-depth 0-1 --seeds 2 --data {tiny} --experiences 2"
    words += f" --backbone small-convnet --epochs 1 --batch-size 8 --jobs 2 --threads 1 --quiet --results {results}"
    return results, main(words.split())


def test_a_quiet_sweep_prints_nothing(swept, call, of_tiny):
    results, code = swept
    assert code == 0
    words = ["naive", *of_tiny, "--freeze-depth", "0-1", "--seeds", 2, "--quiet", "--results", results]
    assert call("sweep", "split-npz", *words) == (0, "", "")


def test_a_quiet_run_prints_nothing(call, of_tiny, tmp_path):
    assert call("run", "split-npz", "naive", *of_tiny, "--quiet", "--results", tmp_path) == (0, "", "")
    assert len(list(tmp_path.iterdir())) == 1


def test_without_a_terminal_a_run_prints_plain_lines(call, of_tiny, tmp_path):
    code, out, error = call("run", "split-npz", "naive", *of_tiny, "--results", tmp_path)
    assert (code, error) == (0, "")
    assert "\x1b" not in out
    assert "\r" not in out
    first, second, end, folder = out.splitlines()
    assert first.startswith("naive depth 0 seed 0: experience 1/2 epoch 1/1 loss ")
    assert second.startswith("naive depth 0 seed 0: experience 2/2 epoch 1/1 loss ")
    assert second.endswith(" %")
    assert end.startswith("[1/1] naive depth 0 seed 0: complete ACC ")
    assert Path(folder).parent == tmp_path


def test_a_sweep_prints_a_line_a_run_and_what_to_do_next(swept, call, of_tiny):
    results, _ = swept
    words = ["sweep", "split-npz", "naive", *of_tiny, "--freeze-depth", "0-1", "--seeds", 2, "--results", results]
    code, out, error = call(*words)
    assert (code, error) == (0, "")
    *lines, last = out.splitlines()
    assert sorted(line.split("] ")[1].split(" ACC")[0] for line in lines) == [
        f"naive depth {depth} seed {seed}: skipped, complete before" for depth in (0, 1) for seed in (0, 1)
    ]
    assert last == f"4 of 4 runs complete; next: clhyper table {results}, clhyper plot {results}"
    assert "\x1b" not in out


def test_runs_are_called_by_what_tells_them_apart_and_by_no_more():
    from clhyper.cli.display import labels
    from clhyper.runs import make_config

    def hypernetwork(generator, seed=0, **stream):
        options = {"freeze_depth": 1, "generator": generator}
        return make_config("split-digits", "partial-hypernetwork", stream, options, seed=seed)

    one = hypernetwork("static")
    assert labels([one]) == ["partial-hypernetwork depth 1 seed 0"]
    assert labels([one, hypernetwork("low-rank", 1), hypernetwork("static", order_seed=3)]) == [
        "partial-hypernetwork depth 1 generator=static seed 0",
        "partial-hypernetwork depth 1 generator=low-rank seed 1",
        "partial-hypernetwork depth 1 generator=static order_seed=3 seed 0",
    ]
    other = make_config("split-npz", "naive", {"data": "some/where/glyphs.npz"}, {})
    more = make_config("split-npz", "naive", {"data": "else/where/faces.npz"}, {})
    assert labels([one, other, more]) == [
        "split-digits partial-hypernetwork depth 1 seed 0",
        "split-npz naive depth 0 data=glyphs.npz seed 0",
        "split-npz naive depth 0 data=faces.npz seed 0",
    ]


def _on_terminal(words: list[str], terminal: str) -> None:
    os.setsid()
    descriptor = os.open(terminal, os.O_RDWR)
    for number in range(3):
        os.dup2(descriptor, number)
    os.environ.update(TERM="xterm-256color", COLUMNS="150")
    from clhyper.cli.main import main

    sys.exit(main(words))


def test_on_a_terminal_a_run_shows_experience_epoch_and_loss_as_it_goes(of_tiny, tmp_path):
    import multiprocessing

    context = multiprocessing.get_context("forkserver")
    _start_server(context)
    ours, theirs = pty.openpty()
    words = ["run", "split-npz", "naive", *of_tiny, "--epochs", "60", "--results", str(tmp_path)]
    process = context.Process(target=_on_terminal, args=(words, os.ttyname(theirs)))
    process.start()
    os.set_blocking(ours, False)
    output = b""
    while process.is_alive():
        process.join(0.05)
        output += read_all(ours)
    output += read_all(ours)
    os.close(ours)
    os.close(theirs)
    assert process.exitcode == 0, output
    text = output.decode()
    assert "\x1b[" in text
    states = re.findall(r"experience (\d)/2 epoch (\d+)/60 loss \d\.\d{3}", text)
    assert {experience for experience, _ in states} == {"1", "2"}
    assert len(set(states)) > 4
    assert "complete ACC" in text
    assert "Traceback" not in text


def read_all(descriptor: int) -> bytes:
    found = b""
    try:
        while part := os.read(descriptor, 65536):
            found += part
    except OSError:
        pass
    return found


def test_the_table_of_a_sweep_is_printed_and_written(swept, call, tmp_path):
    results, _ = swept
    code, out, error = call("table", results, "--output", tmp_path)
    assert (code, error) == (0, "")
    with (tmp_path / "table.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert sorted((row["strategy"], row["freeze_depth"]) for row in rows) == [
        ("full-hypernetwork", "0"),
        ("naive", "0"),
        ("naive", "1"),
        ("partial-hypernetwork", "1"),
    ]
    assert (tmp_path / "table.md").read_text().count("\n|") >= len(rows)
    assert out.splitlines()[-1] == ", ".join(str(tmp_path / f"table.{kind}") for kind in ("csv", "md", "tex"))


def test_the_figures_of_a_sweep_are_written_and_named(swept, call, tmp_path):
    results, _ = swept
    code, out, error = call("plot", results, "--output", tmp_path / "f", "--cost", "bytes-kept")
    assert (code, error) == (0, "")
    files = [Path(line) for line in out.splitlines()]
    assert sorted(files) == sorted((tmp_path / "f").iterdir())
    assert all(path.stat().st_size > 1000 for path in files)
    assert {path.stem for path in files} >= {
        "forgetting-against-bytes-kept",
        "accuracy-and-forgetting-against-depth",
        "accuracy-matrix",
        "accuracy-over-stream",
    }
    assert {path.suffix for path in files} == {".png", ".svg"}


def test_output_may_be_cut_short_by_a_pager(command):
    import subprocess

    line = f"{command} list | head -1"
    answer = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert answer.stdout == "benchmarks:\n"
    assert answer.stderr == ""
