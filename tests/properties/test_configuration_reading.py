"""Whatever a configuration file or a flag says, it is understood or refused with `UserError`; nothing else happens."""

import dataclasses
import typing
from pathlib import Path

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from clhyper.errors import UserError
from clhyper.registry import entries
from clhyper.runs import RunConfig, make_config
from clhyper.runs.config import config_from_dict, read_toml
from clhyper.runs.sweep import parse_numbers, parse_seeds

ALIKE = settings(derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))

SCALARS = (
    some.booleans()
    | some.integers(-(10**30), 10**30)
    | some.floats()
    | some.text(max_size=8)
    | some.datetimes()
    | some.dates()
)
VALUES = some.recursive(
    SCALARS,
    lambda inner: some.lists(inner, max_size=3) | some.dictionaries(some.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
NAMES = {kind: sorted(entries(kind)) for kind in ("benchmark", "strategy")}
OPTIONS = sorted(
    {field.name for kind in NAMES for entry in entries(kind).values() for field in dataclasses.fields(entry.options())}
)
TABLES = some.dictionaries(some.sampled_from(OPTIONS) | some.text(max_size=5), VALUES, max_size=4)
CONTENTS = some.fixed_dictionaries(
    {kind: some.sampled_from([*names, "", 5, None]) for kind, names in NAMES.items()},
    optional={
        "schema": some.just(1) | VALUES,
        "seed": some.integers(-3, 2**70) | VALUES,
        "threads": some.integers(-3, 2**70) | VALUES,
        "device": some.sampled_from(["cpu", "cuda", "cuda:x"]) | VALUES,
        "benchmark_options": TABLES | VALUES,
        "strategy_options": TABLES | VALUES,
        "else": VALUES,
    },
)


def read(file: Path) -> RunConfig | None:
    """The configuration, or None where it is refused."""
    try:
        return config_from_dict(read_toml(file))
    except UserError:
        return None


@settings(ALIKE, max_examples=100)
@given(content=some.binary(max_size=80) | some.text(max_size=60).map(lambda text: text.encode("utf-8", "replace")))
def test_any_bytes_are_a_configuration_or_refused(content, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "bytes.toml"
    file.write_bytes(content)
    read(file)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + 3000 * "[" + 3000 * "]",
        "seed = 1" + 5000 * "0",
        'benchmark = "split-digits"\nstrategy = "naive"\nseed = 1e400',
        'benchmark = "split-digits"\nstrategy = "naive"\n[strategy_options]\nlearning_rate = 1' + 400 * "0",
        'benchmark = "split-digits"\nstrategy = "naive"\n[strategy_options]\nepochs = 99999999999999999999999.0',
        'benchmark = "split-digits"',
        "a.b.c.d = 1\na.b = 2",
        "\ufeffseed = 1",
        "",
    ],
    ids=range(9),
)
def test_texts_that_strain_a_parser_are_refused(text, tmp_path):
    (tmp_path / "config.toml").write_text(text, encoding="utf-8")
    assert read(tmp_path / "config.toml") is None


@settings(ALIKE, max_examples=150)
@given(content=CONTENTS)
def test_any_values_under_the_right_names_are_a_configuration_or_refused(content, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "values.toml"
    content = {name: value for name, value in content.items() if value is not None}
    file.write_text(tomli_w.dumps(content), encoding="utf-8")
    config = read(file)
    if config is not None:
        file.write_text(config.to_toml(), encoding="utf-8")
        assert repr(read(file)) == repr(config)  # not ==, as NaN differs from itself


def values_of(name: str, hint: object) -> some.SearchStrategy:
    """Values of the option's type, small and mostly valid."""
    options = typing.get_args(hint)
    if typing.get_origin(hint) is typing.Literal:
        return some.sampled_from(options)
    if type(None) in options:
        (rest,) = (option for option in options if option is not type(None))
        return some.none() | values_of(name, rest)
    if typing.get_origin(hint) is tuple:
        length = {} if Ellipsis in options else {"min_size": len(options)}
        return some.lists(values_of(name, options[0]), max_size=max(2, len(options)), unique=True, **length).map(tuple)
    kinds = {
        int: some.integers(0, 3),
        float: some.floats(0, 1),
        bool: some.booleans(),
        str: some.sampled_from(["mlp", "small-convnet", "a b", "ö|\"'"]),
        Path: some.sampled_from([Path("a/b"), Path("c d")]),
    }
    return kinds[hint]


@pytest.mark.parametrize("kind", ["benchmark", "strategy"])
@settings(ALIKE, max_examples=25)
@given(data=some.data())
def test_two_configurations_have_one_name_if_and_only_if_what_decides_the_numbers_is_equal(kind, data):
    name = data.draw(some.sampled_from(NAMES[kind]))
    hints = typing.get_type_hints(entries(kind)[name].options())
    drawn = [
        some.fixed_dictionaries({}, optional={one: values_of(one, hint) for one, hint in hints.items()})
        for _ in range(2)
    ]
    made = []
    for options in map(data.draw, drawn):
        own = {"benchmark": {}, "strategy": {}, kind: options}
        names = {"benchmark": "split-digits", "strategy": "naive", kind: name}
        run = {
            "seed": data.draw(some.integers(0, 1)),
            "device": data.draw(some.sampled_from(["cpu", "cuda", "cuda:1"])),
        }
        try:
            made.append(make_config(*names.values(), *own.values(), threads=data.draw(some.integers(1, 2)), **run))
        except UserError:
            return
    one, other = ({**config.as_dict(), "threads": 0, "device": config.device[:4]} for config in made)
    assert (made[0].name == made[1].name) == (one == other)
    assert Path(made[0].name).name == made[0].name
    assert len(made[0].name) < 200


@settings(ALIKE, max_examples=300)
@given(text=some.text(max_size=12) | some.text("0123456789-, ", max_size=30))
def test_any_text_is_a_list_of_depths_or_seeds_or_refused(text):
    for parsed in (lambda: parse_numbers(text, "freeze_depth"), lambda: parse_seeds(text)):
        try:
            numbers = parsed()
        except UserError:
            continue
        assert numbers
        assert all(type(number) is int and number >= 0 for number in numbers)
        assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("text", ["0-99999999999999999", "0-" + 30 * "9", 5000 * "9", "1," + 5000 * "9"])
def test_numbers_that_no_memory_holds_are_refused(text):
    with pytest.raises(UserError, match=r"^freeze_depth"):
        parse_numbers(text, "freeze_depth")
    with pytest.raises(UserError, match=r"^seeds"):
        parse_seeds(text)
