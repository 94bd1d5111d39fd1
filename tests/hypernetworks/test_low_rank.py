import pytest
import torch

from clhyper.backbones import MLP, SlimResNet18, SmallConvNet, set_norm, split
from clhyper.hypernetworks import FactoredHypernetwork, GeneratedSnapshot, LowRankHypernetwork

KINDS = {
    "factored": (FactoredHypernetwork, {"rank": 8}),
    "factored, with a base of low rank": (FactoredHypernetwork, {"rank": 8, "base_rank": 5}),
    "low-rank": (LowRankHypernetwork, {"rank": 8, "embedding": 3}),
}


def a_hypernetwork(kind="factored", tasks=4, depth=1, backbone=SmallConvNet, **options):
    torch.manual_seed(0)
    _, back = split(backbone(classes=4), depth)
    set_norm(back, "instance")
    cls, its = KINDS[kind]
    hypernetwork = cls(back, **{**its, **options})
    for _ in range(tasks):
        hypernetwork.add_task()
    return hypernetwork, back


def numbers_in(parameters):
    return sum(parameter.numel() for parameter in parameters)


def all_its_tasks_but(hypernetwork, trained):
    for task in range(hypernetwork.tasks):
        for parameter in hypernetwork.task_parameters(task):
            parameter.requires_grad_(task == trained)


def moved(hypernetwork, by):
    with torch.no_grad():
        for name, parameter in hypernetwork.named_parameters():
            if parameter.requires_grad and not name.startswith(("embeddings", "table")):
                parameter.add_(by * parameter.std() * torch.randn_like(parameter))


# How large it is


def test_at_depth_2_of_slim_resnet18_five_tasks_take_less_than_1_6_backs_and_one_more_less_than_half_a_hundredth():
    hypernetwork, back = a_hypernetwork(tasks=5, depth=2, backbone=lambda classes: SlimResNet18(classes=2), rank=64)
    whole = numbers_in(back.parameters())
    kernels = [p for name, p in back.named_parameters() if p.ndim > 1 and name != "classifier.weight"]
    rows = numbers_in(back.parameters()) - numbers_in(kernels)
    factors = 64 * sum(len(kernel) + kernel[0].numel() for kernel in kernels)
    assert numbers_in(hypernetwork.parameters()) == numbers_in(kernels) + factors + 5 * (rows + 10 * 64) == 1_609_130
    assert numbers_in(hypernetwork.parameters()) < 1.6 * whole
    assert numbers_in(hypernetwork.task_parameters(3)) == rows + 10 * 64 < 0.005 * whole


def test_a_base_of_low_rank_makes_it_smaller_than_one_back():
    made, back = a_hypernetwork(
        tasks=5, depth=2, backbone=lambda classes: SlimResNet18(classes=2), rank=32, base_rank=64
    )
    assert numbers_in(made.parameters()) < 0.9 * numbers_in(back.parameters())


# What it generates


@pytest.mark.parametrize("kind", KINDS)
def test_a_kernel_is_the_base_plus_the_factors_scaled_by_the_tasks_coefficients(kind):
    hypernetwork, _ = a_hypernetwork(kind)
    hypernetwork.double()
    name, task = hypernetwork.layers.names[1], 2
    its = slice(hypernetwork.layers.widths[0], sum(hypernetwork.layers.widths[:2]))
    rows = hypernetwork.layers.rows[1]
    s = hypernetwork.coefficients(hypernetwork.embeddings[task][None]).view(-1, hypernetwork.rank)[1]
    change = hypernetwork.left[its] @ s.diag() @ hypernetwork.right[rows].T
    shape = hypernetwork.shapes[name]
    torch.testing.assert_close(hypernetwork.generate(task)[name], hypernetwork.generate(0)[name] + change.view(shape))


@pytest.mark.parametrize("kind", ["factored", "low-rank"])
def test_the_first_task_starts_as_the_back_does_but_for_its_classifier(kind):
    hypernetwork, back = a_hypernetwork(kind)
    weights = hypernetwork.generate(0)
    for name, ordinary in back.named_parameters():
        if not name.startswith("classifier"):
            assert torch.equal(weights[name], ordinary), name


@pytest.mark.parametrize("kind", KINDS)
def test_an_mlps_linear_layers_are_generated_like_convolutions(kind):
    hypernetwork, back = a_hypernetwork(kind, backbone=lambda classes: MLP((1, 8, 8), classes=classes))
    weights = hypernetwork.generate(1)
    assert {name: tensor.shape for name, tensor in weights.items()} == {n: p.shape for n, p in back.named_parameters()}


def test_where_only_the_classifier_is_generated_there_is_a_table_and_nothing_else():
    hypernetwork, back = a_hypernetwork(depth=len(list(SmallConvNet(classes=4).children())) - 1)
    assert hypernetwork.generate(1)["classifier.weight"].shape == back.classifier.weight.shape
    snapshot = hypernetwork.snapshot(torch.tensor([0, 1]))
    assert float(hypernetwork.drift(snapshot)) == 0


