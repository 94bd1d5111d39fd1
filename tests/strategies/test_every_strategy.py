"""What holds for every strategy: predictions, repetition, resumption."""

import pytest
import torch
from small_runs import LEARNERS, digits, images, learn, make, same, tensors

from clhyper.evaluation import AccuracyMatrix
from clhyper.registry import entries
from strategies import Joint

NORMS = ["batch", "group", "instance"]


def test_every_strategy_is_covered_here():
    classes = {entry.exported for entry in entries("strategy").values()}
    assert {name for name, _ in LEARNERS.values()} | {"Joint"} <= classes
    published = {"naive", "joint", "replay", "latent-replay", "separate", "partial-hypernetwork", "full-hypernetwork"}
    published |= {"ewc", "lwf", "agem", "der", "static-hypernetwork"}
    assert published <= set(entries("strategy"))


# Predictions


def predictions_agree(model):
    x, _, tasks = (torch.cat(parts) for parts in zip(images(0, count=12), images(1, count=12), strict=True))
    model.eval()
    with torch.no_grad():
        order = torch.randperm(24, generator=torch.Generator().manual_seed(0))
        mixed = torch.empty(24, 2)
        mixed[order] = model(x[order], tasks[order])
        apart = torch.cat([model(x[tasks == task], tasks[tasks == task]) for task in (0, 1)])
        alone = torch.cat([model(x[row : row + 1], tasks[row : row + 1]) for row in range(24)])
        as_number = torch.cat([model(x[tasks == task], task) for task in (0, 1)])
    assert mixed.std() > 0.01
    for other in (apart, alone, as_number):
        torch.testing.assert_close(mixed, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("learner", "norm"),
    [  # where a norm keeps statistics of tasks, and where it has none
        pytest.param(learner, norm, marks=pytest.mark.slow if norm == "group" and learner != "naive" else ())
        for learner in LEARNERS
        for norm in NORMS
    ],
)
def test_predictions_do_not_depend_on_what_else_is_in_the_batch(learner, norm):
    predictions_agree(learn(make(learner, norm=norm, front_norm=norm), 0, 1).model)


@pytest.mark.parametrize("front", NORMS)
def test_predictions_do_not_depend_on_the_batch_whatever_norm_the_front_has(front):
    strategy = learn(make("partial hypernetwork", front_norm=front, norm="batch"), 0, 1)
    kinds = {"batch": "BatchNorm2d", "group": "GroupNorm", "instance": "InstanceNorm"}
    assert kinds[front] in {type(module).__name__ for module in strategy.model.front.modules()}
    predictions_agree(strategy.model)


def test_training_a_generated_back_with_batch_norm_leaves_other_tasks_statistics():
    strategy = learn(make("partial hypernetwork", norm="batch"), 0)
    first = tensors(strategy.model.statistics[0])
    assert first["conv2_1_num_batches_tracked"] == len(digits().train_stream[0].images) // 64
    learn(strategy, 1)
    assert same(tensors(strategy.model.statistics[0]), first)
    second = tensors(strategy.model.statistics[1])
    assert not torch.equal(first["conv2_1_running_mean"], second["conv2_1_running_mean"])


@pytest.mark.parametrize("learner", ["naive", "latent replay", "separate", "partial hypernetwork", "full hypernetwork"])
def test_every_kind_of_strategy_learns_both_of_two_experiences(learner):
    matrix = AccuracyMatrix(digits().test_stream[:2])
    weak = {"beta": 0.005} if "hypernetwork" in learner else {}
    learn(make(learner, epochs=10, plugins=[matrix], learning_rate=1e-2, **weak), 0, 1)
    assert matrix.matrix[0][0] > 0.8
    assert matrix.matrix[1][1] > 0.8
    if learner not in ("naive", "full hypernetwork"):
        assert matrix.matrix[1][0] > 0.8


# Evaluation


@pytest.mark.parametrize("learner", LEARNERS)
def test_evaluation_leaves_the_model_its_mode_and_the_random_state_as_they_were(learner):
    strategy = learn(make(learner), 0, 1)
    strategy.model.train()
    before, mode = tensors(strategy.model), [module.training for module in strategy.model.modules()]
    random = torch.get_rng_state()
    strategy.eval(digits().test_stream)
    assert torch.equal(torch.get_rng_state(), random)
    assert same(tensors(strategy.model), before)
    assert [module.training for module in strategy.model.modules()] == mode


