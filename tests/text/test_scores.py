import pytest

from clhyper.errors import UserError
from clhyper.text.scores import span_f1, token_accuracy


def test_a_span_counts_only_whole_and_over_all_sentences_together():
    true = [["B-PER", "I-PER", "O", "B-LOC"], ["B-LOC", "O"]]
    predicted = [["B-PER", "O", "O", "B-LOC"], ["B-LOC", "B-PER"]]
    assert span_f1(true, predicted) == pytest.approx(2 * (2 / 4) * (2 / 3) / (2 / 4 + 2 / 3))
    assert span_f1(true, true) == 1
    assert span_f1([["O"]], [["O"]]) == 0


def test_accuracy_is_a_share_of_words_not_of_sentences():
    assert token_accuracy([["NN", "VB", "NN"], ["NN"]], [["NN", "VB", ""], ["NN"]]) == 0.75


def test_other_lengths_are_refused_in_a_sentence():
    with pytest.raises(UserError, match="sentence 0: 1 labels for 2 words"):
        token_accuracy([["NN", "NN"]], [["NN"]])
    with pytest.raises(UserError, match="0 labelled sentences for 1"):
        span_f1([["O"]], [])
