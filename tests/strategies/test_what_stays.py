"""What is frozen or idle doesn't move, bit for bit."""

import pytest
import torch
from small_runs import FREEZING, digits, images, learn, make, same, tensors

import strategies
from benchmarks import SplitDigits
from clhyper.evaluation import CostMeter

OPTIMIZERS = ["adam", "adamw", "sgd"]


@pytest.mark.parametrize("learner", FREEZING)
def test_the_front_learns_in_the_first_experience_and_is_bit_identical_after_it(learner):
    strategy = make(learner)
    start = tensors(strategy.model.front)
    learn(strategy, 0)
    frozen = tensors(strategy.model.front)
    assert any(name.endswith("running_mean") for name in frozen)
    assert any(name.endswith("num_batches_tracked") for name in frozen)
    assert all(not torch.equal(start[name], frozen[name]) for name in frozen)
    learn(strategy, 1, 2)
    assert same(tensors(strategy.model.front), frozen)


@pytest.mark.parametrize("learner", FREEZING)
def test_a_frozen_front_stays_while_augmented_images_pass_through_it(learner):
    stream = digits(augmentation="flip")
    strategy = learn(make(learner, stream), 0, stream=stream)
    frozen = tensors(strategy.model.front)
    learn(strategy, 1, stream=stream)
    assert same(tensors(strategy.model.front), frozen)


@pytest.mark.parametrize("learner", FREEZING)
def test_a_loaded_front_is_frozen_from_the_start(learner, tmp_path):
    pretrained = learn(make("naive", initialisation=5), 4).model
    backbone = torch.nn.Sequential()
    for name, stage in pretrained.body.named_children():
        backbone.add_module(name, stage)
    torch.save(backbone.state_dict(), tmp_path / "front.pt")
    strategy = make(learner, front=tmp_path / "front.pt")
    loaded = tensors(strategy.model.front)
    assert all(torch.equal(value, backbone.state_dict()[name]) for name, value in loaded.items())
    assert loaded["conv1.1.num_batches_tracked"] > 0
    learn(strategy, 0, 1)
    assert same(tensors(strategy.model.front), loaded)


@pytest.mark.parametrize("learner", ["naive", "replay", "full hypernetwork"])
def test_at_depth_0_nothing_is_frozen(learner):
    strategy = learn(make(learner), 0)
    before = {name: p.detach().clone() for name, p in strategy.model.named_parameters()}
    learn(strategy, 1)
    idle = {
        name
        for name, p in strategy.model.named_parameters()
        if name in before and torch.equal(p, before[name]) and "table.0" not in name and "embeddings.0" not in name
    }
    assert idle == ({"heads.0.weight", "heads.0.bias"} if learner == "naive" else set())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("learner", ["partial hypernetwork", "full hypernetwork"])
def test_earlier_tasks_embeddings_and_table_rows_are_bit_identical_after_later_tasks(learner, optimizer):
    strategy = make(learner, optimizer=optimizer)
    kept = {}
    for task in range(3):
        learn(strategy, task)
        own = strategy.model.hypernetwork.task_parameters
        assert all(torch.equal(before, now) for t in kept for before, now in zip(kept[t], own(t), strict=True))
        kept[task] = [p.detach().clone() for p in own(task)]
    fresh = make(learner, optimizer=optimizer)
    fresh.model.train().adaptation(digits().train_stream[0])
    for trained, start in zip(kept[0][1:], fresh.model.hypernetwork.task_parameters(0)[1:], strict=True):
        assert not torch.equal(trained, start)
    assert not torch.equal(kept[1][0], kept[0][0])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("learner", ["naive", "naive at depth 2"])
def test_earlier_heads_are_bit_identical_after_later_tasks(learner, optimizer):
    strategy = learn(make(learner, optimizer=optimizer), 0)
    first = tensors(strategy.model.heads["0"])
    learn(strategy, 1)
    second = tensors(strategy.model.heads["1"])
    learn(strategy, 2)
    assert same(tensors(strategy.model.heads["0"]), first)
    assert same(tensors(strategy.model.heads["1"]), second)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_earlier_separate_backs_and_their_predictions_are_bit_identical_after_later_tasks(optimizer):
    strategy = learn(make("separate", optimizer=optimizer), 0)
    first = tensors(strategy.model.backs["0"])
    x, _, tasks = images(0)
    before = strategy.model.eval()(x, tasks)
    learn(strategy, 1, 2)
    assert same(tensors(strategy.model.backs["0"]), first)
    assert torch.equal(strategy.model.eval()(x, tasks), before)
    assert set(strategy.model.backs) == {"0", "1", "2"}


