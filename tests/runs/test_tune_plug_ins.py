"""A search on streams of a third party that show more than they are asked for."""

import dataclasses

import pytest
from installed_package import install
from small_searches import search, small_tuning

from clhyper.errors import UserError
from clhyper.runs.local import check_inputs
from clhyper.tune.held_out import check_held_out

pytest.importorskip("optuna")
RATES = "learning_rate=1e-3..1e-1:log"
UNASKED = '''"""Unasked: evaluates on test images, whatever it is asked for."""

import dataclasses

from benchmarks.split_npz import Options, SplitNpz
from clhyper.data.stream import ImageStream

__all__ = ["Stream"]


def Stream(**options):
    return SplitNpz(**{**options, "validation": 0.0})
'''
UNENDING = UNASKED.replace('"validation": 0.0', '"first": None')
DENYING = UNASKED.replace("return SplitNpz(", "return Denying(").replace(
    "def Stream",
    """class Denying(ImageStream):
    evaluated_on = "validation"
    eval_stream = property(lambda self: self.streams["test"])

    def __init__(self, **options):
        made = SplitNpz(**options)
        super().__init__("denying", made.images, made.options, list(made.streams.values()))


def Stream""",
)


@pytest.fixture(scope="session")
def others_package(tmp_path_factory):
    modules = {"unasked": UNASKED, "unending": UNENDING, "denying": DENYING}
    entry_points = "[benchmarks]\n" + "".join(f"{name} = streams_of_others.{name}\n" for name in modules)
    return install(tmp_path_factory.mktemp("site"), "streams_of_others", modules, entry_points)


@pytest.fixture
def streams_of_others(others_package, monkeypatch):
    """Streams of a third party that show more than they are asked for."""
    monkeypatch.syspath_prepend(others_package)


@pytest.mark.parametrize(
    ("benchmark", "message"),
    [
        ("unasked", "evaluates on test images though asked for held-out ones"),
        ("unending", "brings 4 experiences though asked for its first 2"),
    ],
)
def test_a_stream_that_shows_more_than_it_was_asked_for_ends_the_search(
    benchmark, message, archive, streams_of_others, tmp_path
):
    tuning = dataclasses.replace(small_tuning(archive, RATES), benchmark=benchmark)
    with pytest.raises(UserError, match=message):
        search(tuning, tmp_path, 2)
    assert not (tmp_path / tuning.name / "best.toml").exists()


def test_a_stream_that_evaluates_on_test_images_and_denies_it_is_found_out(archive, streams_of_others, tmp_path):
    tuning = small_tuning(archive, RATES)
    check_inputs([tuning.trial({}, 0)], tmp_path)
    check_held_out(tuning.trial({}, 0))
    for benchmark in ("denying", "unasked"):
        with pytest.raises(UserError, match=f"{benchmark}: evaluates on test images though asked for held-out ones"):
            check_held_out(dataclasses.replace(tuning, benchmark=benchmark).trial({}, 0))
