"""A configuration is checked, written as TOML and read back as the same run."""

import dataclasses
import tomllib
import typing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clhyper.errors import UserError
from clhyper.options import owners_of
from clhyper.registry import entries
from clhyper.runs import make_config, plan
from clhyper.runs.config import config_from_dict, read_toml
from clhyper.runs.sweep import parse_numbers, parse_seeds

BOUNDED = {
    "validation": st.floats(0, 0.99),
    "max_angle": st.floats(1e-6, 360),
    "alike": st.none() | st.floats(0, 1),
    "corrupt": st.lists(st.sampled_from(["none", "blur:2", "grayscale+solarize", "paper"]), max_size=3).map(tuple),
    "beta": st.floats(0, 1e6),
    "decay": st.floats(0, 1),
    "chunk_hidden": st.lists(st.integers(1, 99), max_size=3).map(tuple),
    "replay_weight": st.floats(0, 1e6),
    "test_share": st.floats(0.01, 0.99),
}
POSITIVE = st.floats(1e-9, 1e9)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)


def values_of(name: str, hint: object) -> st.SearchStrategy:
    """Valid values of an option of this name and type."""
    if name in BOUNDED:
        return BOUNDED[name]
    options = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return st.sampled_from(options)
    if type(None) in options:
        (rest,) = (option for option in options if option is not type(None))
        return st.none() | values_of(name, rest)
    if typing.get_origin(hint) is tuple:
        if Ellipsis in options:
            values = TEXT if str in options else st.integers(0, 99)
            return st.lists(values, max_size=5, unique=True).map(tuple)
        return st.tuples(*(values_of(name, option) for option in options))
    kinds = {int: st.integers(1, 2**40), float: POSITIVE, bool: st.booleans(), str: TEXT, Path: TEXT.map(Path)}
    return kinds[hint]


@st.composite
def options_of(draw, kind: str, entry: str) -> dict:
    found = entries(kind)[entry].options()
    hints = typing.get_type_hints(found)
    names = draw(st.sets(st.sampled_from([item.name for item in dataclasses.fields(found)])))
    return {name: draw(values_of(name, hints[name])) for name in sorted(names)}


@st.composite
def configs(draw):
    benchmark, strategy = (draw(st.sampled_from(sorted(entries(kind)))) for kind in ("benchmark", "strategy"))
    stream, learner = draw(options_of("benchmark", benchmark)), draw(options_of("strategy", strategy))
    if benchmark in ("mixed", "brown-characters"):  # whose number of experiences follows
        stream.pop("class_order", None)
        stream.pop("experiences", None)
    if stream.get("class_order"):
        stream.pop("order_seed", None)
    if stream.get("class_order") or stream.get("variant", "none") != "none":
        stream.pop("alike", None)
    stream.pop("task_labels", None)
    if "window" in stream or "genres" in stream:
        stream.pop("characters_each", None)
        stream.pop("test_characters_each", None)
    elif benchmark == "brown-characters":
        stream |= {name: 101 + stream[name] for name in ("characters_each", "test_characters_each") if stream.get(name)}
    if stream.get("variant") != "rotated":
        stream.pop("max_angle", None)
    if stream.get("variant") == "permuted":
        stream["augmentation"] = "none"
    if learner.get("mode") != "online":
        learner.pop("decay", None)
    if learner.get("front") is not None:
        learner.setdefault("freeze_depth", 1)
    if not learner.get("freeze_depth") or stream.get("augmentation", "none") == "none":
        learner.pop("augmentation_views", None)
    if learner.get("beta") == 0:
        learner.pop("drift_scale", None)
    if not learner.get("distillation"):
        learner.pop("distillation_tasks", None)
    if "fresh" in learner:
        learner["fresh"] = draw(st.floats(0.01, 1.0))
    for item in dataclasses.fields(entries("strategy")[strategy].options()):
        owners = owners_of(item).get("generator")
        if owners and learner.get("generator", "factored") not in owners:
            learner.pop(item.name, None)
    return make_config(benchmark, strategy, stream, learner, seed=draw(st.integers(0, 2**31)))


