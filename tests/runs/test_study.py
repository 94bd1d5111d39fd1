"""What a study's file says, and the runs that it is expanded to."""

import pytest

from clhyper.errors import UserError
from clhyper.registry import entries, studies
from clhyper.runs.study import expand, read_study

SMALL = """
title = "Small"
question = "Does it run?"
seeds = 2

[data]
glyphs = "an .npz file"

[options]
epochs = 3
batch_size = 16

[streams.digits]
benchmark = "split-digits"
epochs = 4

[streams.own]
benchmark = "split-npz"
data = "{glyphs}"
optional = true

[[runs]]
strategies = ["naive", "latent-replay"]
depths = "0-1"

[[runs]]
strategies = ["latent-replay"]
depths = "1"
options = { batch_size = 8 }
grid = { buffer_size = [0, 10] }

[[show]]
kind = "table"
"""


@pytest.fixture
def study(tmp_path):
    """Reads a study from text."""

    def study(text):
        file = tmp_path / "small.toml"
        file.write_text(text)
        return read_study(str(file))

    return study


@pytest.mark.parametrize("name", studies())
def test_a_study_of_ours_has_runs_on_its_streams_and_small_on_digits(name):
    found = read_study(name)
    paths = {data: f"folder/{data}" for data in found.data}
    usual = expand(found, paths, device="cpu")
    small = expand(found, streams=["digits"], seeds="2", changes={"epochs": 1}, device="cpu")
    assert {one.stream for one in usual} == {label for label, s in found.streams.items() if not s.get("optional")}
    seeds = {one.config.seed for one in usual}
    assert seeds == set(range(len(seeds)))
    assert len(seeds) >= (2 if name == "tuning" else 3)
    assert {(one.config.benchmark, one.config.strategy_options["epochs"]) for one in small} == {("split-digits", 1)}
    assert len({one.config.name for one in usual}) == len(usual)


@pytest.mark.parametrize(("name", "streams"), [("generators", 1), ("task-count", 2)])
def test_fronts_of_glyphs_are_trained_on_the_classes_that_their_streams_leave(name, streams):
    study = read_study(name)
    planned = expand(study, dict.fromkeys(study.data, "somewhere"))
    with_front = [one for one in planned if one.front]
    dealt = {one.stream: one.config.benchmark_options["class_order"] for one in with_front}
    assert len(dealt) == streams
    (trained,) = {one.front.classes for one in with_front}
    for classes in dealt.values():
        assert (len(trained), len(classes)) == (22, 40)
        assert {*trained, *classes} == set(range(62))
    assert len([one for one in planned if one.stream in dealt]) == 2 * len(with_front)


def test_the_issues_six_studies_are_there():
    assert {"freeze-depth", "noise", "similarity", "generators", "buffer-size", "task-count"} <= set(studies())


def test_runs_take_the_studys_options_then_the_streams_then_their_own(study):
    found = expand(study(SMALL))
    assert {one.config.strategy_options["epochs"] for one in found} == {4}
    sizes = {
        (one.config.strategy, one.config.strategy_options.get("buffer_size")): one.config.strategy_options["batch_size"]
        for one in found
        if one.config.freeze_depth == 1
    }
    assert sizes == {("naive", None): 16, ("latent-replay", 200): 16, ("latent-replay", 0): 8, ("latent-replay", 10): 8}
    assert len(found) == 2 * (4 + 2)  # replay is latent replay's depth 0


def test_a_change_takes_the_place_of_options_and_of_a_grid(study):
    found = expand(study(SMALL), changes={"buffer_size": 5, "epochs": 1}, seeds="7")
    replay = [one.config for one in found if "replay" in one.config.strategy]
    assert {config.strategy_options["buffer_size"] for config in replay} == {5}
    assert {(one.config.seed, one.config.strategy_options["epochs"]) for one in found} == {(s, 1) for s in range(7)}


