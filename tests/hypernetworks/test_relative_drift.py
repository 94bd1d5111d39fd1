"""The drift relative to what earlier tasks' tensors were, of every generator: closed forms and the definition."""

import pytest
import torch

from clhyper.backbones import MLP, SmallConvNet, set_norm, split
from clhyper.hypernetworks import GENERATORS, Hypernetwork

OPTIONS = {
    "additive": {"embedding": 5, "hidden": (7, 6), "channel_embedding": 3},
    "chunked": {"chunk_size": 100, "chunk_hidden": (9,)},
    "static": {"embedding": 3},
    "low-rank": {"rank": 4, "embedding": 3},
    "factored": {"rank": 4},
}
BACKS = {"convolutions": lambda: SmallConvNet(classes=3), "linear layers": lambda: MLP((1, 4, 4), classes=3)}
EARLIER = torch.arange(3)


def a_hypernetwork(generator, back="linear layers", depth=1):
    torch.manual_seed(0)
    _, layers = split(BACKS[back](), depth)
    set_norm(layers, "instance")
    hypernetwork = GENERATORS[generator](layers, **OPTIONS[generator])
    for _ in range(len(EARLIER) + 1):
        hypernetwork.add_task()
    return move(hypernetwork.double(), by=0.1)


def freeze_earlier(hypernetwork):
    for task in EARLIER.tolist():
        for parameter in hypernetwork.own(task):
            parameter.requires_grad_(False)


def move(hypernetwork, by=0.05):
    with torch.no_grad():
        for parameter in hypernetwork.parameters():
            if parameter.requires_grad:
                parameter.add_(by * torch.randn_like(parameter))
    return hypernetwork


def by_hand(hypernetwork, before, chosen):
    """Each part's squared distance, summed over tasks, beside its sum of squares before, averaged over all tasks."""
    now, total = hypernetwork(EARLIER), 0.0
    for part in hypernetwork.parts:
        size = sum(before[name].square().sum() for name in part) / len(EARLIER)
        assert size > 0
        total = total + sum((now[name] - before[name])[chosen].square().sum() for name in part) / size
    return total


@pytest.mark.parametrize("chosen", [None, [2, 0]])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("back", BACKS)
@pytest.mark.parametrize("generator", GENERATORS)
def test_the_closed_form_is_the_relative_drift_and_its_gradient(generator, back, frozen, chosen):
    hypernetwork = a_hypernetwork(generator, back)
    if frozen:
        freeze_earlier(hypernetwork)
    with torch.no_grad():
        before = hypernetwork(EARLIER)
    snapshot = hypernetwork.snapshot(EARLIER, relative=True)
    definition = Hypernetwork.snapshot(hypernetwork, EARLIER, relative=True)
    assert float(hypernetwork.drift(snapshot)) == pytest.approx(0, abs=1e-20)
    move(hypernetwork)
    positions = None if chosen is None else torch.tensor(chosen)
    trained = [p for p in hypernetwork.parameters() if p.requires_grad]
    results = [
        hypernetwork.drift(snapshot, positions),
        by_hand(hypernetwork, before, slice(None) if chosen is None else chosen),
        hypernetwork.generated_drift(definition, positions),
    ]
    gradients = [torch.autograd.grad(result, trained, materialize_grads=True) for result in results]
    assert max(float(gradient.abs().max()) for gradient in gradients[0]) > 1e-3
    for result, its in zip(results[1:], gradients[1:], strict=True):
        torch.testing.assert_close(results[0], result)
        for ours, defined in zip(gradients[0], its, strict=True):
            torch.testing.assert_close(ours, defined, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("generator", GENERATORS)
def test_each_tensor_and_the_table_as_a_whole_are_parts_and_no_tensor_is_missed(generator):
    hypernetwork = a_hypernetwork(generator)
    names = [name for part in hypernetwork.parts for name in part]
    assert sorted(names) == sorted(hypernetwork.shapes)
    assert [part for part in hypernetwork.parts if len(part) > 1] == (
        [] if generator == "chunked" else [hypernetwork.row_names]
    )


@pytest.mark.parametrize("generator", ["factored", "additive", "static"])
def test_a_part_that_was_zero_is_divided_by_how_many_numbers_it_has(generator):
    hypernetwork = a_hypernetwork(generator)
    with torch.no_grad():
        for task in EARLIER.tolist():
            hypernetwork.table[task].zero_()
    snapshot = hypernetwork.snapshot(EARLIER, relative=True)
    with torch.no_grad():
        hypernetwork.table[1].add_(0.5)
    torch.testing.assert_close(hypernetwork.drift(snapshot), torch.tensor(0.25, dtype=torch.float64))


@pytest.mark.parametrize("generator", GENERATORS)
def test_what_is_made_of_a_tasks_own_is_what_is_generated_for_it(generator):
    hypernetwork = a_hypernetwork(generator)
    for task in range(hypernetwork.tasks):
        made = hypernetwork.weights(hypernetwork.own(task))
        for name, weight in hypernetwork.generate(task).items():
            torch.testing.assert_close(made[name], weight)
