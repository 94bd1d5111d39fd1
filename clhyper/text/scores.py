"""How well sequences were labelled: micro-F1 of spans, and accuracy of tags."""

from collections.abc import Sequence

from clhyper.errors import UserError, require

Labels = Sequence[Sequence[str]]


def span_f1(true: Labels, predicted: Labels) -> float:
    """Micro-F1 of spans in BIO labels, by seqeval: a fraction of 1, and 0 where neither has a span.

    Raises:
        UserError: other sentences, or of other lengths, than there are; or seqeval is missing.
    """
    _same_words(true, predicted)
    try:
        from seqeval.metrics import f1_score
    except ImportError:
        raise UserError('the F1 of spans needs seqeval: pip install "clhyper[text]"') from None
    return float(f1_score([list(labels) for labels in true], [list(labels) for labels in predicted], zero_division=0))


def token_accuracy(true: Labels, predicted: Labels) -> float:
    """The share of words whose label is right; raises `UserError` as `span_f1` does, or if there is no word."""
    _same_words(true, predicted)
    right = [a == b for one, other in zip(true, predicted, strict=True) for a, b in zip(one, other, strict=True)]
    require(bool(right), "no word to score")
    return sum(right) / len(right)


def _same_words(true: Labels, predicted: Labels) -> None:
    require(len(true) == len(predicted), f"{len(predicted)} labelled sentences for {len(true)}")
    for number, (one, other) in enumerate(zip(true, predicted, strict=True)):
        require(len(one) == len(other), f"sentence {number}: {len(other)} labels for {len(one)} words")