def test_a_streams_path_is_the_users(study):
    found = expand(study(SMALL), {"glyphs": "here/my.npz"}, ["own"])
    assert {str(one.config.benchmark_options["data"]) for one in found} == {"here/my.npz"}
    assert [one.unfilled for one in found] == [{"data": "{glyphs}"}] * len(found)
    assert not any(one.unfilled for one in expand(study(SMALL)))


@pytest.mark.parametrize("backbone", entries("backbone").values(), ids=lambda entry: entry.name)
def test_a_backbones_file_says_how_many_stages_it_has(backbone):
    assert backbone.constant("stages") == backbone.load()().depth


@pytest.mark.parametrize(
    ("old", "new", "pieces"),
    [
        ('title = "Small"', 'titel = "Small"', ["study small", "has no title"]),
        ('title = "Small"', 'title = " "', ["study small: the title is empty"]),
        ('glyphs = "an .npz file"', "glyphs = 5", ["data glyphs 5 must be text"]),
        ('"naive", "latent-replay"', "1", ["runs 1: strategies [1] must be a list of names"]),
        ('"naive", "latent-replay"', "{ a = 1 }", ["runs 1: strategies [{'a': 1}] must be a list of names"]),
        ('"naive", "latent-replay"', "", ["runs 1: strategies names none"]),
        ('depths = "1"', 'streams = [["a"]]', ["runs 2: streams [['a']] must be a list of names"]),
        ('depths = "1"', 'streams = "digits"', ["runs 2: streams 'digits' must be a list"]),
        ('depths = "0-1"', 'depths = "9"', ["freeze_depth 9 on stream digits", "small-convnet has depths 0 to 3"]),
        ("epochs = 3", "freeze_depth = 3", ["freeze_depth in study small", "depths in its [[runs]]"]),
        ("seeds = 2", "seds = 2", ["'seds'", "did you mean 'seeds'"]),
        ("seeds = 2", "seeds = [2]", ["seeds [2]", "a whole number or text"]),
        ("seeds = 2", 'seeds = "two"', ["seeds 'two'"]),
        ('"naive", "latent-replay"', '"naiv"', ["'naiv'", "did you mean 'naive'"]),
        ('benchmark = "split-digits"', 'benchmark = "split-digit"', ["did you mean 'split-digits'"]),
        ('benchmark = "split-digits"\n', "", ["stream digits", "has no benchmark"]),
        ("buffer_size = [0, 10]", "buffer_sizes = [0, 10]", ["'buffer_sizes'", "did you mean 'buffer_size'"]),
        ("buffer_size = [0, 10]", "buffer_size = 10", ["grid buffer_size 10", "list of the values"]),
        ("buffer_size = [0, 10]", "buffer_size = [-1]", ["buffer_size -1: at least 0"]),
        ("epochs = 4", "epoch = 4", ["'epoch'", "did you mean 'epochs'"]),
        ("epochs = 4", 'epochs = "four"', ["epochs 'four'"]),
        ('depths = "1"', 'depth = "1"', ["'depth'", "did you mean 'depths'"]),
        ('depths = "1"', 'streams = ["digit"]', ["stream in study small, runs 2", "did you mean 'digits'"]),
        ('kind = "table"', 'kind = "tabel"', ["kind in study small, show 1", "did you mean 'table'"]),
        ('kind = "table"', 'kind = ["a"]', ["show 1: kind ['a'] must be text"]),
        ('kind = "table"', 'kind = "curve"\nmeasure = "acc"\nalong = "epoch"', ["along in", "did you mean 'epochs'"]),
        (
            'kind = "table"',
            'kind = "correlation"\nmeasure = "acc"\ndepth = 1\nx = "similar"',
            ["x in study small, show 1", "did you mean 'similarity'"],
        ),
        (
            'kind = "table"',
            'kind = "widens"\nstrategy = "latent-reply"\noption = "corrupt"',
            ["strategy in study small, show 1", "did you mean 'latent-replay'"],
        ),
        ('kind = "table"', 'kind = "widens"\nstrategy = "naive"\noption = "epochs"', ["option in study small, show 1"]),
        ('kind = "table"', 'kind = "curve"', ["show 1", "has no along"]),
        ('kind = "table"', 'kind = "compare"\nreference = "naive"\nmeasures = ["ac"]', ["'ac'", "did you mean 'acc'"]),
        ('kind = "table"', 'kind = "against-cost"\nmeasure = "bwt"\ncost = "train_macs"', ["give acc or forgetting"]),
        ("[options]", "[options", ["study", "small.toml", "not TOML"]),
        *(
            ('kind = "table"', f'kind = "compare"\nreference = "{reference}"', pieces)
            for reference, pieces in (
                ("latent-reply@1", ["reference in study small, show 1 'latent-reply'", "did you mean 'latent-replay'"]),
                ("separate", ["reference in study small, show 1 'separate'"]),
                ("separate@same", ["reference in study small, show 1 'separate'"]),
                ("naive@2", ["show 1: naive@2 is none of its runs; naive has depths 0, 1"]),
                ("naive@one", ["after @ comes a freeze depth, such as latent-replay@2, or same"]),
                ("naive@1,lerning_rate=1", ["unknown option of reference in study small, show 1 'lerning_rate'"]),
                (
                    "latent-replay@1,buffer_size=20",
                    ["no run of latent-replay@1 has buffer_size=20", "is 0 or 10 or 200"],
                ),
                (
                    "latent-replay@1,batch_size=8,buffer_size=200",
                    ["has buffer_size=200", "buffer_size is 0 or 10 there"],
                ),
            )
        ),
    ],
)
def test_what_is_wrong_in_a_study_is_said_in_a_sentence(old, new, pieces, study):
    assert old in SMALL
    with pytest.raises(UserError) as error:
        expand(study(SMALL.replace(old, new, 1)))
    for piece in pieces:
        assert piece in str(error.value), str(error.value)