@settings(max_examples=40, deadline=None)
@given(config=configs())
def test_every_valid_configuration_is_the_same_run_after_a_round_trip_through_toml(config, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "config.toml"
    file.write_text(config.to_toml(), encoding="utf-8")
    again = config_from_dict(read_toml(file))
    assert again.name == config.name
    assert again == config


def test_every_option_decides_the_name():
    base = make_config("split-digits", "partial-hypernetwork", {}, {})
    changes = {
        "epochs": 3, "batch_size": 3, "learning_rate": 0.3, "optimizer": "sgd", "norm": "group", "front_norm": "group",
        "beta": 0.3, "lookahead": True, "drift_tasks": 3, "copy_embedding": True, "embedding_rate": 3.0, "rank": 3,
        "base_rank": 3, "fresh": 0.3, "reserve": True, "freeze_depth": 3, "front": Path("x"), "generator": "chunked",
        "distillation": 0.3, "drift_scale": "relative",
    }  # fmt: skip
    of_others = {
        "embedding": ("additive", 3), "hidden": ("additive", (3, 3)), "channel_embedding": ("additive", 3),
        "chunk_size": ("chunked", 3), "chunk_embedding": ("chunked", 3), "chunk_hidden": ("chunked", (3,)),
    }  # fmt: skip
    assert {*changes, *of_others, "distillation_tasks", "augmentation_views"} == set(base.strategy_options)
    names = {make_config("split-digits", "partial-hypernetwork", {}, {k: v}).name for k, v in changes.items()}
    for name, (generator, value) in of_others.items():
        options = {"generator": generator, name: value}
        names.add(make_config("split-digits", "partial-hypernetwork", {}, options).name)
    distilled = {"distillation": 0.3, "distillation_tasks": 3}
    names.add(make_config("split-digits", "partial-hypernetwork", {}, distilled).name)
    flipped = [
        make_config(
            "split-digits", "partial-hypernetwork", {"augmentation": "flip"}, {"augmentation_views": views}
        ).name
        for views in (None, 1, 2)
    ]
    assert len(set(flipped)) == 3
    stream = {
        "experiences": 3, "order_seed": 3, "class_order": (1, 0), "image_size": 3, "validation": 0.3,
        "augmentation": "flip", "backbone": "mlp", "variant": "rotated", "corrupt": ("blur",), "classes_each": 3,
        "images_each": 3, "test_images_each": 3, "alike": 0.3, "first": 3,
    }  # fmt: skip
    assert {*stream, "task_labels", "max_angle"} == set(base.benchmark_options)
    names |= {make_config("split-digits", "partial-hypernetwork", {k: v}, {}).name for k, v in stream.items()}
    assert base.name not in names
    assert len(names) == len(changes) + len(of_others) + len([distilled]) + len(stream)
    turned = [{"variant": "rotated", "max_angle": angle} for angle in (90.0, 180.0)]
    assert len({make_config("split-digits", "naive", options, {}).name for options in turned}) == 2


def test_an_option_given_as_it_is_by_default_names_the_same_run():
    named = make_config("split-digits", "naive", {"experiences": 5}, {"epochs": 10})
    assert named.name == make_config("split-digits", "naive", {}, {}).name


def test_a_file_may_leave_options_out_and_gives_their_defaults(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text('benchmark = "split-digits"\nstrategy = "naive"\n')
    assert config_from_dict(read_toml(file)).name == make_config("split-digits", "naive", {}, {}).name


def test_the_written_file_says_schema_and_every_option(tmp_path):
    config = make_config("split-digits", "latent-replay", {}, {})
    content = tomllib.loads(config.to_toml())
    assert content["schema"] == 1
    assert content["strategy_options"].keys() | {"front", "augmentation_views"} == config.strategy_options.keys()


@pytest.mark.parametrize(
    ("partial", "full"), [("partial-hypernetwork", "full-hypernetwork"), ("latent-replay", "replay")]
)
def test_depth_zero_and_the_strategy_named_so_are_one_run(partial, full):
    named = make_config("split-digits", full, {}, {"epochs": 3})
    assert make_config("split-digits", partial, {}, {"freeze_depth": 0, "epochs": 3}) == named
    assert (named.family, named.freeze_depth, named.strategy) == (partial, 0, full)
    assert make_config("split-digits", partial, {}, {"freeze_depth": 1}).strategy == partial
    grid = plan("split-digits", [partial, full], depths=[0, 1], seeds=[0, 1])
    assert [(config.strategy, config.seed) for config in grid] == [(full, 0), (partial, 0), (full, 1), (partial, 1)]


def test_a_strategy_option_goes_to_those_that_have_it_and_must_belong_to_one():
    grid = plan("split-digits", ["naive", "replay"], strategy_options={"buffer_size": 9, "epochs": 2})
    assert ["buffer_size" in config.strategy_options for config in grid] == [False, True]
    with pytest.raises(UserError, match="did you mean 'buffer_size'"):
        plan("split-digits", ["naive", "replay"], strategy_options={"bufer_size": 9})


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0-4", [0, 1, 2, 3, 4]), ("0,2,4", [0, 2, 4]), ("0-2,4", [0, 1, 2, 4]), ("3", [3]), ("2-2", [2]),
     (" 1 , 3 ", [1, 3]), ("1,0-2", [1, 0, 2])],
)  # fmt: skip
def test_depths_are_numbers_and_ranges(text, numbers):
    assert parse_numbers(text, "freeze_depth") == numbers


@pytest.mark.parametrize(
    ("text", "seeds"), [("1", [0]), ("5", [0, 1, 2, 3, 4]), ("1,7,9", [1, 7, 9]), ("3-5", [3, 4, 5]), ("7,7", [7])]
)
def test_seeds_are_a_count_or_a_list(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "x", "4-2", "1,,2", "-1", "1-", "1.5", "1-2-3", "²", "٣²"])
def test_anything_else_is_refused_with_what_would_be_right(text):
    with pytest.raises(UserError, match="give whole numbers such as 0-4 or 0,2,4"):
        parse_numbers(text, "freeze_depth")
    with pytest.raises(UserError, match="seeds"):
        parse_seeds(text)
    with pytest.raises(UserError, match="at least 1 seed"):
        parse_seeds("0")


@given(st.sets(st.integers(0, 50), min_size=1))
def test_any_set_of_depths_can_be_written(depths):
    assert parse_numbers(",".join(map(str, sorted(depths))), "freeze_depth") == sorted(depths)


def test_an_option_at_its_default_is_no_part_of_the_name_so_that_a_new_option_renames_no_run():
    plain = make_config("split-digits", "naive", {}, {})
    spelt_out = make_config("split-digits", "naive", {"experiences": 5}, {"epochs": 10})
    lacking = dataclasses.replace(plain, benchmark_options={}, strategy_options={"freeze_depth": 0})
    assert plain.name == spelt_out.name == lacking.name
    assert make_config("split-digits", "naive", {}, {"epochs": 11}).name != plain.name
