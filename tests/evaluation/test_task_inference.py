"""Accuracy where the task isn't told: inferred by entropy and by features, for every strategy."""

import dataclasses
import importlib
import math
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from benchmarks import SplitDigits
from clhyper.data.experience import join
from clhyper.data.sources import digits
from clhyper.data.stream import split_stream
from clhyper.evaluation import AccuracyMatrix, CostMeter, TaskInference
from clhyper.evaluation.feature_statistics import SHRINKAGE, FeatureStatistics, pooled
from clhyper.evaluation.task_inference import entropy
from clhyper.options import StreamOptions
from strategies import Joint, LatentReplay, Naive, PartialHypernetwork, Separate

BY_ENTROPY = ("class_incremental_accuracy_by_entropy", "task_inference_accuracy_by_entropy")
BY_FEATURES = ("class_incremental_accuracy_by_features", "task_inference_accuracy_by_features")


def trained(learner, stream, *plugins, **options):
    """A strategy that has learned the stream, and its task inference."""
    inference = TaskInference(stream.test_stream)
    torch.manual_seed(0)
    chosen = {"epochs": 2, "learning_rate": 1e-2, **options}
    matrix = AccuracyMatrix(stream.test_stream)
    strategy = learner(stream.backbone(), plugins=[inference, matrix, *plugins], **chosen)
    for experience in [list(stream.train_stream)] if learner.offline else stream.train_stream:
        strategy.train(experience)
    return strategy, inference


@pytest.fixture(scope="module")
def stream():
    return SplitDigits(experiences=4)  # of 3, 3, 2 and 2 classes


@pytest.fixture(scope="module")
def hypernetwork(stream):
    return trained(PartialHypernetwork, stream, freeze_depth=1, epochs=3, norm="batch")


def test_entropy_is_that_of_the_predicted_probabilities():
    probabilities = torch.tensor([[0.5, 0.25, 0.25], [1 / 3, 1 / 3, 1 / 3], [0.9, 0.1, 0.0]])
    wanted = [1.5 * math.log(2), math.log(3), -0.9 * math.log(0.9) - 0.1 * math.log(0.1)]
    assert entropy(probabilities.log()).tolist() == pytest.approx(wanted, rel=1e-6)
    sure, surer = entropy(torch.tensor([[200.0, 0.0], [300.0, 0.0]])).tolist()
    assert sure > surer > 0


def of_digits(experience):
    images = experience.images
    x = images.preparation.normalise(images.x()).flatten(1)[:, 8:56]
    return x, images.labels, images.tasks


def test_statistics_are_the_means_of_classes_and_the_covariance_within_them(stream):
    statistics = FeatureStatistics()
    spread, count = np.zeros((48, 48)), 0
    for experience in list(stream.train_stream)[:3]:
        statistics.add(*of_digits(experience))
    for number, experience in enumerate(list(stream.train_stream)[:3]):
        x, y, _ = (part.numpy() for part in of_digits(experience))
        for label in np.unique(y):
            rows = x[y == label].astype(np.float64)
            mean = statistics.means[statistics.tasks == number][label]
            np.testing.assert_allclose(mean.numpy(), rows.mean(axis=0), atol=1e-6)
            spread += np.cov(rows.T, bias=True) * len(rows)
            count += len(rows)
    assert statistics.tasks.tolist() == [0, 0, 0, 1, 1, 1, 2, 2]
    assert statistics.images == count
    wanted = (1 - SHRINKAGE) * spread / count + SHRINKAGE * np.trace(spread / count) / 48 * np.eye(48)
    np.testing.assert_allclose(statistics.covariance().numpy(), wanted, atol=1e-6)


def test_the_nearest_task_is_that_of_the_least_mahalanobis_distance_to_a_class(stream):
    statistics = FeatureStatistics()
    for experience in stream.train_stream:
        statistics.add(*of_digits(experience))
    precision = np.linalg.inv(statistics.covariance().numpy())
    x, _, tasks = of_digits(stream.test_stream[1])
    apart = x.numpy()[:, None].astype(np.float64) - statistics.means.numpy()
    distances = np.einsum("nkc,cd,nkd->nk", apart, precision, apart)
    found = statistics.nearest_task()(x)
    assert found.tolist() == statistics.tasks[distances.argmin(axis=1)].tolist()
    assert (found == tasks).float().mean() > 0.8


def test_maps_are_averaged_over_their_pixels_and_vectors_stay():
    maps = torch.arange(24.0).view(1, 2, 3, 4)
    assert pooled(maps).tolist() == [[5.5, 17.5]]
    assert torch.equal(pooled(maps[0, 0]), maps[0, 0])


