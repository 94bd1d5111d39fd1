"""Bits in place of accuracies: their sum, their metrics, and the matrix on disk."""

import json
import math

import pytest
import torch

from clhyper.evaluation import all_metrics
from clhyper.evaluation.amounts import amount
from clhyper.measures import ACCURACY, BITS, LESS_IS_BETTER
from clhyper.runs.folder import as_content
from clhyper.runs.reading import matrix_of

BY_HAND = [[2.0, 5.0, 5.5], [1.5, 3.0, 4.0], [2.5, 3.25, 2.75]]


def test_bits_are_minus_the_logarithms_of_what_the_labels_were_given():
    logits = torch.tensor([[[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]]]).log().transpose(1, 2)
    assert float(amount(BITS, logits, torch.tensor([[0, 2]]))) == pytest.approx(1 + 3)
    assert int(amount(ACCURACY, logits, torch.tensor([[0, 2]]))) == 1


def test_equal_chances_of_all_characters_take_the_logarithm_of_their_number():
    bits = amount(BITS, torch.zeros(2, 50, 7), torch.zeros(2, 7, dtype=torch.long)) / 14
    assert float(bits) == pytest.approx(math.log2(50))


def test_forgetting_in_bits_is_how_far_they_rose_from_the_least_and_transfers_how_far_they_fell():
    found = {name: value for name, (value, _) in all_metrics(BY_HAND, [6.0, 6.0, 6.0], BITS).items()}
    assert found == pytest.approx(
        {
            "bits": (2.5 + 3.25 + 2.75) / 3,
            "bits_forgetting": ((2.5 - 1.5) + (3.25 - 3.0)) / 2,
            "bits_bwt": ((2.0 - 2.5) + (3.0 - 3.25)) / 2,
            "bits_fwt": ((6.0 - 5.0) + (6.0 - 4.0)) / 2,
            "learning_bits": (2.0 + 3.0 + 2.75) / 3,
        }
    )


def test_what_cannot_be_computed_in_bits_has_its_reason():
    found = all_metrics([[2.0]], None, BITS)
    assert found["bits"] == (2.0, None)
    assert found["bits_forgetting"] == (None, "a stream of one experience has nothing to forget")


def test_fewer_bits_are_better_and_so_is_less_forgetting_and_more_transfer():
    assert set(BITS.metrics) & set(LESS_IS_BETTER) == {"bits", "bits_forgetting", "learning_bits"}


def test_a_matrix_of_bits_is_read_as_it_was_written_and_one_of_accuracies_may_hold_no_bits():
    stored = json.loads(json.dumps(as_content("bits", BY_HAND)))
    assert matrix_of(stored) == (BITS, BY_HAND)
    assert matrix_of(as_content(None, [[0.5]])) == (ACCURACY, [[0.5]])
    assert matrix_of(BY_HAND) == (ACCURACY, [])
    assert matrix_of({"measure": "bits", "matrix": [["many"]]}) == (BITS, [])
