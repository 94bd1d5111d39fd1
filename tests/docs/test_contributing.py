"""What CONTRIBUTING.md shows works as it stands: a stream, a strategy and a backbone, one new file each."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from clhyper.backbones import split
from clhyper.registry import find

ROOT = Path(__file__).parents[2]
FOLDERS = ("strategies", "benchmarks", "clhyper/backbones")
NAMES = {"strategy": "anchored", "benchmark": "split-shapes", "backbone": "deep-convnet"}
COMMAND = ["run", "split-shapes", "anchored", "--backbone", "deep-convnet", "--freeze-depth", "3"]
TINY = ["--epochs", "1", "--batch-size", "8", "--threads", "1"]


def shown() -> dict[str, str]:
    """The files that the document shows: each block of Python under the last path named before it."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    files, path = {}, None
    for named, block in re.findall(rf"`((?:{'|'.join(FOLDERS)})/\w+\.py)`|^```python\n(.*?)^```", text, re.M | re.S):
        path = named or path
        if block:
            files[path] = block
    return files


def put(folder: Path) -> None:
    for path, text in shown().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")


def copy_packages(folder: Path) -> None:
    for package in ("clhyper", "strategies", "benchmarks"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.fixture(scope="module")
def drawings(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("drawings")
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(10), 12)[random.permutation(120)]
    patterns = random.integers(0, 200, (10, 1, 8, 8))
    np.save(folder / "drawings.npy", (patterns[labels] + random.integers(0, 56, (120, 1, 8, 8))).astype(np.uint8))
    np.save(folder / "labels.npy", labels)
    return folder


@pytest.fixture
def added(tmp_path, monkeypatch):
    """The three files, as if they lay in the packages' own folders."""
    import benchmarks
    import clhyper.backbones
    import strategies

    put(tmp_path / "new")
    for package, folder in zip((strategies, benchmarks, clhyper.backbones), FOLDERS, strict=True):
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path / "new" / folder)])
        monkeypatch.setattr(package.__spec__, "submodule_search_locations", package.__path__)
    yield
    for path in shown():
        sys.modules.pop(path.removesuffix(".py").replace("/", "."), None)


def main(*words: object) -> int:
    from clhyper.cli.main import main

    return main([str(word) for word in words])


def test_it_shows_one_new_file_for_each_of_the_three():
    assert {str(Path(path).parent) for path in shown()} == set(FOLDERS)
    assert len(shown()) == 3
    assert not [path for path in shown() if (ROOT / path).exists()]


