"""Corruptions of images: as torchvision makes them, image by image, and one after another through a stream."""

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as torchvision

from benchmarks import SplitDigits
from clhyper.data.corruptions import corruption
from clhyper.data.domains import Permutation, domain_of, in_domain
from clhyper.errors import UserError
from clhyper.options import PAPER_CORRUPTIONS, StreamOptions

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(scope="module")
def colour():
    """Smooth pictures of few numbers, and noise; among them one that is black."""
    random = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 256, (20, 3, 18, 23), dtype=torch.uint8, generator=random)
    smooth = torchvision.gaussian_blur(noise, 5, 2.0) // 2 + 20
    return torch.cat([noise, smooth, torch.zeros_like(noise[:1])])


def grey(image):
    return torchvision.rgb_to_grayscale(image, 3)


def blur(image, sigma):
    """In float64: what a blur is before float32 rounds it."""
    return torchvision.gaussian_blur(image.double(), [5, 5], sigma).round().byte()


OURS_AND_TORCHVISIONS = {
    "none": lambda image: image,
    "solarize": lambda image: torchvision.solarize(image, 128),
    "solarize:0.25": lambda image: torchvision.solarize(image, 64),
    "autocontrast": torchvision.autocontrast,
    "grayscale": grey,
    "blur": lambda image: blur(image, 0.9),
    "blur:2": lambda image: blur(image, 2.0),
    "autocontrast+grayscale+blur:0.65": lambda image: blur(grey(torchvision.autocontrast(image)), 0.65),
    "blur+solarize": lambda image: torchvision.solarize(blur(image, 0.9), 128),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", OURS_AND_TORCHVISIONS)
def test_a_corruption_of_a_batch_is_torchvisions_of_each_image(name, device, colour):
    whole = in_domain(corruption(name), colour.to(device))
    assert whole.dtype == torch.uint8
    assert torch.equal(whole.cpu(), torch.stack([OURS_AND_TORCHVISIONS[name](image) for image in colour]))
    assert name == "none" or not torch.equal(whole.cpu(), colour)


@pytest.mark.parametrize("sigma", [0.65, 0.9, 3.0])
def test_a_blur_differs_from_torchvisions_in_float32_by_its_rounding_alone(sigma):
    random = torch.Generator().manual_seed(1)
    x = torch.randint(0, 256, (200, 3, 32, 32), dtype=torch.uint8, generator=random)
    apart = in_domain(corruption(f"blur:{sigma}"), x).int() - torchvision.gaussian_blur(x, [5, 5], sigma).int()
    assert apart.abs().max() <= 1
    assert (apart != 0).sum() < 1e-4 * x.numel()


@pytest.mark.parametrize("name", ["solarize", "blur", "autocontrast+blur:0.65"])
def test_grey_images_are_corrupted_as_torchvision_does(name, colour):
    one = colour[:, :1]
    assert torch.equal(
        in_domain(corruption(name), one), torch.stack([OURS_AND_TORCHVISIONS_OF_GREY[name](image) for image in one])
    )


OURS_AND_TORCHVISIONS_OF_GREY = OURS_AND_TORCHVISIONS | {
    "autocontrast+blur:0.65": lambda image: blur(torchvision.autocontrast(image), 0.65)
}


def test_making_grey_images_grey_changes_nothing(colour):
    assert torch.equal(in_domain(corruption("grayscale"), colour[:, :1]), colour[:, :1])


def test_no_image_at_all_can_be_corrupted(colour):
    for name in OURS_AND_TORCHVISIONS:
        assert in_domain(corruption(name), colour[:0]).shape == colour[:0].shape


# Streams


def test_corruptions_come_in_turn_and_over_again_in_training_test_and_validation():
    names = ("none", "solarize", "blur+solarize:0.25")
    stream = SplitDigits(corrupt=names, experiences=5, validation=0.2)
    for number in range(5):
        for part, source in (("train", "x_train"), ("test", "x_test"), ("validation", "x_train")):
            images = stream.streams[part][number].images
            plain = torch.from_numpy(np.array(getattr(stream.images, source)[images.rows]))
            assert torch.equal(images.x(), in_domain(corruption(names[number % 3]), plain))
            assert torch.equal(images.x(), plain) == (number % 3 == 0)


def test_paper_is_short_for_the_sequence_of_the_paper():
    short, spelled = (StreamOptions(corrupt=names) for names in (("paper",), PAPER_CORRUPTIONS))
    for number in range(6):
        assert domain_of(number, short) == domain_of(number, spelled) == domain_of(number + 4, short)
    assert [len(domain_of(number, short)) for number in range(4)] == [0, 1, 1, 3]


def test_images_are_corrupted_before_they_are_brought_into_a_variant():
    options = StreamOptions(corrupt=("solarize",), variant="permuted")
    assert domain_of(2, options) == (*corruption("solarize"), Permutation((0, 2)))
    assert domain_of(0, options) == corruption("solarize")


@pytest.mark.parametrize(
    ("corrupt", "sentence"),
    [
        ("solarise", "unknown corruption 'solarise': did you mean 'solarize'?"),
        ("grayscale+blurr", "unknown corruption 'blurr': did you mean 'blur'?"),
        ("blur:-1", "corrupt blur:-1: blur:NUMBER with a number above 0 and at most 10 is right"),
        ("blur:nan", "corrupt blur:nan: blur:NUMBER"),
        ("solarize:", "corrupt solarize:: solarize:NUMBER with a number above 0 and at most 1 is right"),
        ("none+grayscale:2", "corrupt none.grayscale:2: grayscale takes no number"),
    ],
)
def test_a_corruption_that_there_is_not_is_refused_in_one_sentence(corrupt, sentence):
    with pytest.raises(UserError, match=sentence):
        SplitDigits(corrupt=("none", corrupt))


def test_images_that_are_too_small_for_a_blur_are_refused_in_one_sentence():
    with pytest.raises(UserError, match="images of 2 pixels, and a blur needs at least 3: --image-size"):
        SplitDigits(corrupt=("blur",), image_size=2)
