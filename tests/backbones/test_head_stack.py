"""Heads side by side: each row gets its own head's outputs, and padding stays zero."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from clhyper.backbones.head_stack import HeadStack, room_for


def heads(widths, trained=None):
    made = {10 * number: nn.Linear(6, width) for number, width in enumerate(widths)}
    for number, task in enumerate(made):
        made[task].requires_grad_(trained is None or number in trained)
    return made, {task: list(range(head.out_features)) for task, head in made.items()}


@pytest.mark.parametrize("trained", [None, [], [1], [0, 2]])
@pytest.mark.parametrize("widths", [(3, 3, 3), (2, 5, 3), (4,)])
def test_rows_of_mixed_tasks_get_their_own_heads_outputs_and_gradients(widths, trained):
    layers, classes = heads(widths, trained)
    x = torch.randn(12, 6, requires_grad=True)
    tasks = torch.tensor([10 * (row % len(widths)) for row in range(12)])
    stack = HeadStack(layers, classes)
    logits = stack.own(stack(x), tasks)
    assert logits.shape == (12, max(widths))
    expected = [
        F.pad(layers[int(t)](row), (0, max(widths) - len(classes[int(t)])), value=-torch.inf)
        for row, t in zip(x, tasks, strict=True)
    ]
    torch.testing.assert_close(logits, torch.stack(expected))
    parameters = [x, *(p for head in layers.values() for p in head.parameters() if p.requires_grad)]
    ours, plain = (
        torch.autograd.grad(F.cross_entropy(z, torch.zeros(12, dtype=torch.long)), parameters, retain_graph=True)
        for z in (logits, torch.stack(expected))
    )
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other)


def test_outputs_that_are_no_class_of_the_task_are_never_predicted():
    layers, classes = heads((4, 4))
    classes[10] = [1, 3]
    stack = HeadStack(layers, classes)
    logits = stack.own(stack(torch.randn(4, 6)), torch.tensor([0, 10, 0, 10]))
    assert (logits[1::2, [0, 2]] == -torch.inf).all()
    assert logits[1::2, [1, 3]].isfinite().all()
    assert logits[::2].isfinite().all()


def test_padding_is_trained_only_where_all_heads_are_and_its_gradient_is_zero():
    assert HeadStack(*heads((3, 3), [1])).spare == []
    stack = HeadStack(*heads((3, 3)))
    assert len(stack.spare) == 2 * (stack.room - 2)
    stack.own(stack(torch.randn(5, 6)), torch.tensor([0, 10, 0, 0, 10])).square().sum().backward()
    assert all(part.grad is not None and not part.grad.any() for part in stack.spare)


def test_the_room_for_heads_changes_rarely():
    assert [room_for(count) for count in (2, 8, 9, 32, 33, 200)] == [8, 8, 32, 32, 128, 512]
    assert HeadStack(*heads((3,))).room == 1