def test_each_separate_back_is_newly_initialised_and_of_its_own_seed():
    strategy = learn(make("separate"), 0)
    trained = tensors(strategy.model.backs["0"])
    strategy.model.train()
    strategy.experience = digits().train_stream[1]
    strategy.check_model_and_optimizer()
    fresh = tensors(strategy.model.backs["1"])
    assert not any(torch.equal(fresh[name], trained[name]) for name in fresh)
    assert torch.equal(fresh["conv2.1.weight"], torch.ones(32))
    assert fresh["conv2.1.num_batches_tracked"] == 0
    other = tensors(learn(make("separate", epochs=1, learning_rate=1e-30), 0).model.backs["0"])
    assert not torch.equal(fresh["conv2.0.weight"], other["conv2.0.weight"])


@pytest.mark.parametrize("learner", ["naive", "replay", "partial hypernetwork"])
def test_no_optimizer_state_outlives_an_experience(learner):
    strategy = learn(make(learner), 0)
    before = strategy.optimizer
    assert before.state
    strategy.experience = digits().train_stream[1]
    strategy.model.train()
    strategy.check_model_and_optimizer()
    assert strategy.optimizer is not before
    assert not strategy.optimizer.state
    trained = {id(p) for group in strategy.optimizer.param_groups for p in group["params"]}
    assert trained >= {id(p) for p in strategy.model.parameters() if p.requires_grad}
    assert trained == {id(p) for p in strategy.model.trained_parameters()}


@pytest.mark.parametrize("learner", FREEZING)
def test_what_is_frozen_is_no_part_of_the_optimizer(learner):
    strategy = learn(make(learner), 0, 1)
    trained = {id(p) for group in strategy.optimizer.param_groups for p in group["params"]}
    assert not trained & {id(p) for p in strategy.model.front.parameters()}
    if learner == "partial hypernetwork":
        assert not trained & {id(p) for p in strategy.model.hypernetwork.task_parameters(0)}
        assert trained >= {id(p) for p in strategy.model.hypernetwork.task_parameters(1)}


@pytest.mark.parametrize("learner", FREEZING)
def test_the_features_of_a_frozen_front_are_computed_once_an_experience(learner):
    strategy = learn(make(learner), 0)
    seen, features = [], strategy.model.features
    strategy.model.features = lambda x: seen.append(len(x)) or features(x)
    strategy.train_epochs = 3
    learn(strategy, 1)
    images = len(digits().train_stream[1].images)
    stored = {"latent replay": 10, "agem at depth 1": 50, "der at depth 1": 20 + 10}
    assert sum(seen) == images + stored.get(learner, 0)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("learner", ["latent replay", "lwf", "der"])
def test_the_padding_beside_the_heads_stays_zero(learner, optimizer):
    strategy = learn(make(learner, optimizer=optimizer), 0, 1)
    assert strategy.model.stack.spare
    assert not any(part.any() for part in strategy.model.stack.spare)


@pytest.mark.parametrize("strategy", ["Naive", "Separate", "PartialHypernetwork"])
def test_only_what_the_present_task_trains_counts_as_trainable(strategy):
    stream = SplitDigits()
    cost = CostMeter()
    learner = getattr(strategies, strategy)(stream.backbone(), epochs=1, freeze_depth=1, plugins=[cost])
    for experience in list(stream.train_stream)[:3]:
        learner.train(experience)
    second, third = cost.records[1], cost.records[2]
    assert third["trainable_parameters"] == second["trainable_parameters"]
    assert third["frozen_parameters"] > second["frozen_parameters"]
    optimized = {id(p) for group in learner.optimizer.param_groups for p in group["params"]}
    idle = [p for p in learner.model.task_tensors(0) if isinstance(p, torch.nn.Parameter)]
    assert idle
    assert not optimized & {id(p) for p in idle}