def test_statistics_are_of_images_as_they_are_however_those_are_augmented_and_read():
    stream = SplitDigits(augmentation="crop-flip", experiences=5)
    found = []
    for options in ({}, {"augmentation_views": 2}, {"loading": "loader"}):
        inference = TaskInference(stream.test_stream)
        torch.manual_seed(0)
        strategy = Naive(stream.backbone(), freeze_depth=1, epochs=1, plugins=[inference], **options)
        for experience in list(stream.train_stream)[:2]:
            strategy.train(experience)
        found.append(inference.statistics)
        images = experience.images
        with torch.no_grad():
            features = pooled(strategy.model.features(images.preparation.normalise(images.x())))
        for label, mean in enumerate(inference.statistics.means[2:]):
            torch.testing.assert_close(mean, features[images.labels == label].mean(dim=0))
    for other in found[1:]:
        torch.testing.assert_close(other.tensors(), found[0].tensors())


def test_runs_side_by_side_do_not_factor_at_the_same_time(monkeypatch):
    statistics, at_work, most = FeatureStatistics(), [], []
    generator = torch.Generator().manual_seed(0)
    statistics.add(torch.randn(20, 3, generator=generator), torch.arange(20) % 2, torch.zeros(20, dtype=torch.long))
    plain = torch.linalg.cholesky

    def slowly(matrix):
        at_work.append(matrix)
        most.append(len(at_work))
        time.sleep(0.05)
        at_work.pop()
        return plain(matrix)

    monkeypatch.setattr(torch.linalg, "cholesky", slowly)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: statistics.nearest_task(), range(4)))
    assert most == [1] * 4


def by_hand(strategy, inference, stream):
    """The four accuracies from every task's own predictions, task by task and image by image."""
    model, numbers = strategy.model.eval(), {name: [] for name in (*BY_ENTROPY, *BY_FEATURES)}
    for experience in stream.test_stream:
        images = experience.images
        x = images.preparation.normalise(images.x().to(strategy.device))
        hits = dict.fromkeys(numbers, 0)
        with torch.no_grad():
            every = [model(x, task) for task in range(len(stream.test_stream))]
            nearest = inference.statistics.nearest_task()(pooled(model.features(x))).tolist()
        for row, (label, task) in enumerate(zip(images.labels.tolist(), images.tasks.tolist(), strict=True)):
            sure = []
            for logits in every:
                p = logits[row].double().softmax(0)
                sure.append(-float((p[p > 0] * p[p > 0].log()).sum()))
            for names, chosen in ((BY_ENTROPY, int(np.argmin(sure))), (BY_FEATURES, nearest[row])):
                said = stream.test_stream[chosen].original_classes[int(every[chosen][row].argmax())]
                hits[names[0]] += said == experience.original_classes[label]
                hits[names[1]] += chosen == task
        for name, count in hits.items():
            numbers[name].append(count / len(images))
    return {name: np.mean(values) for name, values in numbers.items()}


def test_accuracies_are_those_of_each_tasks_own_predictions(hypernetwork, stream):
    strategy, inference = hypernetwork
    found = {name: value for name, (value, _) in inference.measured().items()}
    assert found == pytest.approx(by_hand(strategy, inference, stream), abs=1e-9)
    assert found[BY_FEATURES[1]] > 0.5


def test_where_tasks_have_the_same_classes_the_right_class_of_another_task_is_right():
    stream = SplitDigits(variant="rotated", experiences=3, max_angle=60)
    strategy, inference = trained(LatentReplay, stream, freeze_depth=1, epochs=1)
    found = {name: value for name, (value, _) in inference.measured().items()}
    assert found == pytest.approx(by_hand(strategy, inference, stream), abs=1e-9)
    assert found[BY_ENTROPY[0]] > found[BY_ENTROPY[1]]