# How tasks are added


def test_a_new_task_starts_with_the_factors_that_earlier_ones_use_least():
    hypernetwork, _ = a_hypernetwork(tasks=1, rank=8, fresh=0.25)
    chosen = []
    for _ in range(4):
        e = hypernetwork.embeddings[hypernetwork.add_task()].detach().view(-1, 8)
        assert e.sum(dim=1).tolist() == [2] * len(e)
        chosen.append(e[0].nonzero()[:, 0].tolist())
    assert sorted(factor for its in chosen for factor in its) == list(range(8))
    with torch.no_grad():
        hypernetwork.embeddings[2].view(-1, 8)[:, chosen[1]] = 0.1
    assert (
        hypernetwork.embeddings[hypernetwork.add_task()].detach().view(-1, 8)[0].nonzero()[:, 0].tolist() == chosen[1]
    )


def test_factors_that_no_task_has_used_are_idle_if_they_are_reserved():
    hypernetwork, _ = a_hypernetwork(tasks=1, rank=8, fresh=0.25, reserve=True)
    for task in range(1, 6):
        used = hypernetwork.embeddings[hypernetwork.add_task()].detach() != 0
        assert hypernetwork.idle().view(-1, 8).sum(dim=1).unique().tolist() == [max(8 - 2 * task, 0)]
        assert not hypernetwork.idle()[used].any()
    assert a_hypernetwork(rank=8)[0].idle() is None


@pytest.mark.parametrize("kind", KINDS)
def test_the_base_is_trained_in_the_first_task_alone(kind):
    hypernetwork, _ = a_hypernetwork(kind, tasks=1)
    assert all(parameter.requires_grad for parameter in hypernetwork.base)
    hypernetwork.add_task()
    assert not any(parameter.requires_grad for parameter in hypernetwork.base)


def test_the_first_tasks_embedding_is_zero_and_never_trained():
    hypernetwork, _ = a_hypernetwork()
    assert not hypernetwork.embeddings[0].any()
    assert all(parameter is not hypernetwork.embeddings[0] for parameter in hypernetwork.task_parameters(0))
    assert not hypernetwork.embeddings[0].requires_grad


# Drift


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by", [1e-3, 0.5])
@pytest.mark.parametrize("chosen", [None, [3, 1]])
def test_the_closed_form_is_the_drift_and_its_gradient(kind, by, chosen):
    hypernetwork, _ = a_hypernetwork(kind, tasks=5)
    hypernetwork.double()
    all_its_tasks_but(hypernetwork, trained=4)
    earlier = torch.arange(4)
    with torch.no_grad():
        before = GeneratedSnapshot(earlier, hypernetwork(earlier))
    snapshot = hypernetwork.snapshot(earlier)
    moved(hypernetwork, by)
    chosen = None if chosen is None else torch.tensor(chosen)
    trained = [p for p in hypernetwork.parameters() if p.requires_grad]
    results = [hypernetwork.drift(snapshot, chosen), hypernetwork.generated_drift(before, chosen)]
    torch.testing.assert_close(*results)
    gradients = [torch.autograd.grad(result, trained, materialize_grads=True) for result in results]
    assert any(gradient.abs().max() > 0 for gradient in gradients[0])
    for ours, defined in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, defined, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_in_float32_the_drift_is_zero_at_the_snapshot_and_exact_near_it(kind):
    hypernetwork, _ = a_hypernetwork(kind, tasks=5)
    all_its_tasks_but(hypernetwork, trained=4)
    earlier = torch.arange(4)
    snapshot = hypernetwork.snapshot(earlier)
    assert float(hypernetwork.drift(snapshot)) == 0
    exact = a_hypernetwork(kind, tasks=5)[0].double()
    exact.load_state_dict(hypernetwork.state_dict())
    with torch.no_grad():
        before = GeneratedSnapshot(earlier, exact(earlier))
    moved(hypernetwork, 1e-5)
    exact.load_state_dict(hypernetwork.state_dict())
    with torch.no_grad():
        assert float(hypernetwork.drift(snapshot)) == pytest.approx(float(exact.generated_drift(before)), rel=1e-3)


def test_earlier_tasks_whose_own_parameters_move_drift_too():
    hypernetwork, _ = a_hypernetwork(tasks=3)
    hypernetwork.double()
    earlier = torch.arange(3)
    with torch.no_grad():
        before = GeneratedSnapshot(earlier, hypernetwork(earlier))
    snapshot = hypernetwork.snapshot(earlier)
    with torch.no_grad():
        for task in (1, 2):
            for parameter in hypernetwork.task_parameters(task):
                parameter.add_(0.1 * torch.randn_like(parameter))
    torch.testing.assert_close(hypernetwork.drift(snapshot), hypernetwork.generated_drift(before))
