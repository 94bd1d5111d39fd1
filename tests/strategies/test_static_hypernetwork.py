"""Static hypernetworks: the paper's counts, what later tasks leave as it was, and what moves."""

from collections import OrderedDict

import pytest
import torch
from small_runs import digits, images, learn, make, same, tensors

from benchmarks import SplitDigits
from clhyper.backbones import MLP, Backbone, MNISTConvNet, SlimResNet18, SmallConvNet, WRN40x1, WRN40x2
from clhyper.errors import UserError
from clhyper.evaluation import AccuracyMatrix, CostMeter
from strategies import PartialHypernetwork, StaticHypernetwork

PAPER = {  # tiles, numbers of a task's embeddings, of these and the generator, of the kernels that they stand for
    WRN40x1: (242, 15_488, 91_408, 557_568),
    WRN40x2: (966, 61_824, 137_744, 2_225_664),
}


def numbers_in(parameters):
    return sum(parameter.numel() for parameter in parameters)


def a_model(backbone, tasks=1, **options):
    """The model of a static hypernetwork that has room for some tasks, untrained."""
    torch.manual_seed(0)
    model = StaticHypernetwork(backbone(), **options).model.train()
    for experience in list(SplitDigits().train_stream)[:tasks]:
        model.adaptation(experience)
    return model


# The paper's counts


@pytest.mark.parametrize("backbone", PAPER)
def test_a_wide_resnets_kernels_are_generated_from_as_many_parameters_as_in_the_paper(backbone):
    hypernetwork = a_model(backbone).hypernetwork
    tiles, embeddings, total, kernels = PAPER[backbone]
    generator = numbers_in(hypernetwork.generators.parameters())
    assert generator == 75_920
    assert hypernetwork.tiles == tiles
    assert generator + numbers_in(hypernetwork.embeddings) == total
    assert numbers_in(hypernetwork.generate(0)[name] for name in hypernetwork.kernels) == kernels
    assert len(hypernetwork.kernels) == 36
    ordinary = {name for name, p in backbone().named_parameters() if p.ndim == 4} - set(hypernetwork.kernels)
    assert set(hypernetwork.ordinary_names) == ordinary
    assert all(name == "conv1.0.weight" or name.endswith("0.shortcut.weight") for name in ordinary)
    assert numbers_in(hypernetwork.embeddings) == embeddings


@pytest.mark.parametrize("backbone", PAPER)
def test_a_task_adds_its_embeddings_and_its_norms_and_classifier(backbone):
    model = a_model(backbone, tasks=2)
    before = numbers_in(a_model(backbone).parameters())
    norms_and_classifier = numbers_in(p for p in backbone().parameters() if p.ndim < 3)
    assert numbers_in(model.parameters()) - before == PAPER[backbone][1] + norms_and_classifier
    its = [tensor for tensor in model.task_tensors(1) if isinstance(tensor, torch.nn.Parameter)]
    assert numbers_in(its) == PAPER[backbone][1] + norms_and_classifier


def test_the_mnist_networks_one_kernel_is_generated_from_4244_parameters():
    hypernetwork = a_model(MNISTConvNet, embedding=4).hypernetwork
    assert list(hypernetwork.kernels) == ["conv2.0.weight"]
    assert hypernetwork.kernels["conv2.0.weight"] == (16, 16, 7, 7)
    assert numbers_in(hypernetwork.generators.parameters()) + numbers_in(hypernetwork.embeddings) == 4_244
    assert hypernetwork.ordinary_names == ["conv1.0.weight", "conv1.0.bias"]


# Which layers are generated


@pytest.mark.parametrize("depth", range(5))
def test_any_backbone_is_generated_behind_its_first_layer_and_behind_the_freeze_depth(depth):
    model = a_model(SlimResNet18, freeze_depth=depth, embedding=3)
    hypernetwork = model.hypernetwork
    assert hypernetwork.ordinary_names == (["layer1.0.weight"] if depth == 0 else [])
    kernels = [name for name, p in SlimResNet18().named_parameters() if p.ndim == 4 and int(name[5]) > depth]
    assert [*hypernetwork.ordinary_names, *hypernetwork.kernels] == kernels
    windows = {"9", "1"} if depth < 4 else set()  # 1x1 kernels have a generator of their own
    assert set(hypernetwork.generators) == windows
    assert model.eval()(torch.randn(2, 3, 32, 32), 0)[:, :2].isfinite().all()


def test_a_network_of_linear_layers_is_generated_behind_its_first():
    hypernetwork = a_model(MLP, embedding=3).hypernetwork
    assert hypernetwork.ordinary_names == ["hidden1.1.weight", "hidden1.1.bias"]
    assert list(hypernetwork.kernels) == ["hidden2.0.weight"]


