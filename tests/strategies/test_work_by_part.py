"""Multiply-accumulates and losses of every strategy, with hooks between its steps and without."""

import pytest
from small_runs import LEARNERS, digits, learn, make

from clhyper.engine import engines
from clhyper.evaluation import CostMeter
from clhyper.parts import PARTS

NAMES = [f"{name}_macs" for name in PARTS]
GENERATES = [name for name in LEARNERS if name.endswith("hypernetwork")]
FURTHER = ("ewc", "lwf", "agem", "der", "distilled")
FURTHER_PASSES = [name for name in LEARNERS if any(word in name.split() for word in FURTHER)]


def fails(dry):
    raise RuntimeError("no compiler here")


@pytest.mark.parametrize("learner", LEARNERS)
def test_all_work_has_a_part_and_steps_without_hooks_have_the_same(learner, monkeypatch):
    monkeypatch.setattr(engines, "CompiledProgram", fails)  # what is left are eager steps without hooks between
    monkeypatch.setattr(engines.Engine, "_fall_back", lambda *given: None)  # in each experience, not in one alone
    stream, records = digits(backbone="mlp", augmentation="flip"), []
    for engine in ("eager", "compiled"):
        meter = CostMeter()
        strategy = learn(make(learner, stream, engine=engine, plugins=[meter]), 0, 1, stream=stream)
        assert (meter.records[1]["compilation_seconds"] > 0) == (engine == "compiled")
        records.append(meter.records)
    for one, other in zip(*records, strict=True):
        assert sum(one[name] for name in NAMES) == one["train_macs"]
        assert [one[name] for name in NAMES] == [other[name] for name in NAMES]
        assert one["loss_by_epoch"] == other["loss_by_epoch"]
    second = records[0][1]
    assert (second["generation_macs"] > 0) == (second["drift_macs"] > 0) == (learner in GENERATES)
    assert (second["other_macs"] > 0) == (learner in FURTHER_PASSES)
    assert (second["front_macs"] > 0) == (strategy.freeze_depth > 0)
    assert second["back_macs"] > 0
