"""Text as a stream: documents to windows of characters, and the Brown corpus as NLTK reads it."""

import os
from pathlib import Path

import pytest
import torch
from brown_stand_in import DOCUMENTS, WORDS, installed

from benchmarks import BrownCharacters
from clhyper.data.brown_source import GENRES, _documents, brown
from clhyper.errors import UserError
from clhyper.measures import BITS


@pytest.fixture(autouse=True)
def _corpus():
    installed()


def stream(**options):
    return BrownCharacters(**{"genres": ("news", "romance"), "window": 20} | options)


def written(experience, vocabulary):
    return "".join(vocabulary[code] for code in experience.images.x().flatten().tolist())


def test_documents_are_words_parted_by_blanks_a_sentence_a_line():
    (first, *_) = brown(("news",)).documents["news"]
    assert first.name == "ca01"
    lines = first.text.splitlines()
    assert len(lines) == WORDS / 10
    assert all(len(line.split(" ")) == 10 for line in lines)


def test_a_window_is_followed_by_the_next_character_at_every_step():
    text = stream()
    first = text.train_stream[0]
    x, following = first.images.x(), first.images.labels
    assert x.dtype == torch.uint8
    assert x.shape == following.shape == (len(first.images), 20)
    assert torch.equal(x.flatten()[1:], following.flatten()[:-1].to(torch.uint8))
    whole = "".join(one.text for one in brown(("news",)).documents["news"])
    assert written(first, text.images.vocabulary)[:200] in whole


def test_no_document_is_on_two_sides_and_none_is_lost():
    text = stream(validation=0.3)
    sides = {name: written(text.streams[name][0], text.images.vocabulary) for name in text.streams}
    assert set(sides) == {"train", "validation", "test"}
    for document in brown(("news",)).documents["news"]:
        start = document.text[:100]
        assert sum(start in side for side in sides.values()) == 1
    assert text.eval_stream is text.streams["validation"]


def test_all_genres_share_the_vocabulary_of_the_whole_stream():
    text = stream()
    every = "".join(one.text for documents in text.images.documents.values() for one in documents)
    assert text.images.vocabulary == "".join(sorted(set(every)))
    assert text.classes == len(set(every)) == text.backbone().classes
    assert [experience.classes_by_task for experience in text.train_stream] == [
        {task: list(range(text.classes))} for task in (0, 1)
    ]


def test_genres_are_experiences_in_the_order_given_or_shuffled_by_a_seed():
    assert stream().options.experiences == 2
    assert [e.original_classes for e in stream(order_seed=1).train_stream] in ([(0,), (1,)], [(1,), (0,)])
    orders = {tuple(e.original_classes for e in stream(order_seed=seed).train_stream) for seed in range(8)}
    assert len(orders) == 2
    unlabelled = stream(task_labels=False)
    assert [list(e.classes_by_task) for e in unlabelled.train_stream] == [[0], [0]]


def test_characters_of_an_experience_can_be_limited():
    text = stream(characters_each=401, test_characters_each=101)
    assert [len(e.images) for e in text.train_stream] == [20, 20]
    assert [len(e.images) for e in text.test_stream] == [5, 5]


def test_a_text_stream_is_measured_in_bits_and_is_an_avalanche_benchmark():
    text = stream(characters_each=401)
    assert text.measure is BITS
    x, following, task = text.train_stream[1].dataset.train()[3]
    assert torch.equal(x, text.train_stream[1].images.x()[3])
    assert torch.equal(following, text.train_stream[1].images.labels[3])
    assert task == 1


@pytest.mark.parametrize(
    ("options", "pieces"),
    [
        ({"genres": ()}, ["genres: at least one", "news"]),
        ({"genres": ("new",)}, ["unknown genre 'new'", "did you mean 'news'"]),
        ({"genres": ("news", "news")}, ["genres: news occurs twice"]),
        ({"window": 0}, ["window 0: at least 1"]),
        ({"window": 20_000}, ["news", "less than a window of 20000"]),
        ({"characters_each": 20}, ["characters_each 20", "more than a window of 20"]),
        ({"test_share": 1.0}, ["test_share 1.0"]),
        ({"test_share": 0.95}, [f"news: {DOCUMENTS} documents", "none is left to train on"]),
        ({"validation": 0.99}, ["are held out", "none is left to train on"]),
        ({"experiences": 3}, ["experiences 3: 2 follow from --genres"]),
        ({"genre": "news"}, ["genre", "did you mean 'genres'"]),
    ],
)
def test_what_does_not_fit_is_said_in_one_sentence(options, pieces):
    with pytest.raises(UserError) as error:
        stream(**options)
    assert all(piece in str(error.value) for piece in pieces), str(error.value)
    assert "\n" not in str(error.value)


def test_a_missing_corpus_is_one_sentence_that_says_how_to_get_it(monkeypatch):
    import nltk
    from nltk.corpus.reader import CategorizedTaggedCorpusReader
    from nltk.corpus.util import LazyCorpusLoader

    monkeypatch.setattr(nltk.data, "path", [])
    monkeypatch.setattr(
        nltk.corpus, "brown", LazyCorpusLoader("brown", CategorizedTaggedCorpusReader, r"c[a-z]\d\d", "cats.txt")
    )
    with pytest.raises(UserError, match=r"the Brown corpus is not there: .*nltk.download.*NLTK_DATA") as error:
        _documents.__wrapped__("news")
    assert "\n" not in str(error.value)


def test_the_genres_are_those_of_the_corpus():
    import nltk
    from nltk.corpus.reader import CategorizedTaggedCorpusReader

    places = [Path(place) / "corpora" / "brown.zip" for place in os.environ.get("NLTK_DATA", "").split(os.pathsep)]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        pytest.skip("the Brown corpus itself is not here")
    root = nltk.data.ZipFilePathPointer(str(found), "brown/")
    reader = CategorizedTaggedCorpusReader(root, r"c[a-z]\d\d", cat_file="cats.txt", encoding="ascii")
    assert set(reader.categories()) == set(GENRES)
