import pytest
import torch

from clhyper.data.batches import Block
from clhyper.engine import compiled as compiling
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


def compiler(monkeypatch, failures):
    """In place of `torch.compile`, one that raises each of the failures in turn; returns the options it is given."""
    given, left = [], list(failures)

    def compile(module, dynamic, options):
        given.append(options)
        if left:
            raise left.pop(0)
        return module

    monkeypatch.setattr(torch, "compile", compile)
    return given


class Doubled(torch.nn.Module):
    def forward(self, x):
        return 2 * x


@pytest.mark.parametrize("failing", range(len(compiling._WAYS)))
def test_ways_to_compile_are_tried_in_turn_and_the_last_is_without_options(monkeypatch, failing):
    given = compiler(monkeypatch, [RuntimeError(f"unknown option {number}") for number in range(failing)])
    function = compiling._lowered(Doubled(), [torch.ones(3)], compiling._WAYS)
    assert torch.equal(function(torch.ones(3)), torch.full((3,), 2.0))
    assert given == compiling._WAYS[: failing + 1]
    assert compiling._WAYS[-1] == {}


def test_where_every_way_fails_the_first_failure_is_told(monkeypatch):
    compiler(monkeypatch, [RuntimeError(f"failure {number}") for number in range(len(compiling._WAYS))])
    with pytest.raises(RuntimeError, match="failure 0"):
        compiling._lowered(Doubled(), [torch.ones(3)], compiling._WAYS)


def test_what_fails_when_it_is_first_called_is_compiled_another_way(monkeypatch):
    def fails(x):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(torch, "compile", lambda module, dynamic, options: fails if options else module)
    assert compiling._lowered(Doubled(), [torch.ones(3)], compiling._WAYS)(torch.ones(1)).tolist() == [2.0]


def test_out_of_memory_is_told_at_once_and_not_tried_another_way(monkeypatch):
    given = compiler(monkeypatch, [torch.OutOfMemoryError("no room")])
    with pytest.raises(torch.OutOfMemoryError, match="no room"):
        compiling._lowered(Doubled(), [torch.ones(3)], compiling._WAYS)
    assert len(given) == 1


def test_on_a_cpu_there_is_the_way_without_options_alone(monkeypatch):
    given = compiler(monkeypatch, [RuntimeError("no compiler")])
    with pytest.raises(RuntimeError, match="no compiler"):
        compiling._lowered(Doubled(), [torch.ones(3)])
    assert given == [{}]
