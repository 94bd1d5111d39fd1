import os

import pytest

from clhyper.errors import UserError
from clhyper.text.brown_tags import base_tag, brown_tags


@pytest.fixture
def corpus(monkeypatch, tmp_path):
    """NLTK's reader on a corpus in Brown's layout: ten documents of news, one of humor."""
    nltk = pytest.importorskip("nltk")
    from nltk.corpus.reader import CategorizedTaggedCorpusReader
    from nltk.corpus.util import LazyCorpusLoader

    folder = tmp_path / "corpora" / "brown"
    folder.mkdir(parents=True)
    names = [f"ca{number:02}" for number in range(1, 11)] + ["cr01"]
    for name in names:
        (folder / name).write_text(
            f"\nThe/at Jury-{name}/nn-tl said/vbd ,/, ``/`` I'm/ppss+bem not/* late/jj ./.\n\nNo/rb\n"
        )
    (folder / "cats.txt").write_text("".join(f"{n} {'humor' if n[1] == 'r' else 'news'}\n" for n in names))
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    fresh = LazyCorpusLoader(
        "brown", CategorizedTaggedCorpusReader, r"c[a-z]\d\d", cat_file="cats.txt", tagset="en-brown", encoding="ascii"
    )
    monkeypatch.setattr("nltk.corpus.brown", fresh)
    return folder


def test_documents_are_for_training_or_for_testing_and_never_for_both(corpus):
    tagged = brown_tags("news", "brown")
    documents = [{s.words[1] for s in part if len(s.words) > 1} for part in (tagged.train, tagged.test)]
    assert documents[1] == {"Jury-ca01", "Jury-ca06"}
    assert len(documents[0]) == 8
    assert not documents[0] & documents[1]


def test_the_base_tag_set_leaves_marks_out(corpus):
    assert brown_tags("news").train[0].labels == ("AT", "NN", "VBD", ",", "``", "PPSS", "*", "JJ", ".")
    assert "NN-TL" in brown_tags("news", "brown").labels
    found = [base_tag(tag) for tag in ("NN-TL-HL", "FW-IN+NN", "MD*", "*", "--", "BEZ*-HL", ".", "PP$", "(-HL")]
    assert found == ["NN", "IN", "MD", "*", "--", "BEZ", ".", "PP$", "("]


def test_fewer_sentences_are_the_first(corpus):
    few, every = brown_tags("news", sentences=4), brown_tags("news")
    assert few.train == every.train[:4]
    assert few.test == every.test[:1]


def test_a_genre_or_a_tag_set_that_there_is_not_and_a_map_that_is_missing_are_named(corpus):
    with pytest.raises(UserError, match="unknown genre 'humour': did you mean 'humor'"):
        brown_tags("humour")
    with pytest.raises(UserError, match="unknown tag set 'bass': did you mean 'base'"):
        brown_tags("news", "bass")
    with pytest.raises(UserError, match="universal_tagset is not there"):
        brown_tags("news", "universal")
    with pytest.raises(UserError, match="sentences 3: at least 4"):
        brown_tags("news", sentences=3)


def test_a_missing_corpus_is_one_sentence_that_says_how_to_get_it(corpus):
    for file in corpus.iterdir():
        file.unlink()
    corpus.rmdir()
    with pytest.raises(UserError, match=r"nltk.download\('brown'\)"):
        brown_tags("news")


@pytest.mark.skipif(not os.environ.get("NLTK_DATA"), reason="needs the Brown corpus in NLTK_DATA")
def test_the_real_corpus_has_as_many_sentences_of_news_as_its_manual_says():
    tagged = brown_tags("news")
    assert len(tagged.train) + len(tagged.test) == 4623
    assert 60 < len(tagged.labels) < 100