@pytest.mark.parametrize(
    ("learner", "options"),
    [
        (Naive, {}),
        (LatentReplay, {"freeze_depth": 3}),
        (Separate, {"freeze_depth": 1}),
        (Separate, {"freeze_depth": 2, "norm": "group"}),
        (PartialHypernetwork, {"freeze_depth": 1}),
        (PartialHypernetwork, {"freeze_depth": 3, "generator": "chunked"}),
        (PartialHypernetwork, {"freeze_depth": 0, "norm": "batch"}),
        (PartialHypernetwork, {"freeze_depth": 2, "norm": "group"}),
    ],
)
def test_all_tasks_at_once_predict_as_one_by_one_in_any_batch(learner, options, stream, monkeypatch):
    strategy, _ = trained(learner, stream, epochs=1, **options)
    images = stream.test_stream[0].images
    x, model = images.preparation.normalise(images.x())[:40], strategy.model.eval()
    with torch.no_grad():
        features = model.features(x)
        one_by_one = torch.full((4, 40, 3), -torch.inf)
        for task in range(4):
            logits = model.back(features, task)
            one_by_one[task, :, : logits.shape[1]] = logits
        every_task = model.every_task([0, 1, 2, 3])
        for rows, at_once in ((40, 1000), (40, 90), (7, 1)):
            monkeypatch.setattr("clhyper.backbones.together.ROWS_AT_ONCE", {"cpu": at_once})
            together = torch.cat([every_task(part) for part in features.split(rows)], dim=1)
            torch.testing.assert_close(together, one_by_one, rtol=1e-4, atol=1e-5)
    assert (one_by_one[2:, :, 2] == -torch.inf).all()


@pytest.mark.parametrize(("learner", "depth"), [(Separate, 1), (PartialHypernetwork, 0)])
def test_the_batched_pass_asks_nothing_of_pytorch_that_vmap_lacks_on_a_gpu(learner, depth, stream, monkeypatch):
    def refuse(*args):
        raise RuntimeError("NYI: querying is_contiguous inside of vmap")

    strategy, _ = trained(learner, stream, epochs=1, freeze_depth=depth, norm="batch")
    images = stream.test_stream[0].images
    model = strategy.model.eval()
    with torch.no_grad():
        features = model.features(images.preparation.normalise(images.x())[:4])
        every_task = model.every_task([0, 1, 2, 3])
        monkeypatch.setattr(torch, "batch_norm", refuse)
        assert every_task(features).isfinite().any(dim=2).all()
        with pytest.raises(RuntimeError, match="NYI"):
            model.back(features, 0)


@pytest.mark.filterwarnings("ignore:tasks' networks are applied one by one")
@pytest.mark.parametrize("learner", [LatentReplay, Separate, PartialHypernetwork])
def test_where_all_at_once_fails_tasks_are_evaluated_one_by_one_and_the_run_says_so(learner, stream, monkeypatch):
    def lacking(*args, **kwargs):
        raise NotImplementedError("NYI: some operator inside of vmap\nwith a long explanation")

    plain, inference = trained(learner, stream, epochs=1, freeze_depth=1)
    monkeypatch.setattr("clhyper.backbones.together.vmap", lacking)
    strategy, alone = trained(learner, stream, epochs=1, freeze_depth=1)
    assert not plain.notices
    expected = "tasks' networks are applied one by one, since all at once failed (NYI: some operator inside of vmap)"
    assert strategy.notices == [expected]
    assert alone.accuracies == inference.accuracies


@pytest.mark.gpu
@pytest.mark.parametrize("learner", [Separate, PartialHypernetwork])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_tasks_are_inferred_on_a_gpu(learner, norm, stream):
    strategy, inference = trained(learner, stream, epochs=1, freeze_depth=1, norm=norm, device="cuda")
    found = {name: value for name, (value, _) in inference.measured().items()}
    assert found == pytest.approx(by_hand(strategy, inference, stream), abs=1e-2)


