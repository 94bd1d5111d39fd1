import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clhyper.errors import UserError
from clhyper.text.hub import hub_tags, parquet_tags
from clhyper.text.labels import Sentence
from clhyper.text.tag_files import tag_files

ADA = Sentence(("Ada", "Lovelace", "left"), ("B-PER", "I-PER", "O"))


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def train(tmp_path):
    return write(
        tmp_path / "people.conll",
        "-DOCSTART- -X- O O\n\n# id = 1\nAda NNP x B-PER\nLovelace NNP x I-PER\nleft VBD x O\n\n\n"
        "# NN x O\nBob NNP x I-PER",
    )


def test_columns_are_read_sentence_by_sentence_and_a_hash_can_be_a_word(train):
    tagged = tag_files(train, train)
    assert tagged.train == (ADA, Sentence(("#", "Bob"), ("O", "B-PER")))
    assert (tagged.name, tagged.labels) == ("people", ("PER",))
    assert tag_files(train, train, "tags", label=1).labels == ("NN", "NNP", "VBD")


def test_json_lines_and_columns_give_the_same(train, tmp_path):
    lines = [{"tokens": s.words, "ner_tags": s.labels} for s in tag_files(train, train).train]
    path = write(tmp_path / "people.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n")
    assert tag_files(path, path) == tag_files(train, train)


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.conll", "Ada B-PER\nleft\n", "line 2: 1 column where there were 2 before"),
        ("a.conll", "Ada\n", "line 1: 1 column, and a word and its label need two"),
        ("a.conll", "Ada\t\n", "line 1: the label is empty"),
        ("a.conll", "Ada S-PER\n", "line 1: label 'S-PER': O, B-TYPE or I-TYPE is right"),
        ("a.conll", "", "no sentence to train on"),
        ("a.conll", "Ada O\n", "no sentence has a span"),
        ("a.jsonl", "{", "line 1: is no JSON"),
        ("a.jsonl", "[1]", "line 1: an object such as"),
        ("a.jsonl", '{"tokens": ["Ada"]}', "line 1: exactly one of the fields tags, labels"),
        ("a.jsonl", '{"tokens": ["Ada"], "tags": [], "labels": []}', "exactly one of the fields"),
        ("a.jsonl", '{"tokens": ["Ada"], "tags": []}', "line 1: 1 words and 0 labels"),
        ("a.jsonl", '{"tokens": ["Ada"], "tags": [1]}', "line 1: tags is no list of strings"),
        ("a.jsonl", '{"tokens": "Ada", "tags": ["O"]}', "line 1: tokens is no list of strings"),
    ],
)
def test_a_malformed_file_is_named_with_its_line(tmp_path, name, text, sentence):
    path = write(tmp_path / name, text)
    with pytest.raises(UserError) as error:
        tag_files(path, path)
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_missing_a_folder_or_no_text_is_named(train, tmp_path):
    (tmp_path / "bytes.conll").write_bytes(b"\xff\xfe\x00")
    for path, sentence in (("none.conll", "no such file"), ("bytes.conll", "no UTF-8"), (".", "can't be read")):
        with pytest.raises(UserError, match=sentence):
            tag_files(train, tmp_path / path)


def test_a_column_that_there_is_not_and_a_test_label_that_training_lacks_are_named(train, tmp_path):
    with pytest.raises(UserError, match=r"label column 4: .* has 4, 0 to 3"):
        tag_files(train, train, label=4)
    other = write(tmp_path / "other.conll", "Paris B-LOC\n")
    with pytest.raises(UserError, match=r"sentence 1 has the label 'B-LOC', which no sentence of .*people\.conll has"):
        tag_files(train, other)


def parquet(path, labels, features=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"tokens": [list(ADA.words)], "ner_tags": [labels]})
    notes = {"huggingface": json.dumps({"info": {"features": features}})} if features else None
    pq.write_table(table.replace_schema_metadata(notes), path)


@pytest.mark.parametrize("wrap", [lambda f: [f], lambda f: {"feature": f, "_type": "List"}])
def test_numbers_in_the_hubs_files_are_named_as_their_schema_says(tmp_path, wrap):
    names = {"names": ["O", "B-PER", "I-PER"], "_type": "ClassLabel"}
    for split in ("train", "test"):
        parquet(tmp_path / split / "0000.parquet", [1, 2, 0], {"ner_tags": wrap(names)})
    assert parquet_tags(tmp_path, "people").test == (ADA,)


def test_what_is_wrong_with_the_hubs_files_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no train/\*.parquet"):
        parquet_tags(tmp_path, "people")
    for split in ("train", "test"):
        parquet(tmp_path / split / "0000.parquet", [1, 2, 0])
    with pytest.raises(UserError, match="label 1 is a number that the file's schema has no name for"):
        parquet_tags(tmp_path, "people")
    with pytest.raises(UserError, match="none of the columns chunks; it has tokens, ner_tags"):
        parquet_tags(tmp_path, "people", labels="chunks")
    (tmp_path / "train" / "0000.parquet").write_bytes(b"damaged")
    with pytest.raises(UserError, match="no readable Parquet file"):
        parquet_tags(tmp_path, "people")


def test_a_hub_that_cannot_be_reached_is_one_sentence(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="data set nobody/nothing: the hub has none by this name or can't be reached"):
        hub_tags("nobody/nothing")
