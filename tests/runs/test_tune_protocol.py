"""What trials of a search may see of the stream that is reported."""

from itertools import chain

import pytest

from benchmarks import SplitDigits
from clhyper.errors import UserError
from clhyper.registry import find
from clhyper.runs.config import checked_options
from clhyper.tune.protocol import choose_protocol


def reported(benchmark="split-digits", **options):
    return checked_options(find("benchmark", benchmark), options)


@pytest.mark.parametrize(("experiences", "first"), [(1, 1), (2, 2), (3, 2), (5, 2), (6, 3), (10, 5)])
def test_half_of_the_experiences_are_seen_and_at_least_two(experiences, first):
    assert choose_protocol("first-experiences", reported(experiences=experiences)).first == first


def test_the_first_experiences_are_those_of_the_reported_stream_on_held_out_training_images():
    options = reported(order_seed=3)
    protocol = choose_protocol("first-experiences", options, first=2, validation=0.2)
    whole, seen = SplitDigits(order_seed=3), SplitDigits(**protocol.stream_options(options))
    assert seen.evaluated_on == "validation"
    assert len(seen.train_stream) == 2
    for theirs, ours, judged in zip(whole.train_stream, seen.train_stream, seen.eval_stream, strict=False):
        assert ours.original_classes == theirs.original_classes == judged.original_classes
        trained, held_out = set(ours.images.rows.tolist()), set(judged.images.rows.tolist())
        assert trained | held_out == set(theirs.images.rows.tolist())
        assert not trained & held_out
    assert protocol.sentence() == (
        "Chosen on 20 % of the training images, held out, of the first 2 of 5 experiences; no test image had a part in"
        " it."
    )


@pytest.mark.parametrize("given", [{}, {"order_seed": 3}, {"class_order": (1, 3, 5, 7, 9, 0)}])
def test_another_class_order_deals_the_reported_classes_otherwise(given):
    options = reported(experiences=3, **given)
    protocol = choose_protocol("class-order", options)
    theirs, ours = (SplitDigits(**chosen) for chosen in (options, protocol.stream_options(options)))
    dealt = [[sorted(e.original_classes) for e in stream.train_stream] for stream in (theirs, ours)]
    assert dealt[0] != dealt[1]
    assert sorted(chain.from_iterable(dealt[0])) == sorted(chain.from_iterable(dealt[1]))
    assert ours.evaluated_on == "validation"
    assert "all 3 experiences under another class order (order seed 1000)" in protocol.sentence()


def test_a_stream_seen_whole_in_its_own_order_is_said_to_be():
    protocol = choose_protocol("first-experiences", reported(), first=5)
    assert "all 5 experiences, in the reported order" in protocol.sentence()


@pytest.mark.parametrize(
    ("name", "stream", "given", "message"),
    [
        ("first-experiences", {}, {"first": 6}, "first 6: from 1 to 5"),
        ("first-experiences", {}, {"first": 0}, "first 0: from 1 to 5"),
        ("first-experiences", {}, {"validation": 0.0}, "validation 0: a share"),
        ("first-experiences", {}, {"validation": 1.0}, "validation 1: a share"),
        ("first-experiences", {}, {"order_seed": 3}, "tuning_order_seed 3: belongs to --protocol class-order"),
        ("class-order", {}, {"first": 2}, "first 2: belongs to --protocol first-experiences"),
        ("class-order", {"order_seed": 7}, {"order_seed": 7}, "tuning_order_seed 7: is the reported order's"),
        ("class-order", {"order_seed": 1000}, {}, "tuning_order_seed 1000: is the reported order's"),
        ("class-order", {}, {"order_seed": -1}, "tuning_order_seed -1: at least 0"),
        ("class-order", {"experiences": 1}, {}, "one experience has no other order"),
        ("class-order", {"alike": 0.5}, {}, "alike decides"),
        ("class-order", {"variant": "rotated"}, {}, "all of its classes under any order"),
        ("class-order", {"class_order": (3,), "experiences": 2}, {}, "gives the reported order"),
    ],
)
def test_a_protocol_that_would_not_hold_is_refused(name, stream, given, message):
    with pytest.raises(UserError, match=message):
        choose_protocol(name, reported(**stream), **given)


def test_sources_with_one_experience_each_have_no_other_order():
    options = reported("mixed", sources=("digits", "mnist"))
    with pytest.raises(UserError, match="all of its classes under any order"):
        choose_protocol("class-order", options)
    assert choose_protocol("class-order", reported("mixed", sources=("digits", "mnist"), experiences_each=2))