@pytest.mark.parametrize(
    "reference",
    [
        *("naive", "naive@1", "naive@same", "latent-replay@0", "replay", "latent-replay@same,buffer_size=10"),
        *("latent-replay@1,buffer_size=10,norm=batch", "naive@1,engine=eager"),
    ],
)
def test_a_reference_that_some_run_is_is_right(reference, study):
    study(SMALL.replace('kind = "table"', f'kind = "compare"\nreference = "{reference}"'))


@pytest.mark.parametrize(
    ("arguments", "piece"),
    [
        ({"streams": ["own"]}, "stream own of study small needs --data glyphs=PATH: an .npz file"),
        ({"streams": ["digit"]}, "unknown stream of study small 'digit': did you mean 'digits'?"),
        ({"paths": {"glyf": "x"}}, "unknown data of study small 'glyf': did you mean 'glyphs'?"),
        ({"changes": {"epoch": 1}}, "unknown option in study small 'epoch': did you mean 'epochs'?"),
        (
            {"changes": {"freeze_depth": 1}},
            "freeze_depth in study small: say which with depths in its [[runs]], in a copy of its file",
        ),
    ],
)
def test_what_is_wrong_in_the_command_is_said_in_a_sentence(arguments, piece, study):
    with pytest.raises(UserError, match="small") as error:
        expand(study(SMALL), **arguments)
    assert str(error.value) == piece


def test_references_are_looked_up_only_where_they_are_asked_for(tmp_path):
    file = tmp_path / "small.toml"
    file.write_text(SMALL.replace('kind = "table"', 'kind = "compare"\nreference = "nave"'))
    assert read_study(str(file), references=False).show[0]["reference"] == "nave"
    with pytest.raises(UserError, match="did you mean 'naive'"):
        read_study(str(file))


def test_an_unknown_study_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'freeze-depth'"):
        read_study("freezedepth")
