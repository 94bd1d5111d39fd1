"""Fronts that a study trains for its runs: planned, checked, trained once, and found again."""

import shutil

import pytest
from small_sweeps import write_archive

from clhyper.errors import RunError, UserError
from clhyper.runs.files import read_json
from clhyper.runs.folder import CHECKPOINT, RESULT
from clhyper.runs.run import run
from clhyper.runs.study import expand, read_study
from clhyper.runs.study_front_check import check_fronts
from clhyper.runs.study_fronts import fronts_of, train_front

STUDY = """
title = "Fronts"
question = "Does a front trained elsewhere help?"

[data]
pictures = "an .npz file"

[options]
epochs = 1
batch_size = 8
backbone = "small-convnet"

[streams.pictures]
benchmark = "split-npz"
data = "{pictures}"
experiences = 2
class_order = [3, 0, 1, 2]

[streams.others]
benchmark = "split-npz"
data = "{pictures}"
experiences = 1
class_order = [4, 1]

[fronts.upper]
stream = "pictures"
classes = "4-7"
epochs = 2
batch_size = 8
seed = 5

[[runs]]
streams = ["pictures"]
strategies = ["naive", "joint"]
depths = "2"

[[runs]]
streams = ["pictures"]
strategies = ["naive", "joint"]
depths = "2"
front = "upper"

[[show]]
kind = "table"
"""


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return write_archive(tmp_path_factory.mktemp("data") / "a.npz", classes=8)


@pytest.fixture
def planned(archive, tmp_path):
    """Plans the study with other text in its place, and options of `expand`."""

    def planned(old="", new="", data=archive, **options):
        assert old in STUDY
        (tmp_path / "fronts.toml").write_text(STUDY.replace(old, new, 1))
        return expand(read_study(str(tmp_path / "fronts.toml")), {"pictures": str(data)}, **options)

    return planned


@pytest.fixture
def front(planned):
    (front,) = fronts_of(planned())
    return front


def test_runs_that_name_a_front_take_it_and_the_others_and_those_without_a_front_do_not(planned):
    taken = {(one.config.strategy, str(one.config.strategy_options.get("front"))) for one in planned()}
    (front,) = fronts_of(planned())
    assert taken == {("naive", "None"), ("naive", f"{{results}}/fronts/{front.file}"), ("joint", "None")}
    assert [one.front for one in planned() if one.config.strategy_options.get("front")] == [front]


def test_a_stream_may_name_the_front_of_all_its_runs(planned):
    label = '[streams.pictures]\nbenchmark = "split-npz"'
    found = planned(label, f'{label}\nfront = "upper"')
    assert {one.front is not None for one in found if one.config.strategy == "naive"} == {True}


def test_a_front_has_the_streams_images_and_backbone_and_training_of_its_own(front, archive):
    assert (front.benchmark, front.classes, front.seed) == ("split-npz", (4, 5, 6, 7), 5)
    assert front.benchmark_options["backbone"] == "small-convnet"
    assert str(front.benchmark_options["data"]) == str(archive)
    assert front.benchmark_options["class_order"] == ()
    assert front.training["epochs"] == 2


def test_its_file_is_named_by_what_decides_it_and_not_by_where_data_lie(planned, front):
    def file(*text, **options):
        return fronts_of(planned(*text, **options))[0].file

    assert file(data="elsewhere/b.npz", threads=3) == front.file
    others = [
        file('classes = "4-7"', 'classes = "4-6"'),
        file("seed = 5", "seed = 6"),
        file("epochs = 2", "epochs = 3"),
        file('stream = "pictures"', 'stream = "pictures"\nimage_size = 9'),
        file(device="cuda"),
        file(changes={"batch_size": 4}),
        file(changes={"front_norm": "group"}),
    ]
    assert len({front.file, *others}) == 8
    assert all(name.startswith("upper-") for name in others)
    assert file(changes={"norm": "group"}) == front.file  # the back's


def test_a_front_given_with_the_command_takes_the_place_of_the_studys(planned):
    found = planned(changes={"front": "my.safetensors"})
    assert fronts_of(found) == []
    assert {str(one.config.strategy_options["front"]) for one in found if one.config.strategy == "naive"} == {
        "my.safetensors"
    }