def test_the_three_files_pass_the_linter_as_they_stand(tmp_path):
    copy_packages(tmp_path)
    put(tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for words in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        answer = subprocess.run(
            [Path(sys.executable).with_name("ruff"), *words, *shown()],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
        )
        assert answer.returncode == 0, answer.stdout


def test_a_copy_with_only_the_three_files_added_lists_them(tmp_path):
    copy_packages(tmp_path)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    put(tmp_path)
    assert len({path for path in tmp_path.rglob("*") if path.is_file()} - before) == 3
    listed = subprocess.run(
        [sys.executable, "-m", "clhyper.cli.main", "list"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
    ).stdout
    assert "  anchored               Anchored: fine-tuning that is pulled back" in listed
    assert "  split-shapes           Split shapes: drawings of ten shapes" in listed
    assert "  deep-convnet           Deep convnet: the small convnet with a residual stage" in listed


def test_the_three_run_together_at_the_new_stage_and_stand_in_the_table(added, drawings, tmp_path, capsys):
    results = tmp_path / "results"
    assert main(*COMMAND, "--data", drawings, *TINY, "--strength", 0.5, "--results", results) == 0
    (folder,) = results.iterdir()
    result = json.loads((folder / "result.json").read_text())
    idle_heads = 4 * 2 * (64 + 1)
    front, _ = split(backbone(), 3)
    assert result["cost"]["frozen_parameters"] == sum(p.numel() for p in front.parameters()) + idle_heads
    assert result["metrics"]["acc"] is not None
    assert len((folder / "experiences.jsonl").read_text().splitlines()) == 5
    capsys.readouterr()
    assert main("table", results) == 0
    table = (results / "table.md").read_text()
    assert "anchored" in table
    assert "deep-convnet" in table
    assert "split-shapes" in table


def test_a_run_of_the_three_resumes_to_the_same_numbers(added, drawings, tmp_path):
    from clhyper.runs import make_config
    from clhyper.runs.run import run

    options = {"epochs": 1, "batch_size": 8, "freeze_depth": 3, "strength": 0.5}
    config = make_config("split-shapes", "anchored", {"data": drawings, "backbone": "deep-convnet"}, options, threads=1)

    def stop(progress) -> None:
        if progress.experience == 3:
            raise KeyboardInterrupt

    run(config, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "stopped", stop)
    lines = (tmp_path / "stopped" / config.name / "experiences.jsonl").read_text().splitlines()
    assert len(lines) == 2
    run(config, tmp_path / "stopped")
    again = (tmp_path / "stopped" / config.name / "experiences.jsonl").read_text().splitlines()
    assert again[:2] == lines
    matrices = [json.loads((tmp_path / of / config.name / "matrix.json").read_text()) for of in ("whole", "stopped")]
    assert matrices[0] == matrices[1]
    weights = [
        torch.load(tmp_path / of / config.name / "checkpoint.pt", weights_only=True)["strategy"]["model"]
        for of in ("whole", "stopped")
    ]
    compared = [torch.equal(one, other) for one, other in zip(*map(tensors, weights), strict=True)]
    assert len(compared) > 10
    assert all(compared)


def test_the_strategy_s_anchor_holds_the_weights(added, drawings):
    def moved(strength: float) -> float:
        torch.manual_seed(0)
        stream = find("benchmark", "split-shapes").load()(data=drawings, backbone="deep-convnet")
        strategy = find("strategy", "anchored").load()(
            stream.backbone(), freeze_depth=3, epochs=2, batch_size=8, strength=strength
        )
        strategy.train(stream.train_stream[0])
        before = [p.detach().clone() for p in strategy.model.body.parameters()]
        strategy.train(stream.train_stream[1])
        now = strategy.model.body.parameters()
        return sum(float((a - b).detach().square().sum()) for a, b in zip(now, before, strict=True))

    assert moved(10.0) < moved(0.0)


@pytest.mark.parametrize("depth", range(5))
def test_the_backbone_splits_at_every_depth(added, depth):
    from clhyper.hypernetworks import AdditiveHypernetwork
    from clhyper.hypernetworks.model import GeneratedModel

    whole = backbone().eval()
    x = torch.rand(3, 1, 8, 8)
    front, back = split(whole, depth)
    assert torch.equal(back(front(x)), whole(x))
    assert len(front) == depth
    model = GeneratedModel(front, back, AdditiveHypernetwork(back))
    assert ("residual.conv.weight" in model.hypernetwork.shapes) == (depth < 3)


@pytest.mark.slow
def test_the_commands_that_it_shows_do_it_in_a_copy(drawings, tmp_path):
    copy_packages(tmp_path)
    put(tmp_path)
    shutil.copytree(drawings, tmp_path / "my_drawings")
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^clhyper (run .*)$", text, re.M)
    for _ in range(2):
        answer = subprocess.run(
            [sys.executable, "-m", "clhyper.cli.main", *command.split(), *TINY],
            capture_output=True,
            text=True,
            check=False,
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )
        assert (answer.returncode, answer.stderr) == (0, "")
    assert "skipped, complete before" in answer.stdout
    (folder,) = (tmp_path / "results" / "runs").iterdir()
    assert (folder / "result.json").exists()


def backbone():
    return find("backbone", NAMES["backbone"]).load()()


def tensors(state) -> list[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        return [state]
    inner = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else []
    return [tensor for item in inner for tensor in tensors(item)]