@pytest.mark.parametrize("learner", LEARNERS)
def test_training_ends_with_the_same_numbers_whether_or_not_it_is_evaluated(learner):
    stream = digits(validation=0.5)
    plain = learn(make(learner, stream), 0, 1, stream=stream)
    evaluated = make(learner, stream, plugins=[AccuracyMatrix(stream.test_stream)])
    learn(evaluated, 0, 1, stream=stream)
    assert same(tensors(plain.model), tensors(evaluated.model))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_evaluation_uses_the_weights_as_training_left_them(optimizer):
    strategy = learn(make("partial hypernetwork", optimizer=optimizer), 0)
    strategy.eval(digits().test_stream[0])
    for _ in range(2):
        learn(strategy, 0)
        strategy.eval(digits().test_stream[0])
        model = strategy.model.eval()
        now = model.generate(0)
        assert all(torch.equal(value, now[name]) for name, value in model.weights(0).items())


def test_evaluation_generates_each_tasks_weights_once_until_training_goes_on():
    strategy = learn(make("partial hypernetwork"), 0, 1)
    made, generate = [], strategy.model.hypernetwork.generate
    strategy.model.hypernetwork.generate = lambda task: made.append(task) or generate(task)
    strategy.model.eval()
    for _ in range(2):
        strategy.eval(digits().test_stream[:2])
    assert made == [0, 1]
    learn(strategy, 2)
    made.clear()
    strategy.eval(digits().test_stream[:2])
    assert made == [0, 1]


# Same numbers every time


@pytest.mark.parametrize("learner", LEARNERS)
def test_the_same_seed_ends_with_the_same_numbers_and_another_seed_with_others(learner):
    stream = digits(augmentation="crop-flip", validation=0.5)
    first, again, other = (
        tensors(learn(make(learner, stream, seed=seed), 0, 1, stream=stream).model) for seed in (3, 3, 4)
    )
    assert same(first, again)
    assert not same(first, other)


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_strategy_restored_after_two_experiences_goes_on_bit_for_bit(learner, tmp_path):
    stream = digits(augmentation="flip", validation=0.5)
    options = {"norm": "batch"}
    straight = learn(make(learner, stream, **options), 0, 1, stream=stream)
    torch.save(straight.state(), tmp_path / "state.pt")
    learn(straight, 2, 3, stream=stream)
    torch.manual_seed(12345)
    resumed = make(learner, stream, initialisation=0, **options)
    resumed.restore(torch.load(tmp_path / "state.pt", weights_only=True))
    assert resumed.experiences_learned == 2
    learn(resumed, 2, 3, stream=stream)
    assert same(tensors(resumed.model), tensors(straight.model))
    assert resumed.model.classes_of == straight.model.classes_of
    assert resumed.model.front_frozen == straight.model.front_frozen


@pytest.mark.parametrize("learner", LEARNERS)
def test_a_restored_strategy_predicts_bit_for_bit_what_the_saved_one_predicted(learner):
    saved = learn(make(learner), 0, 1, stream=digits(validation=0.5))
    resumed = make(learner)
    resumed.restore(saved.state())
    x, _, tasks = images(1)
    assert torch.equal(saved.model.eval()(x, tasks), resumed.model.eval()(x, tasks))


def test_batches_and_augmentation_follow_the_seed_and_differ_from_experience_to_experience():
    drawn = []
    for seed in (3, 3, 4):
        strategy = make("naive", seed=seed)
        for number in range(2):
            drawn.append([float(torch.rand(1, generator=strategy.generator(p))) for p in ("batches", "augmentation")])
            learn(strategy, number)
    assert drawn[0:2] == drawn[2:4]
    assert len({number for pair in (*drawn[0:2], *drawn[4:6]) for number in pair}) == 8


def test_training_does_not_depend_on_random_numbers_drawn_outside():
    first = tensors(learn(make("latent replay"), 0, 1).model)
    strategy = learn(make("latent replay"), 0)
    torch.manual_seed(99)
    torch.rand(7)
    assert same(tensors(learn(strategy, 1).model), first)


def test_joint_training_repeats_itself():
    models = []
    for seed in (0, 0, 1):
        torch.manual_seed(0)
        strategy = Joint(digits().backbone(), epochs=1, seed=seed)
        strategy.train(digits(validation=0.5).train_stream)
        models.append(tensors(strategy.model))
    assert same(models[0], models[1])
    assert not same(models[0], models[2])


@pytest.mark.parametrize("learner", sorted(set(LEARNERS) - {"replay", "full hypernetwork"}))
def test_every_strategy_with_a_freeze_depth_learns_with_all_but_the_classifier_frozen(learner):
    strategy = learn(make(learner, freeze_depth=digits().backbone().depth), 0, 1)
    assert strategy.model.front_frozen
    front = tensors(strategy.model.front)
    assert strategy.model.knows(digits().train_stream[1])
    assert same(tensors(learn(strategy, 2).model.front), front)