def test_a_task_that_cannot_be_mistaken_is_always_inferred_and_nothing_is_lost_to_it():
    images = digits(8)
    marked = {}
    for part in ("train", "test"):
        x, y = getattr(images, f"x_{part}").copy(), getattr(images, f"y_{part}")
        for task in range(5):
            x[y // 2 == task, :, task, :] = 255
        marked[f"x_{part}"] = x
    stream = split_stream(dataclasses.replace(images, **marked), StreamOptions(backbone="mlp"), "marked")
    strategy, inference = trained(LatentReplay, stream, freeze_depth=1, buffer_size=50, epochs=4)
    found = {name: value for name, (value, _) in inference.measured().items()}
    matrix = next(plugin for plugin in strategy.plugins if isinstance(plugin, AccuracyMatrix))
    assert found[BY_FEATURES[1]] == 1.0
    assert found[BY_FEATURES[0]] == pytest.approx(matrix.metrics()["acc"], abs=1e-9)


@pytest.mark.parametrize(
    ("options", "learner", "names", "why"),
    [
        ({"task_labels": False}, Naive, (*BY_ENTROPY, *BY_FEATURES), "without task labels no task is to be inferred"),
        ({"experiences": 1}, Naive, (*BY_ENTROPY, *BY_FEATURES), "one experience leaves no task to infer"),
        ({"experiences": 10}, Naive, BY_ENTROPY, "a task of one class is always predicted with no entropy"),
        ({}, Naive, BY_FEATURES, "at freeze depth 0 there is no front"),
        ({}, Joint, BY_FEATURES, "at freeze depth 0 there is no front"),
    ],
)
def test_what_does_not_apply_is_empty_with_its_reason(options, learner, names, why):
    _, inference = trained(learner, SplitDigits(**options), epochs=1)
    found = inference.measured()
    for name in names:
        assert found[name][0] is None
        assert why in found[name][1]
    if names == BY_FEATURES:
        assert all(0 < found[name][0] <= 1 for name in BY_ENTROPY)


def test_before_the_stream_has_ended_nothing_is_inferred(stream):
    inference = TaskInference(stream.test_stream)
    strategy = Naive(stream.backbone(), epochs=1, plugins=[inference, AccuracyMatrix(stream.test_stream)])
    strategy.train(stream.train_stream[0])
    assert inference.measured()[BY_ENTROPY[0]] == (None, "not evaluated when all tasks were learned")


def test_inference_changes_no_training_and_what_it_takes_and_keeps_is_counted(stream):
    records, weights = [], []
    for measures in (True, False):
        cost, inference = CostMeter(), TaskInference(stream.test_stream)
        torch.manual_seed(0)
        plugins = [*([inference] if measures else []), AccuracyMatrix(stream.test_stream), cost]
        strategy = LatentReplay(stream.backbone(), freeze_depth=2, epochs=1, plugins=plugins)
        for experience in stream.train_stream:
            strategy.train(experience)
        records.append(cost.records)
        weights.append(strategy.model.state_dict())
        if measures:
            tensors = inference.statistics.tensors()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    kept = records[0][-1]["bytes_kept"] - records[1][-1]["bytes_kept"]
    assert kept == sum(tensor.nbytes for tensor in tensors) == 10 * 32 * 4 + 32 * 32 * 4 + 10 * 8
    front = 64 * 9 * 16 + 16 * 9 * 16 * 32
    for number, experience in enumerate(stream.train_stream):
        images, classes = len(experience.images), len(experience.classes_in_this_experience)
        wanted = images * (32 * 32 + classes * 32 + (front if number == 0 else 0))
        assert records[0][number]["train_macs"] - records[1][number]["train_macs"] == wanted


def test_a_restored_inference_goes_on_to_the_same_numbers(hypernetwork, stream):
    _, whole = hypernetwork
    inference = TaskInference(stream.test_stream)
    torch.manual_seed(0)
    options = {"freeze_depth": 1, "epochs": 3, "norm": "batch", "learning_rate": 1e-2}
    backbone = stream.backbone()
    strategy = PartialHypernetwork(backbone, plugins=[inference, AccuracyMatrix(stream.test_stream)], **options)
    strategy.train(stream.train_stream[0])
    strategy.train(stream.train_stream[1])
    saved = {"strategy": strategy.state(), "inference": inference.state()}
    other = TaskInference(stream.test_stream)
    strategy = PartialHypernetwork(stream.backbone(), plugins=[other, AccuracyMatrix(stream.test_stream)], **options)
    strategy.restore(saved["strategy"])
    other.restore(saved["inference"])
    strategy.train(stream.train_stream[2])
    strategy.train(stream.train_stream[3])
    assert other.measured() == whole.measured()
    assert all(map(torch.equal, other.statistics.tensors(), whole.statistics.tensors()))


def test_what_all_batches_of_an_evaluation_share_is_made_once(hypernetwork, stream, monkeypatch):
    strategy, inference = hypernetwork
    made, before = [], dict(inference.accuracies)
    for path in ("clhyper.hypernetworks.model.together", "torch.linalg.cholesky"):
        module, _, name = path.rpartition(".")
        whole = getattr(importlib.import_module(module), name)
        monkeypatch.setattr(path, lambda *given, name=name, whole=whole: made.append(name) or whole(*given))
    monkeypatch.setattr(strategy, "eval_mb_size", 20)
    assert inference._infer(strategy) == pytest.approx(before, abs=1e-9)
    assert sorted(made) == ["cholesky", "together"]


def test_an_experience_of_several_tasks_is_left_out_with_the_reason(stream):
    joined = join([stream.test_stream[0], stream.test_stream[1]])
    inference = TaskInference([joined, stream.test_stream[2], stream.test_stream[3]])
    strategy = Naive(stream.backbone(), freeze_depth=1, epochs=1, plugins=[inference])
    for experience in stream.train_stream:
        strategy.train(experience)
    strategy.eval([joined])
    for value, reason in inference.measured().values():
        assert value is None
        assert "an experience of several tasks" in reason
