"""The drift of the additive generator, in closed form."""

import copy

import pytest
import torch
from small_hypernetworks import a_hypernetwork
from torch.fx.experimental.proxy_tensor import make_fx

from clhyper.backbones import SlimResNet18, build_backbone, set_norm, split
from clhyper.hypernetworks import AdditiveHypernetwork, Hypernetwork


def moved(hypernetwork, scale, seed=1):
    """A copy whose every parameter, embeddings and tables included, has moved a little."""
    generator = torch.Generator().manual_seed(seed)
    other = copy.deepcopy(hypernetwork)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=generator))
    return other


def value_and_gradient(hypernetwork, drift):
    parameters = [p for p in hypernetwork.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(drift, parameters, allow_unused=True)
    flat = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)]
    return drift.detach(), torch.cat([gradient.flatten() for gradient in flat])


def relative_error(value, reference):
    return float((value.double() - reference).norm() / reference.norm())


def both_drifts(before, after, tasks, chosen):
    """The drift in closed form, and the drift by its definition: values and gradients to everything in `after`."""
    closed = after.drift(before.snapshot(tasks), chosen)
    generated = after.generated_drift(Hypernetwork.snapshot(before, tasks), chosen)
    return value_and_gradient(after, closed), value_and_gradient(after, generated)


SUBSETS = [None, [2], [0, 3]]


@pytest.mark.parametrize("chosen", SUBSETS)
@pytest.mark.parametrize("scale", [1, 1e-3, 1e-6])
def test_the_closed_form_is_the_definition_of_the_drift_in_value_and_gradient(scale, chosen):
    before = a_hypernetwork().double()
    after = moved(before, scale)
    subset = None if chosen is None else torch.tensor(chosen)
    closed, generated = both_drifts(before, after, torch.tensor([4, 1, 0, 2, 3]), subset)
    assert generated[0] > 0
    assert relative_error(closed[0], generated[0]) < 1e-10
    assert relative_error(closed[1], generated[1]) < 1e-10


# The reference is the same two sets of weights in double precision. A move of 1e-6 is only some ten times the spacing
# of single-precision numbers near 1, hence the last tolerance.
@pytest.mark.parametrize("chosen", SUBSETS)
@pytest.mark.parametrize(("scale", "tolerance"), [(1, 1e-5), (1e-3, 1e-5), (1e-6, 5e-3)])
def test_the_closed_form_holds_in_single_precision_near_zero_too(scale, tolerance, chosen):
    before = a_hypernetwork()
    after = moved(before, scale)
    subset = None if chosen is None else torch.tensor(chosen)
    tasks = torch.tensor([4, 1, 0, 2, 3])
    closed, generated = both_drifts(before, after, tasks, subset)
    _, exact = both_drifts(copy.deepcopy(before).double(), copy.deepcopy(after).double(), tasks, subset)
    for position in range(2):
        assert relative_error(closed[position], exact[position]) < tolerance
        assert relative_error(generated[position], exact[position]) < tolerance


@pytest.mark.parametrize("tasks", [1, 5, 40])
@pytest.mark.parametrize(("backbone", "shape"), [("small-convnet", (1, 8, 8)), ("mlp", (1, 4, 4)), ("slim", None)])
def test_the_closed_form_is_the_definition_whatever_the_back_its_depth_and_the_number_of_tasks(backbone, shape, tasks):
    torch.manual_seed(0)
    whole = SlimResNet18(classes=3, width=4) if backbone == "slim" else build_backbone(backbone, shape, 3)
    set_norm(whole, "instance")
    for depth in range(len(list(whole.children()))):
        before = AdditiveHypernetwork(split(whole, depth)[1], embedding=5, hidden=(7, 6), channel_embedding=3).double()
        for _ in range(tasks):
            before.add_task()
        for frozen in (False, True):
            after = moved(before, 0.01)
            if frozen:
                own = [
                    p for task in range(tasks) for p in (*before.task_parameters(task), *after.task_parameters(task))
                ]
                for mine, other in zip(before.parameters(), after.parameters(), strict=True):
                    if any(mine is p for p in own):
                        other.data.copy_(mine.requires_grad_(False))
                        other.requires_grad_(False)
            closed, generated = both_drifts(before, after, torch.arange(tasks), None)
            assert relative_error(closed[0], generated[0]) < 1e-9
            assert relative_error(closed[1], generated[1]) < 1e-9


@pytest.mark.parametrize(("shift", "tolerance"), [(0.1, 1e-4), (1.0, 1e-2)])
def test_where_the_two_parts_moved_against_each_other_the_error_is_small_beside_what_they_moved(shift, tolerance):
    before = a_hypernetwork(tasks=2)
    tasks = torch.tensor([0])
    after = moved(before, 1e-3)
    rows = len(after.channel_matrix)
    with torch.no_grad():
        h = after.mlp(after.embeddings[0])
        after.bias[:rows] += shift
        after.task_matrix[:rows] -= shift * h / h.square().sum()
    closed, _ = both_drifts(before, after, tasks, None)
    _, exact = both_drifts(copy.deepcopy(before).double(), copy.deepcopy(after).double(), tasks, None)
    parts = 2 * shift**2 * sum(tensor.numel() for tensor in before(tasks).values())
    assert 0 < exact[0] < 0.01 * parts
    assert abs(float(closed[0]) - float(exact[0])) < 1e-6 * parts + 1e-5 * float(exact[0])
    assert relative_error(closed[1], exact[1]) < tolerance