def test_a_network_without_layers_before_its_classifier_trains_a_classifier_for_each_task():
    stages = OrderedDict(flat=torch.nn.Flatten())
    strategy = learn(StaticHypernetwork(Backbone(stages, 64, 10), epochs=1), 0, 1)
    own = strategy.model.hypernetwork
    assert (own.ordinary_names, list(own.kernels)) == ([], [])
    assert not torch.equal(
        strategy.model.generate(0)["classifier.weight"], strategy.model.generate(1)["classifier.weight"]
    )


@pytest.mark.parametrize("backbone", [WRN40x1, SmallConvNet, MNISTConvNet])
def test_every_tasks_kernels_start_at_the_scale_of_ordinary_ones_and_the_rest_as_ordinary_layers_do(backbone):
    model = a_model(backbone, tasks=2)
    torch.manual_seed(0)
    present = dict(backbone().named_parameters())
    for task in (0, 1):
        weights = model.generate(task)
        for name in model.hypernetwork.kernels:
            assert 0.6 < float(weights[name].std() / present[name].std()) < 1.5, name
        for name in model.hypernetwork.ordinary_names:
            assert torch.equal(weights[name], present[name])
        for name, value in weights.items():
            if "norm" in name and name.endswith("weight"):
                assert (value == 1).all()
    assert any(not torch.equal(model.generate(0)[name], model.generate(1)[name]) for name in model.hypernetwork.kernels)


def test_at_depth_1_of_a_backbone_without_ordinary_kernels_it_is_the_partial_hypernetwork_bit_for_bit():
    models = []
    for strategy, options in (
        (StaticHypernetwork, {}),
        (PartialHypernetwork, {"generator": "static", "embedding": 64, "norm": "batch"}),
    ):
        torch.manual_seed(0)
        stream = digits(validation=0.5)
        learner = strategy(stream.backbone(), freeze_depth=1, epochs=1, **options)
        models.append(tensors(learn(learner, 0, 1, stream=stream).model))
    assert same(*models)


# Training


