"""The pages of this documentation in the layout of the Brown corpus, where NLTK's reader finds them first."""

import functools
import tempfile
from pathlib import Path

PAGES = Path(__file__).resolve().parents[1] / "docs"
DOCUMENTS = 5
"""of each genre"""
WORDS = 500
"""of each document"""


def write_brown(folder: Path) -> None:
    """`corpora/brown` with the genres news, as the words are, and romance, whose words are read backwards."""
    corpus = folder / "corpora" / "brown"
    corpus.mkdir(parents=True)
    text = " ".join(path.read_text(encoding="utf-8") for path in sorted(PAGES.rglob("*.md")))
    words = [word for word in text.split() if word.isascii() and word.isalpha()]
    assert len(words) > DOCUMENTS * WORDS
    categories = []
    for letter, genre, step in (("a", "news", 1), ("p", "romance", -1)):
        for number in range(DOCUMENTS):
            own = words[number * WORDS : (number + 1) * WORDS]
            lines = [" ".join(f"{word[::step]}/nn" for word in own[at : at + 10]) for at in range(0, WORDS, 10)]
            (corpus / f"c{letter}{number + 1:02}").write_text("\n\n".join(lines) + "\n")
            categories.append(f"c{letter}{number + 1:02} {genre}")
    (corpus / "cats.txt").write_text("\n".join(categories) + "\n")


@functools.cache
def installed() -> Path:
    """The stand-in's folder, the first that NLTK looks into from now on."""
    import nltk

    folder = Path(tempfile.mkdtemp(prefix="brown"))
    write_brown(folder)
    nltk.data.path.insert(0, str(folder))
    return folder
