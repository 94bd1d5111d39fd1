"""The Brown corpus through NLTK's reader: 500 documents in 15 genres.

Source: Francis & Kucera 1979, a standard corpus of present-day edited American English.
"""

import functools
from collections.abc import Sequence

from clhyper.data.text import Document, TextSet, text_set
from clhyper.errors import UserError, require, unknown

GENRES = (
    *("news", "editorial", "reviews", "religion", "hobbies", "lore", "belles_lettres", "government", "learned"),
    *("fiction", "mystery", "science_fiction", "adventure", "romance", "humor"),
)
"""in the corpus's own order"""


def brown(genres: Sequence[str]) -> TextSet:
    """Documents of some genres, words and signs parted by blanks and a sentence a line, as the corpus parts them.

    Raises:
        UserError: NLTK or the corpus is missing, no genre, an unknown one, or one that occurs twice.
    """
    require(bool(genres), f"genres: at least one, such as {GENRES[0]}; all of them: {', '.join(GENRES)}")
    for genre in genres:
        if genre not in GENRES:
            raise unknown("genre", genre, GENRES)
        require(list(genres).count(genre) == 1, f"genres: {genre} occurs twice, each may occur once")
    return text_set("brown", {genre: _documents(genre) for genre in genres})


@functools.cache
def _documents(genre: str) -> tuple[Document, ...]:
    try:
        from nltk.corpus import brown as corpus
    except ImportError:
        raise UserError('Brown needs NLTK: pip install "clhyper[text]"') from None
    try:
        names = corpus.fileids(categories=genre)
        return tuple(Document(name, _text(corpus.sents(name))) for name in names)
    except LookupError:
        raise UserError(
            "the Brown corpus is not there: python -c \"import nltk; nltk.download('brown')\" fetches it, or set"
            " NLTK_DATA to a folder that has it"
        ) from None
    except ValueError:
        raise UserError(f"the Brown corpus that NLTK found has no genre {genre}: fetch all of it") from None


def _text(sentences: Sequence[Sequence[str]]) -> str:
    return "".join(f"{' '.join(sentence)}\n" for sentence in sentences)
