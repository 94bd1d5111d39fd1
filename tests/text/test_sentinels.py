import random

import pytest

from clhyper.errors import UserError
from clhyper.text.labels import Sentence
from clhyper.text.sentinels import SentinelFormat, parts
from clhyper.text.tokenizer import load_tokenizer, trained_tokenizer

TEXT = [
    "the jury said that Ada Lovelace wrote the first program",
    "she lived in London and left it",
    "PER LOC NN VB I O",
] * 3
SPANS = Sentence(("Ada", "Lovelace", "left", "London"), ("B-PER", "I-PER", "O", "B-LOC"))


@pytest.fixture(scope="module")
def tokenizer():
    return trained_tokenizer(TEXT, pieces=80, sentinels=5)


@pytest.fixture(scope="module")
def spans(tokenizer):
    return SentinelFormat(tokenizer, ("PER", "LOC"), "spans")


def test_words_and_labels_stand_after_their_sentinels(spans, tokenizer):
    (piece,) = spans.pieces([SPANS])
    tokens = tokenizer.decode(piece.source).replace(" ", "")
    assert tokens == "<extra_id_0>Ada<extra_id_1>Lovelace<extra_id_2>left<extra_id_3>London</s>"
    assert tokenizer.decode(piece.target).replace(" ", "") == (
        "<extra_id_0>PER<extra_id_1>I<extra_id_2>O<extra_id_3>LOC</s>"
    )
    assert spans.read([piece], [piece.target]) == [list(SPANS.labels)]


def test_a_sentence_longer_than_the_sentinels_is_cut_evenly_and_comes_back_whole_with_its_span_over_the_cut(spans):
    labels = ("O", "O", "O", "B-PER", "I-PER", "I-PER", "O")
    pieces = spans.pieces([SPANS, Sentence(tuple("abcdefg"), labels), SPANS])
    assert [(piece.sentence, piece.words) for piece in pieces] == [(0, 4), (1, 3), (1, 4), (2, 4)]
    read = spans.read(pieces, [piece.target for piece in pieces])
    assert read == [list(SPANS.labels), list(labels), list(SPANS.labels)]
    cut = spans.pieces([Sentence(tuple("abcdefgh"), ("O", "O", "O", "B-PER", "I-PER", "I-PER", "O", "O"))])
    assert spans.read(cut, [piece.target for piece in cut])[0][3:6] == ["B-PER", "I-PER", "I-PER"]


def test_parts_are_as_few_and_as_equal_as_can_be():
    for words in range(1, 60):
        lengths = [part.stop - part.start for part in parts(words, 7)]
        assert sum(lengths) == words
        assert len(lengths) == -(-words // 7)
        assert max(lengths) - min(lengths) <= 1


def test_any_answer_is_read_to_a_label_for_each_word(spans, tokenizer):
    draws = random.Random(0)
    (piece,) = spans.pieces([SPANS])
    for _ in range(300):
        answer = [draws.randrange(len(tokenizer)) for _ in range(draws.randrange(12))]
        (labels,) = spans.read([piece], [answer])
        assert len(labels) == 4
        assert set(labels) <= {"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}


def test_of_an_answer_gone_wrong_what_is_right_is_kept(spans):
    zero, one, two, _, four = spans.sentinels
    per, loc, inside = (spans._ids[label] for label in ("PER", "LOC", "I"))
    (piece,) = spans.pieces([SPANS])
    end = spans.tokenizer.eos_token_id
    answer = [0, *loc, zero, *per, zero, *loc, four, *loc, two, *per, *per, one, *inside, end, zero]
    assert spans.read([piece], [answer]) == [["B-PER", "I-PER", "O", "O"]]
    assert spans.read([piece], [[]]) == [["O"] * 4]


def test_a_missing_tag_is_no_tag_and_never_right(tokenizer):
    tags = SentinelFormat(tokenizer, ("NN", "VB", "I", "O"), "tags")
    (piece,) = tags.pieces([Sentence(("Ada", "left"), ("NN", "VB"))])
    assert tags.read([piece], [piece.target[:3]])[0][1] == ""
    (piece,) = tags.pieces([Sentence(("I", "O"), ("I", "O"))])
    assert tags.read([piece], [piece.target]) == [["I", "O"]]


def test_words_that_read_like_sentinels_or_ends_are_only_words(spans):
    sentence = Sentence(("<extra_id_3>", "</s>", "x<extra_id_0>"), ("O", "O", "B-LOC"))
    (piece,) = spans.pieces([sentence])
    assert [token for token in piece.source if token in spans.sentinels] == spans.sentinels[:3]
    assert piece.source.count(spans.tokenizer.eos_token_id) == 1


def test_an_unknown_label_is_named_with_the_nearest(spans):
    with pytest.raises(UserError, match="unknown label 'PERS': did you mean 'PER'"):
        spans.pieces([Sentence(("Ada",), ("B-PERS",))])


def test_labels_that_the_tokenizer_cannot_tell_apart_are_refused(tokenizer):
    with pytest.raises(UserError, match="labels '☃' and '☂' are the same to this tokenizer"):
        SentinelFormat(tokenizer, ("☃", "☂"), "tags")


def test_a_tokenizer_without_sentinels_is_refused():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    bare = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>")))
    with pytest.raises(UserError, match="has no sentinels"):
        SentinelFormat(bare, ("NN",), "tags")


def test_a_trained_tokenizer_has_t5s_layout_and_comes_back_from_its_folder(tokenizer, tmp_path):
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id) == (0, 1, 2)
    assert tokenizer.convert_tokens_to_ids("<extra_id_0>") == len(tokenizer) - 1
    tokenizer.save_pretrained(tmp_path)
    again = load_tokenizer(str(tmp_path))
    assert again(TEXT)["input_ids"] == tokenizer(TEXT)["input_ids"]
    assert again.decode(again(TEXT[0])["input_ids"], skip_special_tokens=True).strip() == TEXT[0]


def test_a_folder_without_a_tokenizer_and_an_empty_text_are_named(tmp_path):
    with pytest.raises(UserError, match="the folder holds none"):
        load_tokenizer(str(tmp_path))
    with pytest.raises(UserError, match="is empty"):
        trained_tokenizer(["  "])
