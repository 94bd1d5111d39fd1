import pytest
from hypothesis import given
from hypothesis import strategies as st

from clhyper.errors import UserError
from clhyper.text.labels import Sentence, bio, from_inside, tagged_set, to_inside

LABELS = st.lists(st.sampled_from(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-A-B"]), max_size=12)


@given(LABELS)
def test_spans_come_back_from_what_is_written(labels):
    assert tuple(from_inside(to_inside(labels))) == bio(labels)


@given(LABELS)
def test_cleaned_labels_stay_as_they_are_and_have_no_inside_without_a_beginning(labels):
    clean = bio(labels)
    assert bio(clean) == clean
    assert all(before[2:] == now[2:] for before, now in zip(("O", *clean), clean, strict=False) if now[0] == "I")


def test_the_type_stands_where_a_span_begins_and_two_spans_that_touch_stay_two():
    assert to_inside(["B-PER", "I-PER", "B-PER", "O", "I-LOC"]) == ["PER", "I", "PER", "O", "LOC"]


def test_an_inside_that_continues_nothing_is_outside():
    assert from_inside(["I", "O", "I", "LOC", "I"]) == ["O", "O", "O", "B-LOC", "I-LOC"]


@pytest.mark.parametrize("label", ["S-PER", "PER", "B-", "B", "", "b-PER", "B-O", "I-I"])
def test_a_label_that_is_no_bio_is_named(label):
    with pytest.raises(UserError, match=f"label '{label}': (O, B-TYPE or I-TYPE is right|a type can't be called)"):
        bio(["O", label])


def test_a_set_knows_the_labels_of_its_training_sentences_and_must_have_some():
    spans = tagged_set("people", "spans", [Sentence(("Ada", "left"), ("B-PER", "O"))], [])
    assert spans.labels == ("PER",)
    with pytest.raises(UserError, match="no sentence has a span"):
        tagged_set("people", "spans", [Sentence(("left",), ("O",))], [])
    with pytest.raises(UserError, match="no sentence to train on"):
        tagged_set("people", "tags", [], [])


def test_a_label_of_test_sentences_alone_is_one_only_where_the_tag_set_is_known():
    train, test = [Sentence(("Ada",), ("NN",))], [Sentence(("left",), ("VB",))]
    assert tagged_set("words", "tags", train, test).labels == ("NN",)
    assert tagged_set("words", "tags", train, test, known=True).labels == ("NN", "VB")