def test_the_drift_is_the_sum_over_tasks_of_each_tasks_squared_distance():
    before = a_hypernetwork(tasks=3)
    after = moved(before, 0.1)
    tasks = torch.tensor([0, 1, 2])
    old, new = before(tasks), after(tasks)
    by_hand = [sum(float((new[n][t] - old[n][t]).square().sum()) for n in old) for t in range(3)]
    snapshot = before.snapshot(tasks)
    assert float(after.drift(snapshot)) == pytest.approx(sum(by_hand), rel=1e-4)
    for task in range(3):
        assert float(after.drift(snapshot, torch.tensor([task]))) == pytest.approx(by_hand[task], rel=1e-4)


def test_a_sample_of_tasks_is_read_as_positions_in_the_snapshot():
    before = a_hypernetwork(tasks=4)
    after = moved(before, 0.1)
    ordered = float(after.drift(before.snapshot(torch.tensor([3]))))
    assert float(after.drift(before.snapshot(torch.tensor([2, 3, 0])), torch.tensor([1]))) == pytest.approx(ordered)


@pytest.mark.parametrize("name", ["embedding", "table"])
def test_the_drift_sees_a_task_whose_own_parameters_moved(name):
    before = a_hypernetwork(tasks=3).double()
    after = copy.deepcopy(before)
    own = {"embedding": after.embeddings, "table": after.table}[name]
    with torch.no_grad():
        own[1].add_(0.1)
    closed, generated = both_drifts(before, after, torch.tensor([0, 1, 2]), None)
    assert generated[0] > 1e-3
    torch.testing.assert_close(closed[0], generated[0])
    torch.testing.assert_close(closed[1], generated[1])


def test_nothing_has_drifted_right_after_the_snapshot():
    hypernetwork = a_hypernetwork()
    tasks = torch.arange(5)
    value, gradient = value_and_gradient(hypernetwork, hypernetwork.drift(hypernetwork.snapshot(tasks)))
    size = sum(float(tensor.square().sum()) for tensor in hypernetwork(tasks).values())
    assert 0 <= value < 1e-12 * size
    assert gradient.abs().max() < 1e-4
    exact = hypernetwork.generated_drift(Hypernetwork.snapshot(hypernetwork, tasks))
    assert exact == 0


@pytest.mark.parametrize("take", [AdditiveHypernetwork.snapshot, Hypernetwork.snapshot])
def test_later_training_does_not_change_a_snapshot(take):
    hypernetwork = a_hypernetwork()
    drift = hypernetwork.drift if take is AdditiveHypernetwork.snapshot else hypernetwork.generated_drift
    snapshot = take(hypernetwork, torch.arange(4))
    optimizer = torch.optim.SGD(hypernetwork.parameters(), lr=0.1)
    seen = []
    before = copy.deepcopy(hypernetwork)
    for _ in range(3):
        loss = sum(tensor.square().mean() for tensor in hypernetwork(torch.tensor([5])).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(float(drift(snapshot).detach()))
    assert 0 < seen[0] < seen[1] < seen[2]
    definition = hypernetwork.generated_drift(Hypernetwork.snapshot(before, torch.arange(4)))
    assert seen[-1] == pytest.approx(float(definition.detach()), rel=1e-4)


def test_taking_a_snapshot_and_its_drift_leaves_the_hypernetwork_as_it_was():
    hypernetwork = a_hypernetwork()
    before = copy.deepcopy(hypernetwork.state_dict())
    hypernetwork.drift(hypernetwork.snapshot(torch.arange(3))).backward()
    assert all(torch.equal(before[name], value) for name, value in hypernetwork.state_dict().items())


# In a captured step


def test_generation_and_drift_can_be_traced_and_their_shapes_do_not_depend_on_the_number_of_tasks():
    graphs = []
    for tasks in (3, 64):
        hypernetwork = a_hypernetwork(tasks)
        for task in range(tasks - 1):
            for parameter in hypernetwork.task_parameters(task):
                parameter.requires_grad_(False)
        snapshot = hypernetwork.snapshot(torch.arange(tasks - 1))
        moving = {name: p for name, p in hypernetwork.named_parameters() if p.requires_grad}

        def gradients(*parameters, hypernetwork=hypernetwork, snapshot=snapshot, tasks=tasks):
            for p in hypernetwork.parameters():
                p.grad = None
            generated = hypernetwork.generate(tasks - 1)
            (sum(w.square().sum() for w in generated.values()) + hypernetwork.drift(snapshot)).backward()
            return [p.grad for p in hypernetwork.parameters() if p.grad is not None]

        graph = make_fx(gradients)(*moving.values()).graph
        graphs.append([(str(n.target), getattr(n.meta.get("val"), "shape", None)) for n in graph.nodes])
        assert len(graphs[-1]) > 100
    assert graphs[0] == graphs[1]


def test_more_tasks_than_the_padding_has_room_for_are_measured_too():
    before = a_hypernetwork(tasks=66).double()
    after = moved(before, 0.01)
    closed, generated = both_drifts(before, after, torch.arange(65), None)
    assert relative_error(closed[0], generated[0]) < 1e-10
    assert relative_error(closed[1], generated[1]) < 1e-10
    sizes = [len(before.snapshot(torch.arange(tasks)).features) for tasks in (1, 64, 65)]
    assert sizes[0] == sizes[1] < sizes[2]
