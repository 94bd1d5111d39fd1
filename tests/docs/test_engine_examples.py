"""The plugin and the strategy that the page on engines shows work as they stand."""

import re
from pathlib import Path

import pytest
import torch
from avalanche.core import SupervisedPlugin

from benchmarks import SplitDigits
from clhyper.engine.hooks import why_each_step
from strategies import Naive

PAGE = Path(__file__).parents[2] / "docs" / "engines.md"


@pytest.fixture(scope="module")
def shown() -> dict:
    names: dict = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S):
        exec(block, names)
    return names


class Asks(SupervisedPlugin):
    """Finds out whether the strategy could be trained without hooks between steps."""

    def before_training_epoch(self, strategy, **kwargs):
        self.why = why_each_step(strategy, strategy.dataloader)


def trained(strategy_class, **options):
    stream = SplitDigits(backbone="mlp")
    torch.manual_seed(0)
    strategy = strategy_class(stream.backbone(), epochs=2, **options)
    strategy.train(stream.train_stream[0])
    return strategy


def test_the_plugin_counts_every_step_and_needs_no_hook_between_them(shown):
    plugin, asks = shown["CountSteps"](), Asks()
    strategy = trained(Naive, plugins=[plugin, asks])
    assert plugin.steps == strategy.clock.train_iterations > 0
    before = plugin.steps
    strategy.blocks_done(8)
    assert plugin.steps == before + 8
    assert asks.why is None
    plugin.works_in_blocks = False
    trained(Naive, plugins=[plugin, asks])
    assert "CountSteps has a hook after_training_iteration" in asks.why


def test_the_strategy_draws_ahead_and_repeats_itself(shown):
    first, second, plain = (trained(kind) for kind in (shown["Noisy"], shown["Noisy"], Naive))
    one, again, other = (torch.cat([p.flatten() for p in s.model.parameters()]) for s in (first, second, plain))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.slow
def test_the_strategy_can_be_compiled(shown):
    strategy = trained(shown["Noisy"], engine="compiled")
    assert not [notice for notice in strategy.notices if "could not be compiled" in notice]
