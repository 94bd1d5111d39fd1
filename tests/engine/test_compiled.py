import pytest
import torch

from clhyper.data.batches import Block
from clhyper.engine.compiled import Compiled


class Eager:
    """A loader that prepares blocks eagerly."""

    @staticmethod
    def prepare(block):
        return -block.x


@pytest.mark.parametrize(("steps", "sign"), [(4, 1), (3, 1), (2, 1), (1, -1)])
def test_a_last_block_is_filled_up_for_what_is_compiled_unless_it_has_less_than_half_of_its_images(steps, sign):
    x, y = torch.arange(1.0, 2 * steps + 1)[:, None], torch.arange(2 * steps)
    seen = []

    def prepare(x, draws):
        assert x.shape == (8, 1)
        assert draws.shape == (8, 2)
        return x.clone()

    compiled = Compiled(prepare, torch.Size([8, 1]), lambda x, y, tasks: seen.append((x, y)))
    compiled.execute(Block(steps, x, y, y, torch.zeros(2 * steps, 2)), [], Eager())
    assert len(seen) == steps
    assert torch.equal(torch.cat([x for x, _ in seen]), sign * x)
    assert torch.equal(torch.cat([y for _, y in seen]), y)
