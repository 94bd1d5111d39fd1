"""What may be searched: the words of --search, checked against a strategy's options, and what is drawn."""

import random

import pytest

from clhyper.errors import UserError
from clhyper.registry import find
from clhyper.tune.space import Choices, Range, parse_space

PARTIAL = find("strategy", "partial-hypernetwork")


def space(*words, strategy="partial-hypernetwork", **given):
    return parse_space(words, find("strategy", strategy), given)


def drawn(space, seed):
    """A setting drawn at random."""
    chance = random.Random(seed)

    def choose(dimension):
        if isinstance(dimension, Choices):
            return chance.choice(dimension.values)
        return dimension.drawn(chance.uniform(dimension.low, dimension.high))

    return space.draw(choose)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("learning_rate=1e-4..1e-1:log", Range("learning_rate", 1e-4, 1e-1, whole=False, log=True)),
        ("learning-rate=0.1..0.5", Range("learning_rate", 0.1, 0.5, whole=False, log=False)),
        ("rank=8..64", Range("rank", 8, 64, whole=True, log=False)),
        ("rank=8..64:int:log", Range("rank", 8, 64, whole=True, log=True)),
        ("drift_tasks=1..4", Range("drift_tasks", 1, 4, whole=True, log=False)),
        ("norm=batch, group", Choices("norm", ("batch", "group"), ("batch", "group"))),
        ("rank=8,16", Choices("rank", ("8", "16"), (8, 16))),
        ("lookahead=true,none", Choices("lookahead", ("true", "none"), (True, None))),
        ("beta=none,0.5", Choices("beta", ("none", "0.5"), (None, 0.5))),
    ],
)
def test_a_word_becomes_a_range_or_choices_of_the_option_s_type(word, expected):
    (dimension,) = space(word).dimensions
    assert dimension == expected
    assert [type(end) for end in dimension.ends] == [type(end) for end in expected.ends]


@pytest.mark.parametrize(
    ("words", "pieces"),
    [
        ([], ["give at least one option"]),
        (["beta"], ["'beta'", "LOW..HIGH"]),
        (["beta="], ["'beta='", "LOW..HIGH"]),
        (["bete=1..2"], ["unknown option of partial-hypernetwork 'bete'", "'beta'"]),
        (["beta=1..2", "beta=2..3"], ["beta: occurs twice"]),
        (["beta=1.."], ["two ends"]),
        (["beta=2..1"], ["begins above its end", "beta=1..2 is right"]),
        (["beta=1..1"], ["both ends are 1", "--beta 1"]),
        (["beta=0..1:log"], ["begins above 0"]),
        (["beta=-1..1:log"], ["begins above 0"]),
        (["beta=0..nan"], ["nan is no end of a range"]),
        (["beta=none..1"], ["beta 'none'"]),
        (["beta=0..1:int"], ["isn't a whole number"]),
        (["rank=1..2.5"], ["rank '2.5'"]),
        (["rank=1..9:lin"], ["'lin' is neither"]),
        (["norm=batch..group"], ["has no order"]),
        (["norm=batch"], ["one value is no search", "--norm batch"]),
        (["norm=batch,"], ["a value is missing"]),
        (["norm=batch,batch"], ["batch occurs twice"]),
        (["beta=1,1.0"], ["1.0 occurs twice"]),
        (["norm=batch,grop"], ["norm 'grop'", "'group'"]),
        (["hidden=8,16"], ["several numbers", "--hidden"]),
    ],
)
def test_a_word_that_is_wrong_is_refused_in_a_sentence_that_says_what_is_right(words, pieces):
    with pytest.raises(UserError) as error:
        space(*words)
    for piece in pieces:
        assert piece in str(error.value)


def test_an_option_that_is_fixed_cannot_be_searched():
    with pytest.raises(UserError, match="both searched and fixed with --freeze-depth"):
        space("freeze_depth=1..2", freeze_depth=1)


def test_an_option_that_belongs_to_a_choice_is_drawn_only_beside_it():
    searched = space("rank=8..64", "embedding=4..8", "generator=factored,static,low-rank", "beta=0.1..1")
    seen = {}
    for seed in range(60):
        settings = drawn(searched, seed)
        seen.setdefault(settings["generator"], set()).add(frozenset(settings) - {"generator", "beta"})
    assert seen == {
        "factored": {frozenset({"rank"})},
        "static": {frozenset({"embedding"})},
        "low-rank": {frozenset({"rank", "embedding"})},
    }


def test_an_option_that_never_has_effect_is_refused():
    searched = space("embedding=4..8", "beta=0.1..1", generator="factored")
    with pytest.raises(UserError, match="embedding: has no effect"):
        searched.check(lambda settings: None)


def test_an_end_that_no_setting_can_have_is_refused_before_anything_runs():
    def configure(settings):
        if settings.get("rank", 1) < 1:
            raise UserError("rank 0: at least 1")

    with pytest.raises(UserError, match=r"search rank=0\.\.4:int: rank 0: at least 1"):
        space("rank=0..4", "generator=static,factored").check(configure)


def test_a_value_that_only_some_others_contradict_is_let_through():
    def configure(settings):
        if settings["distillation_tasks"] > 1 and settings["distillation"] == 0:
            raise UserError("nothing is distilled")

    space("distillation=0,0.5", "distillation_tasks=1..4").check(configure)


def test_numbers_have_four_digits_and_stay_within_their_range():
    beta, rank = space("beta=0.12344..10", "rank=8..64").dimensions
    assert beta.drawn(1.23456789) == 1.235
    assert beta.drawn(0.12344) == 0.12344
    assert (rank.drawn(8), type(rank.drawn(8))) == (8, int)


def test_a_finite_space_is_listed_once_each_and_another_is_not():
    searched = space("generator=factored,static", "rank=8..10", "norm=batch,group")
    settings = searched.all_settings()
    assert len(settings) == 2 * 3 + 2
    assert len({str(sorted(setting.items())) for setting in settings}) == len(settings)
    assert space("beta=0..1").all_settings() is None
    assert space("rank=1..5000").all_settings() is None


@pytest.mark.parametrize(
    "word", ["rank=1000001..1000002", "learning_rate=0.1..0.12345678", "beta=0.01..10", "learning_rate=1e-05..0.1:log"]
)
def test_a_range_is_written_with_all_of_its_digits(word):
    (dimension,) = space(word).dimensions
    assert str(dimension).removesuffix(":int") == word
    assert space(str(dimension)).dimensions == (dimension,)
