import numpy as np
import pytest
import torch
from scipy.stats import chisquare
from torchvision.transforms import functional as tv

from clhyper.data.augmentation import Preparation, augment, draw

DRAWS = 16_200


def pictures(channels=2):
    """Four images no two pixels of which are alike, so that every crop and flip of them is another."""
    pixels = torch.randperm(255, generator=torch.Generator().manual_seed(0))[: 4 * 63] + 1
    base = pixels.to(torch.uint8).view(4, 1, 9, 7)
    return torch.cat([base, 255 - base], dim=1)[:, :channels]


def augmented(images, kind, generator):
    return augment(images, kind, draw(len(images), kind, generator))


def outcomes(image, padding):
    """What torchvision's random crop with padding, and then flip, can make of an image: bytes -> its number."""
    height, width = image.shape[1:]
    padded = tv.pad(image, [padding] * 4)
    found = {}
    for top in range(2 * padding + 1):
        for left in range(2 * padding + 1):
            crop = tv.crop(padded, top, left, height, width)
            for flipped in (crop, tv.hflip(crop)):
                found[flipped.numpy().tobytes()] = len(found)
    return found


@pytest.mark.parametrize(("kind", "padding", "ways"), [("crop-flip", 4, 162), ("flip", 0, 2)])
def test_every_outcome_of_torchvisions_transforms_is_equally_likely_and_no_other_occurs(kind, padding, ways):
    images = pictures()
    generator = torch.Generator().manual_seed(1)
    for image in images[:2]:
        possible = outcomes(image, padding)
        assert len(possible) == ways
        made = augmented(image.expand(DRAWS, -1, -1, -1), kind, generator)
        assert made.dtype == torch.uint8
        counts = np.zeros(ways)
        for one in made.numpy():
            counts[possible[one.tobytes()]] += 1
        assert chisquare(counts).pvalue > 1e-3


def test_crop_and_flip_of_an_image_are_drawn_independently_of_the_other_images():
    image = pictures()[0]
    possible = outcomes(image, 4)
    generator = torch.Generator().manual_seed(2)
    pairs = np.zeros((162, 162))
    for _ in range(40):
        made = augmented(image.expand(400, -1, -1, -1), "crop-flip", generator).numpy()
        numbers = [possible[one.tobytes()] for one in made]
        np.add.at(pairs, (numbers[0::2], numbers[1::2]), 1)
    assert len(set(numbers)) > 100
    flips = pairs.reshape(81, 2, 81, 2).sum(axis=(0, 2))
    assert chisquare(flips.ravel()).pvalue > 1e-3
    assert np.trace(pairs) < 0.03 * pairs.sum()


def test_each_image_of_a_batch_is_augmented_as_itself():
    images = pictures()
    made = augmented(images, "crop-flip", torch.Generator().manual_seed(3))
    for image, one in zip(images, made, strict=True):
        assert one.numpy().tobytes() in outcomes(image, 4)


def test_without_augmentation_images_are_as_they_are():
    images = pictures()
    assert augmented(images, "none", None) is images
    assert draw(5, "none").shape == (5, 0)


def test_the_same_generator_state_augments_alike():
    images = pictures().repeat(8, 1, 1, 1)
    first, again = (augmented(images, "crop-flip", torch.Generator().manual_seed(4)) for _ in range(2))
    other = augmented(images, "crop-flip", torch.Generator().manual_seed(5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_preparation_augments_before_it_normalises_so_that_padding_is_black():
    preparation = Preparation((0.5, 0.25), (0.2, 0.5), "crop-flip")
    images = pictures()
    made = preparation(images, preparation.draw(len(images), torch.Generator().manual_seed(6)))
    by_hand = augmented(images, "crop-flip", torch.Generator().manual_seed(6)).double() / 255
    mean, std = (torch.tensor(v, dtype=torch.float64).view(1, 2, 1, 1) for v in ((0.5, 0.25), (0.2, 0.5)))
    assert made.dtype == torch.float32
    torch.testing.assert_close(made.double(), (by_hand - mean) / std, rtol=1e-5, atol=1e-6)
    black = (0 - mean) / std
    torch.testing.assert_close(made.double()[:, 0].min(), black[0, 0, 0, 0], rtol=1e-6, atol=1e-6)


def test_normalising_never_augments():
    preparation = Preparation((0.0, 0.0), (1.0, 1.0), "crop-flip")
    images = pictures()
    assert torch.equal(preparation.normalise(images), images.float() / 255)


def test_without_draws_torchs_own_numbers_augment():
    preparation = Preparation((0.0, 0.0), (1.0, 1.0), "crop-flip")
    images = pictures().repeat(8, 1, 1, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        made = preparation(images)
        torch.manual_seed(7)
        assert torch.equal(made, preparation(images, preparation.draw(len(images))))
