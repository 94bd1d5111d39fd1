import torch
from torch import nn

from clhyper.engine.recorder import Recorder


def take_step(model, x, y, optimizer):
    with Recorder([x, y]) as recorder:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return recorder


def network(width=6, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, width))


def some_batch(seed=0):
    torch.manual_seed(seed)
    return torch.randn(5, 1, 8, 8), torch.randint(6, (5,))


def test_a_recorded_step_names_what_it_reads_from_outside_and_can_be_taken_back_bit_for_bit():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    recorder = take_step(model, *some_batch(), optimizer)
    outside = {id(tensor) for tensor in recorder.outside}
    assert all(id(tensor) in outside for tensor in [*model.parameters(), *model.buffers()])
    moved = [name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])]
    assert set(moved) == set(before)
    recorder.undo()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_steps_that_do_the_same_on_other_tensors_have_one_fingerprint():
    prints = set()
    for seed in range(3):
        model = network(seed=seed)
        prints.add(take_step(model, *some_batch(seed), torch.optim.SGD(model.parameters(), lr=0.1)).fingerprint)
    assert len(prints) == 1


def test_a_fingerprint_tells_numbers_shapes_wiring_and_operators_apart():
    def of(width=6, lr=0.1, norm=True, batch=5):
        model = network(width)
        if not norm:
            model[1] = nn.Identity()
        x, y = some_batch()
        return take_step(model, x[:batch], y[:batch], torch.optim.SGD(model.parameters(), lr=lr)).fingerprint

    assert len({of(), of(width=7), of(lr=0.2), of(norm=False), of(batch=4)}) == 5
    a, b = torch.ones(2), torch.ones(2)
    with Recorder([]) as one:
        (a - b) * a
    with Recorder([]) as other:
        (a - b) * b
    assert one.fingerprint != other.fingerprint


def test_a_write_through_a_view_of_a_tensor_from_outside_is_taken_back_too():
    table = torch.arange(6.0).view(3, 2)
    with Recorder([]) as recorder:
        table[1].add_(1)
        table.view(6)[0] = 7
    recorder.undo()
    assert torch.equal(table, torch.arange(6.0).view(3, 2))
