"""Part-of-speech tagging of the Brown corpus, by genre and tag set, through NLTK's reader.

Source: Francis and Kucera, Brown Corpus Manual, 1979.
"""

from typing import Any, Literal, get_args

from clhyper.errors import UserError, require, unknown
from clhyper.text.labels import Sentence, TaggedSet, tagged_set

TagSet = Literal["brown", "base", "universal"]
TEST_EVERY = 5
"""of a genre's documents, every fifth is for testing"""
_MARKS = ("-TL", "-HL", "-NC")


def brown_tags(genre: str, tags: TagSet = "base", sentences: int | None = None) -> TaggedSet:
    """A genre's sentences with their parts of speech; documents are either for training or for testing.

    Args:
        genre: Such as news.
        tags: brown: as the corpus has them, some 470. base: without the marks of titles, headlines, citations, foreign
            words and negation, and of joined words the first (NN-TL is NN, PPSS+BEM is PPSS), some 90. universal:
            twelve, through NLTK's map.
        sentences: Training sentences at most, and of test sentences a quarter of that; without it, all.

    Raises:
        UserError: NLTK, the corpus or the map is missing, no such genre or tag set, or fewer than 4 sentences.
    """
    if tags not in get_args(TagSet):
        raise unknown("tag set", tags, get_args(TagSet))
    require(sentences is None or sentences >= 4, f"sentences {sentences}: at least 4, so that one is for testing")
    corpus = _corpus()
    try:
        genres = corpus.categories()
        if genre not in genres:
            raise unknown("genre", genre, genres)
        names = corpus.fileids(categories=genre)
        test_names = names[::TEST_EVERY]
        train = _sentences(corpus, [name for name in names if name not in test_names], tags, sentences)
        test = _sentences(corpus, test_names, tags, sentences and sentences // 4)
    except LookupError as error:
        missing = "universal_tagset" if "universal_tagset" in str(error) else "brown"
        raise UserError(
            f"NLTK's {missing} is not there: python -c \"import nltk; nltk.download('{missing}')\" fetches it, or set"
            " NLTK_DATA to a folder that has it"
        ) from None
    return tagged_set(f"brown-{genre}-{tags}", "tags", train, test, known=True)


def base_tag(tag: str) -> str:
    """A tag of Brown without its marks, and of joined words' the first; punctuation stays as it is."""
    first = tag.partition("+")[0].removeprefix("FW-") or tag
    while first.endswith(_MARKS):
        first = first[:-3]
    return first.rstrip("*") or first


def _corpus() -> Any:
    try:
        from nltk.corpus import brown
    except ImportError:
        raise UserError('Brown needs NLTK: pip install "clhyper[text]"') from None
    return brown


def _sentences(corpus: Any, names: list[str], tags: TagSet, most: int | None) -> list[Sentence]:
    made: list[Sentence] = []
    found = corpus.tagged_sents(names, tagset="universal" if tags == "universal" else None)
    for sentence in found[:most]:
        words, given = zip(*sentence, strict=True)
        made.append(Sentence(words, tuple(map(base_tag, given)) if tags == "base" else given))
    return made