def test_a_gradient_reaches_all_that_the_first_experience_trains():
    stream = SplitDigits(experiences=1, backbone="wrn-40-1", images_each=64)
    strategy = StaticHypernetwork(stream.backbone(), epochs=1)
    strategy.train(stream.train_stream[0])
    still = [name for name, p in strategy.model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_the_cost_of_an_only_experience_counts_what_the_paper_counts_and_what_is_ordinary():
    cost = CostMeter()
    stream = SplitDigits(experiences=1, backbone="wrn-40-1", images_each=64)
    strategy = StaticHypernetwork(stream.backbone(), epochs=1, plugins=[cost])
    strategy.train(stream.train_stream[0])
    (record,) = cost.records
    ordinary = sum(p.numel() for p in stream.backbone().parameters()) - 557_568
    assert record["trainable_parameters"] == 91_408 + ordinary
    assert record["generated_parameters"] == 557_568 + ordinary - (9 * 16 + 2_560)  # but for what tasks share
    assert record["frozen_parameters"] == 0
    assert record["generation_macs"] > 0


@pytest.mark.slow
def test_a_wide_resnet_learns_the_digits_in_an_only_experience():
    stream = SplitDigits(experiences=1, backbone="wrn-40-1")
    matrix = AccuracyMatrix(stream.test_stream)
    StaticHypernetwork(stream.backbone(), epochs=3, plugins=[matrix]).train(stream.train_stream[0])
    assert matrix.matrix[0][0] > 0.9


def test_the_mnist_network_learns_the_digits_in_an_only_experience():
    stream = SplitDigits(experiences=1, backbone="mnist-convnet")
    matrix = AccuracyMatrix(stream.test_stream)
    options = {"epochs": 6, "embedding": 4, "learning_rate": 5e-3}
    StaticHypernetwork(stream.backbone(), plugins=[matrix], **options).train(stream.train_stream[0])
    assert matrix.matrix[0][0] > 0.9


def test_it_learns_three_experiences_and_keeps_the_earlier_ones():
    stream = digits()
    matrix = AccuracyMatrix(stream.test_stream[:3])
    strategy = make("tile hypernetwork", epochs=6, plugins=[matrix], embedding=64)
    learn(strategy, 0, 1, 2)
    assert min(matrix.matrix[2][:3]) > 0.9


# What stays


def task_0(strategy):
    """All of the first task's own: its tiles' embeddings, norms, classifier, running statistics."""
    return [tensor.detach().clone() for tensor in strategy.model.task_tensors(0)]


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_what_earlier_tasks_have_of_their_own_is_bit_identical_at_the_end(optimizer):
    strategy = make("tile hypernetwork", optimizer=optimizer)
    strategy.model.train().adaptation(digits().train_stream[0])
    start = task_0(strategy)
    learn(strategy, 0)
    kept = task_0(strategy)
    assert not any(torch.equal(one, other) for one, other in zip(start, kept, strict=True))
    learn(strategy, 1, 2)
    assert len(kept) > 2
    assert all(torch.equal(one, other) for one, other in zip(kept, task_0(strategy), strict=True))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_the_first_convolution_learns_in_the_first_experience_and_is_bit_identical_after_it(optimizer):
    strategy = make("tile hypernetwork", optimizer=optimizer)
    (first,) = strategy.model.hypernetwork.ordinary
    start = first.detach().clone()
    learn(strategy, 0)
    learned = first.detach().clone()
    assert not torch.equal(learned, start)
    learn(strategy, 1, 2)
    assert torch.equal(first, learned)
    assert all(first is not p for group in strategy.optimizer.param_groups for p in group["params"])
    assert strategy.model.generate(0)["conv1.0.weight"] is first


def test_the_first_convolution_stays_frozen_in_a_strategy_that_was_restored():
    saved = learn(make("tile hypernetwork"), 0)
    resumed = make("tile hypernetwork")
    resumed.restore(saved.state())
    (learned,) = (p.detach().clone() for p in saved.model.hypernetwork.ordinary)
    learn(resumed, 1)
    assert torch.equal(resumed.model.hypernetwork.ordinary[0], learned)
    assert same(tensors(resumed.model), tensors(learn(saved, 1).model))


def test_a_wide_resnets_shortcuts_are_frozen_after_the_first_experience_and_at_any_depth():
    stream = SplitDigits(backbone="wrn-40-1", images_each=64)
    strategy = StaticHypernetwork(stream.backbone(), epochs=1, freeze_depth=3, embedding=4, batch_size=32)
    assert strategy.model.hypernetwork.ordinary_names == ["conv4.0.shortcut.weight"]
    start = tensors(strategy.model.hypernetwork.ordinary)
    strategy.train(stream.train_stream[0])
    learned = tensors(strategy.model.hypernetwork.ordinary)
    strategy.train(stream.train_stream[1])
    assert not same(start, learned)
    assert same(learned, tensors(strategy.model.hypernetwork.ordinary))


def network_of(strategy, task=0):
    x, *_ = images(task, count=16)
    weights = {name: value.detach().clone() for name, value in strategy.model.generate(task).items()}
    with torch.no_grad():
        return weights, strategy.model.eval()(x, task)


@pytest.mark.parametrize("held", [True, False])
def test_an_earlier_tasks_network_moves_only_where_the_generator_does(held):
    strategy = learn(make("tile hypernetwork"), 0)
    weights, logits = network_of(strategy)
    for parameter in strategy.model.hypernetwork.generators.parameters() if held else ():
        parameter.register_hook(torch.zeros_like)
    learn(strategy, 1)
    now, logits_now = network_of(strategy)
    kernels = list(strategy.model.hypernetwork.kernels)
    assert {name for name in now if not torch.equal(now[name], weights[name])} == (set() if held else set(kernels))
    assert torch.equal(logits, logits_now) == held


def test_the_drift_keeps_earlier_kernels_nearer_to_what_they_were():
    moved = {}
    for beta in (0.0, 10.0):
        strategy = learn(make("tile hypernetwork", beta=beta), 0)
        before, _ = network_of(strategy)
        after, _ = network_of(learn(strategy, 1, 2))
        kernels = strategy.model.hypernetwork.kernels
        moved[beta] = float(sum((after[name] - before[name]).square().sum() for name in kernels))
    assert 0 < moved[10.0] < moved[0.0] / 10


# Words


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"embedding": 0}, "embedding 0: at least 1"),
        ({"beta": -1.0}, "beta -1.0: at least 0, and finite"),
        ({"beta": 0.0, "drift_scale": "relative"}, "there is no drift to scale with beta 0"),
        ({"embedding_rate": 0.0}, "embedding_rate 0.0: more than 0, and finite"),
        ({"freeze_depth": 9}, "freeze_depth 9: SmallConvNet has depths 0 to 3"),
        ({"generator": "static"}, "unknown option of StaticHypernetwork 'generator'"),
    ],
)
def test_an_option_that_is_not_right_is_refused_by_name(options, sentence):
    with pytest.raises(UserError, match=sentence):
        StaticHypernetwork(digits().backbone(), **options)