@pytest.mark.parametrize(
    ("old", "new", "piece"),
    [
        ('front = "upper"', 'front = "uper"', "unknown front in study fronts, runs 2 'uper': did you mean 'upper'?"),
        (
            'benchmark = "split-npz"',
            'benchmark = "split-npz"\nfront = "lower"',
            "front in study fronts, stream pictures",
        ),
        ('classes = "4-7"\n', "", "study fronts, front upper: has no classes"),
        ('classes = "4-7"', 'classes = "4-"', "classes of front upper of study fronts '4-': give whole numbers"),
        ('classes = "4-7"', 'classes = "4"', "at least two are told apart"),
        ('stream = "pictures"\n', "", "front upper: give either stream, one of the study's, or benchmark"),
        ('stream = "pictures"\n', 'stream = "picture"\n', "stream in study fronts, front upper 'picture'"),
        ("seed = 5", "seed = -5", "front upper: seed -5: at least 0"),
        ("seed = 5", 'seed = "5"', "front upper: seed '5' must be a whole number"),
        ("seed = 5", "sed = 5", "unknown option of front upper of study fronts 'sed'"),
        ("seed = 5", "experiences = 5", "experiences of front upper of study fronts: all classes of a front are one"),
        ("seed = 5", "learning_rate = -1.0", "learning_rate -1.0: more than 0"),
        ("[fronts.upper]", '[fronts."up/er"]', "front up/er: begins a file's name"),
        (
            'depths = "2"\nfront',
            'depths = "0"\nfront',
            "study fronts, runs 2, stream pictures: front and freeze_depth 0 contradict each other",
        ),
        (
            'front = "upper"',
            'options = { front = "upper" }',
            "study fronts, runs 2: options front 'upper': is the path of a file there; to take the study's front upper,"
            ' say front = "upper" in [[runs]] itself, or in a stream',
        ),
        (
            "[options]",
            '[options]\nfront = "upper"',
            "study fronts: options front 'upper': is the path of a file there",
        ),
        (
            'front = "upper"\n',
            "",
            'study fronts, front upper: no run names it; say front = "upper" in [[runs]] or in a stream',
        ),
        (
            '["naive", "joint"]\ndepths = "2"\nfront',
            '["joint"]\nfront',
            "front upper of study fronts: none of joint has",
        ),
    ],
)
def test_what_is_wrong_in_the_file_is_said_in_a_sentence(old, new, piece, planned):
    with pytest.raises(UserError) as error:
        planned(old, new)
    assert piece in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            'classes = "4-7"',
            'classes = "2-5"',
            "front upper: its classes and those of stream pictures have 2, 3 in common; give the front others, or the"
            " stream a class_order without them",
        ),
        ('classes = "4-7"', 'classes = "4-9"', "front upper: classes: [8] is no class of split-npz, which has 0 to 7"),
        (
            "seed = 5",
            'backbone = "mlp"',
            "front upper: is one of mlp for images of 1x8x8, and runs on stream pictures take one of small-convnet for"
            " images of 1x8x8; give both the same backbone and image_size",
        ),
        (
            "seed = 5",
            "image_size = 9",
            "front upper: is one of small-convnet for images of 1x9x9, and runs on stream pictures take one of"
            " small-convnet for images of 1x8x8; give both the same backbone and image_size",
        ),
        (
            "experiences = 2",
            "experiences = 9",
            "stream pictures: experiences 9: split-npz has 4 classes, so at most as many experiences",
        ),
        (
            "seed = 5",
            'norm = "group"',
            "front upper: has group norm, and runs on stream pictures take batch norm; give the front norm = 'batch'",
        ),
    ],
)
def test_a_front_that_does_not_fit_its_runs_is_said_in_a_sentence(old, new, sentence, planned):
    with pytest.raises(UserError) as error:
        check_fronts(planned(old, new))
    assert str(error.value) == sentence


def test_a_front_that_fits_is_no_error_whatever_streams_without_it_use(planned):
    check_fronts(planned('streams = ["pictures"]\n', ""))


def test_the_same_classes_of_other_data_may_be_used(planned, tmp_path):
    other = write_archive(tmp_path / "b.npz", classes=8, images=21)
    own = 'stream = "pictures"\nclasses = "4-7"'
    check_fronts(planned(own, f'benchmark = "split-npz"\ndata = "{other}"\nclasses = "0-3"'))


def test_a_front_is_trained_once(front, tmp_path):
    first = train_front(front, tmp_path)
    before = (front.path(tmp_path).read_bytes(), front.path(tmp_path).stat().st_mtime_ns)
    told = []
    assert (first.status, train_front(front, tmp_path, told.append).status) == ("complete", "skipped")
    assert (front.path(tmp_path).read_bytes(), front.path(tmp_path).stat().st_mtime_ns) == before
    assert told == []


def test_training_that_is_stopped_leaves_no_front_and_the_next_start_trains_it(front, tmp_path):
    def stop(progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_front(front, tmp_path, stop)
    assert not front.path(tmp_path).exists()
    assert train_front(front, tmp_path).status == "complete"


def test_a_front_that_diverges_is_no_file_and_is_named(planned, tmp_path):
    (front,) = fronts_of(planned("seed = 5", 'optimizer = "sgd"\nlearning_rate = 1e30'))
    with pytest.raises(RunError, match=r"^front upper: .* training diverged"):
        train_front(front, tmp_path)
    assert not front.path(tmp_path).exists()


def test_a_front_of_other_data_under_its_name_is_refused(front, planned, tmp_path):
    train_front(front, tmp_path)
    (other,) = fronts_of(planned(data=write_archive(tmp_path / "b.npz", classes=8, images=21)))
    with pytest.raises(UserError, match=rf"^front upper: {front.path(tmp_path)} was trained on other data; move it"):
        train_front(other, tmp_path)


def test_a_run_stopped_in_one_folder_goes_on_with_its_front_in_another(planned, front, tmp_path):
    (config,) = [one.config for one in planned() if one.front]

    def stop(progress):
        if progress.experience == 2:
            raise KeyboardInterrupt

    train_front(front, tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "a", stop)
    shutil.move(tmp_path / "a", tmp_path / "b")
    folder = tmp_path / "b" / config.name
    assert (folder / CHECKPOINT).exists()
    for results in ("b", "whole"):
        assert run(config, tmp_path / results).status == "complete"
    result, whole = (read_json(tmp_path / results / config.name / RESULT) for results in ("b", "whole"))
    assert result["metrics"] == whole["metrics"]
    assert result["front"].startswith("split-npz classes 4-7 (")
    assert str(tmp_path) not in (folder / "config.toml").read_text()
    assert run(config, tmp_path / "b").status == "skipped"
