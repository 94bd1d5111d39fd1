"""Every stream of the suite, end to end with a real strategy, on small data in its own layout."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from stand_ins import digits_of, some_digits, write_cifar, write_folder, write_idx, write_tiny_imagenet

import benchmarks
from clhyper.errors import UserError
from clhyper.evaluation import AccuracyMatrix
from clhyper.registry import entries
from strategies import Joint, LatentReplay, Naive, PartialHypernetwork

NAMES = {
    "brown-characters": "BrownCharacters",
    "digit-rows": "DigitRows",
    "mixed": "Mixed",
    "noisy-cifar100": "NoisyCIFAR100",
    "split-cifar10": "SplitCIFAR10",
    "split-cifar100": "SplitCIFAR100",
    "split-digits": "SplitDigits",
    "split-fashion": "SplitFashion",
    "split-folder": "SplitFolder",
    "split-mnist": "SplitMNIST",
    "split-npz": "SplitNpz",
    "split-parquet": "SplitParquet",
    "split-tiny-imagenet": "SplitTinyImageNet",
}
OF_IMAGES = [name for name in NAMES if name != "brown-characters"]
VARIANTS = ["permuted", "rotated"]
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Options of each stream that name its data."""
    from torchvision import datasets

    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLHYPER_CACHE", str(tmp_path_factory.mktemp("cache")))
        for dataset in (datasets.CIFAR10, datasets.CIFAR100):
            write_cifar(root / "cifar", dataset, patch)
        write_idx(root / "idx")
        write_folder(root / "folder")
        write_tiny_imagenet(root)
        write_npz(root / "digits.npz")
        write_parquet(root / "parquet")
        yield {
            "digit-rows": {},
            "mixed": {"sources": (str(root / "digits.npz"), str(root / "parquet"))},
            "noisy-cifar100": {"data": root / "cifar"},
            "split-cifar10": {"data": root / "cifar"},
            "split-cifar100": {"data": root / "cifar"},
            "split-digits": {},
            "split-fashion": {"data": root / "idx"},
            "split-folder": {"data": root / "folder"},
            "split-mnist": {"data": root / "idx"},
            "split-npz": {"data": root / "digits.npz"},
            "split-parquet": {"data": root / "parquet"},
            "split-tiny-imagenet": {"data": root},
        }


def write_npz(path):
    (x, y), (x_test, y_test) = some_digits(10, 20), some_digits(10, 5, 20)
    np.savez(path, x_train=x, y_train=y, x_test=x_test, y_test=y_test)


def write_parquet(folder):
    from io import BytesIO

    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    def encoded(pixels):
        file = BytesIO()
        Image.fromarray(pixels).save(file, "png")
        return file.getvalue()

    folder.mkdir()
    for split, start in (("train", 0), ("test", 20)):
        images = [(encoded(pixels), label) for label in range(4) for pixels in digits_of(label, 10, start)]
        table = pa.table({"image": [image for image, _ in images], "label": [label for _, label in images]})
        pq.write_table(table, folder / f"{split}.parquet")


def make(name, data, **options):
    return getattr(benchmarks, NAMES[name])(**data[name], **{"experiences": 2, "backbone": "small-convnet", **options})


def learn(stream, learner=Naive, device="cpu", **options):
    """The accuracy matrix after a tiny epoch an experience."""
    torch.manual_seed(0)
    matrix = AccuracyMatrix(stream.eval_stream)
    strategy = learner(stream.backbone(), epochs=1, batch_size=16, device=device, plugins=[matrix], **options)
    if learner.offline:
        strategy.train(stream.train_stream)
    for experience in () if learner.offline else stream.train_stream:
        strategy.train(experience)
    assert all(tensor.isfinite().all() for tensor in strategy.model.state_dict().values())
    return matrix.matrix


def test_the_streams_of_this_file_are_those_of_the_suite():
    ours = {name: entry.exported for name, entry in entries("benchmark").items() if entry.module[:11] == "benchmarks."}
    assert ours == NAMES


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", OF_IMAGES)
def test_a_stream_is_learned_and_evaluated_from_its_own_files(name, device, data):
    stream = make(name, data)
    assert [e.task_labels for e in stream.train_stream] == [[0], [1]]
    last = learn(stream, device=device)[-1]
    assert len(last) == 2
    assert all(0 <= accuracy <= 1 for accuracy in last)


@pytest.mark.parametrize("name", OF_IMAGES)
def test_without_task_labels_a_stream_has_one_label_space(name, data):
    stream = make(name, data, task_labels=False, validation=0.2)
    first, second = stream.train_stream
    half = len(first.original_classes)
    classes = half + len(second.original_classes)
    assert first.classes_by_task == {0: list(range(half))}
    assert second.classes_by_task == {0: list(range(half, classes))}
    assert stream.classes == classes
    for part in ("train", "test", "validation"):
        for experience in stream.streams[part]:
            assert set(experience.images.labels.tolist()) == set(experience.classes_by_task[0])
            assert set(experience.images.tasks.tolist()) == {0}
    assert learn(stream)[0][1] is None


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("task_labels", [True, False])
@pytest.mark.parametrize("name", [name for name in OF_IMAGES if name != "mixed"])
def test_every_stream_has_its_variants_with_and_without_task_labels(name, task_labels, variant, data):
    shape = {"experiences": 3, "augmentation": "none", "classes_each": None}
    stream = make(name, data, variant=variant, task_labels=task_labels, **shape)
    classes = list(range(stream.images.classes))
    for number, experience in enumerate(stream.train_stream):
        assert experience.classes_by_task == {number if task_labels else 0: classes}
    for part in (stream.train_stream, stream.test_stream):
        first, second, third = (experience.images.x() for experience in part)
        assert first.shape == second.shape == third.shape
        assert not torch.equal(first, second)
        assert not torch.equal(second, third)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("task_labels", [True, False])
def test_strategies_learn_variants_with_and_without_task_labels(variant, task_labels, device, data):
    stream = make("split-npz", data, variant=variant, task_labels=task_labels)
    for learner, options in ((Naive, {}), (LatentReplay, {"freeze_depth": 1, "buffer_size": 20})):
        first, last = learn(stream, learner, device, **options)
        assert (first[1] is None) == task_labels  # a domain not seen yet has outputs where all share one head
        assert None not in last
    assert None not in learn(stream, Joint, device)[-1]
    if task_labels:
        learn(stream, PartialHypernetwork, device, freeze_depth=1)


def test_joint_training_on_a_permuted_stream_learns_every_domain():
    stream = benchmarks.SplitDigits(variant="permuted", experiences=2, class_order=(0, 1, 4, 7), task_labels=False)
    torch.manual_seed(0)
    strategy = Joint(stream.backbone("mlp"), epochs=4, learning_rate=1e-2)
    strategy.train(stream.train_stream)
    matrix = AccuracyMatrix()
    strategy.plugins.append(matrix)
    strategy.eval(stream.test_stream)
    assert min(matrix.matrix[-1]) > 0.9


def test_a_stream_that_augments_by_default_says_how_to_permute_it(data):
    with pytest.raises(UserError, match="add --augmentation none"):
        make("split-cifar10", data, variant="permuted")


def test_options_of_every_stream_are_known_without_torch():
    probe = (
        "import sys; from clhyper.cli.flags import option_flags; from clhyper.registry import entries\n"
        "for entry in entries('benchmark').values():\n"
        "    assert entry.summary and all(flag.help for flag in option_flags(entry)), entry.name\n"
        "print(*(name for name in ('torch', 'torchvision', 'avalanche', 'PIL') if name in sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == ""
