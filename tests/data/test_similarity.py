"""How alike experiences are, and streams that are cut by it."""

import json

import numpy as np
import pytest
import scipy.linalg
import torch

import clhyper
from benchmarks import SplitDigits
from clhyper.data.cache import cache_folder
from clhyper.data.corruptions import corruption
from clhyper.data.similarity import Moments, features, similarities, similarity_of
from clhyper.data.sources import digits
from clhyper.errors import UserError


@pytest.fixture(scope="module")
def images():
    return torch.from_numpy(np.array(digits().x_train))


def moments(x):
    return Moments.of(features(x))


def test_the_distance_is_that_of_dowson_and_landau_between_means_and_covariances(images):
    one, other = features(images[:300]).numpy(), features(images[300:500].flip(3)).numpy()
    (m, s), (n, t) = ((x.mean(0), np.cov(x.T, bias=True)) for x in (one, other))
    distance = ((m - n) ** 2).sum() + np.trace(s + t - 2 * np.real(scipy.linalg.sqrtm(s @ t)))
    expected = 1 / (1 + distance / np.trace((s + t) / 2))
    (found,) = similarities(Moments.of(torch.from_numpy(one)), [Moments.of(torch.from_numpy(other))])
    assert float(found) == pytest.approx(expected, abs=1e-4)


def test_images_are_like_themselves_and_sums_of_parts_are_the_whole(images):
    one, two, both = moments(images[:200]), moments(images[200:300]), moments(images[:300])
    assert float(similarities(both, [both])) == pytest.approx(1, abs=1e-9)
    assert float(similarities(one + two, [both])) == pytest.approx(1, abs=1e-9)
    assert float(similarities(one, [two])) == pytest.approx(float(similarities(two, [one])))


def test_halves_of_the_same_images_are_more_alike_than_other_images(images):
    half, other_half = moments(images[::2]), moments(images[1::2])
    turned = moments(images[1::2].rot90(1, (2, 3)))
    inverted = moments(corruption("solarize:0.01")[0](images[1::2]))
    alike = similarities(half, [other_half, turned, inverted]).tolist()
    assert alike[0] > 0.95
    assert alike[0] > alike[1] > alike[2]


def test_grey_and_equal_colours_are_the_same_and_a_single_image_has_no_spread(images):
    assert torch.equal(features(images[:5]), features(images[:5].expand(-1, 3, -1, -1)))
    black = moments(images[:1] * 0)
    assert similarity_of([black, black]) == {"mean": 1.0, "matrix": [[1.0, 1.0], [1.0, 1.0]]}
    assert similarity_of([black, moments(images[:1])])["mean"] < 1e-3


def test_a_streams_similarity_is_a_matrix_and_its_mean_over_pairs():
    found = SplitDigits(experiences=4).similarity()
    matrix = np.array(found["matrix"])
    assert matrix.shape == (4, 4)
    assert (matrix == matrix.T).all()
    assert (np.diag(matrix) == 1).all()
    assert found["mean"] == pytest.approx(matrix[np.tril_indices(4, -1)].mean(), abs=1e-6)
    assert SplitDigits(experiences=1).similarity() == {"mean": None, "matrix": [[1.0]]}


def test_similarity_is_of_training_images_in_their_domain_and_draws_nothing():
    state = torch.random.get_rng_state()
    plain, corrupted, rotated = (
        SplitDigits(experiences=3, **options).similarity()["mean"]
        for options in ({}, {"corrupt": ("none", "solarize:0.01")}, {"variant": "rotated"})
    )
    assert len({plain, corrupted, rotated}) == 3
    assert corrupted < plain
    assert torch.equal(state, torch.random.get_rng_state())


def test_similarity_is_kept_beside_the_images_and_made_anew_where_its_file_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("CLHYPER_CACHE", str(tmp_path))
    stream = SplitDigits(experiences=2)
    found = stream.similarity()
    (file,) = (cache_folder() / "similarity").iterdir()
    file.write_text(json.dumps(found | {"mean": 0.5}))
    assert stream.similarity()["mean"] == 0.5
    file.write_text("{")
    assert stream.similarity() == found
    file.write_text("[]")
    assert stream.similarity() == found
    assert SplitDigits(experiences=2, order_seed=3).similarity() != found
    assert len(list((cache_folder() / "similarity").iterdir())) == 2


def test_a_run_keeps_its_streams_similarity_and_the_frame_has_its_mean(tmp_path):
    from clhyper.runs.config import make_config
    from clhyper.runs.run import run

    shape = {"experiences": 2, "images_each": 20, "backbone": "mlp"}
    outcome = run(make_config("split-digits", "naive", shape, {"epochs": 1}), tmp_path)
    stored = json.loads((outcome.folder / "result.json").read_text())
    assert stored["similarity"] == SplitDigits(**shape).similarity()
    assert clhyper.load(tmp_path)["similarity"].tolist() == [stored["similarity"]["mean"]]
    for damaged in (None, [], {"mean": "much"}):
        (outcome.folder / "result.json").write_text(json.dumps(stored | {"similarity": damaged}))
        assert clhyper.load(tmp_path)["similarity"].isna().all()
        assert clhyper.load(tmp_path)["acc"].tolist() == [outcome.metrics["acc"]]


# Streams cut by it


@pytest.mark.slow
def test_halves_are_as_alike_as_asked():
    means = [SplitDigits(experiences=2, alike=share).similarity()["mean"] for share in (0.0, 0.5, 1.0)]
    assert means == sorted(means)
    assert means[0] < 0.65
    assert means[1] == pytest.approx((means[0] + means[-1]) / 2, abs=0.07)
    assert means[-1] > 0.8
    chance = [SplitDigits(experiences=2, order_seed=seed).similarity()["mean"] for seed in range(6)]
    assert means[0] <= min(chance)
    assert means[-1] >= max(chance) - 0.02


def test_an_alike_stream_deals_every_class_once_and_follows_from_the_order_seed():
    def dealt(**options):
        return [e.original_classes for e in SplitDigits(experiences=3, alike=0.5, **options).train_stream]

    once = dealt()
    assert sorted(label for classes in once for label in classes) == list(range(10))
    assert [len(classes) for classes in once] == [4, 3, 3]
    assert once == dealt(validation=0.2, order_seed=0)
    assert once != dealt(order_seed=1)
    assert len(SplitDigits(experiences=1, alike=1.0).train_stream[0].original_classes) == 10


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"alike": 1.1}, "alike 1.1: a share from 0 to 1"),
        ({"alike": float("nan")}, "alike nan: a share"),
        ({"alike": 1.0, "class_order": (1, 2)}, "alike and class_order contradict each other"),
        ({"alike": 1.0, "variant": "rotated"}, "alike 1.0 and variant rotated contradict each other"),
    ],
)
def test_an_option_that_does_not_fit_is_refused_in_one_sentence(options, sentence):
    with pytest.raises(UserError, match=sentence):
        SplitDigits(**options)
