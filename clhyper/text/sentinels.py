"""Sequence labelling as text for a T5: words between sentinels, and a label after each sentinel in the answer.

    <extra_id_0> Ada <extra_id_1> Lovelace <extra_id_2> wrote  ->  <extra_id_0> PER <extra_id_1> I <extra_id_2> O

Source: Raman et al., "Transforming Sequence Tagging Into A Seq2Seq Task", EMNLP 2022, arXiv 2203.08378: the simplified
format with inside marks, which HyperLoader uses.
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from clhyper.errors import UserError, require, unknown
from clhyper.text.labels import INSIDE, OUTSIDE, Kind, Sentence, from_inside, to_inside

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NO_TAG = ""
"""where the answer has no tag, or one that there isn't: never right"""


@dataclass(frozen=True)
class Piece:
    """A sentence, or a part of one that is longer than the sentinels allow, as a T5 reads and writes it.

    `sentence`: number of the sentence. `words`: how many it has. `source`, `target`: token ids, their end included.
    """

    sentence: int
    words: int
    source: list[int]
    target: list[int]


class SentinelFormat:
    """Sentences to token ids and back, for one task.

    A sentence of more words than there are sentinels is cut into as few parts as will do, as equal in length as can be;
    each is read and written by itself, and the labels are joined again, so that no word is lost. A span over a cut goes
    on: its part begins with I.

    An answer is read whatever it is: labels of sentinels that the sentence doesn't have are dropped, of one that comes
    twice the first counts, and a missing or unknown label is O for spans and no tag (never right) for tags.

    Args:
        tokenizer: A T5's.
        labels: The task's tags, or types of spans.
        kind: Of the task.

    Raises:
        UserError: no sentinels, or labels that the tokenizer can't tell apart.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", labels: Iterable[str], kind: Kind) -> None:
        self.tokenizer, self.kind = tokenizer, kind
        self.sentinels = _sentinels(tokenizer)
        self._place = {sentinel: place for place, sentinel in enumerate(self.sentinels)}
        self.labels = [*labels, *([OUTSIDE, INSIDE] if kind == "spans" else [])]
        self._ids: dict[str, list[int]] = {}
        self._look_up(self.labels)
        self._label_of: dict[tuple[int, ...], str] = {}
        for label in self.labels:
            ids = tuple(self._ids[label])
            other = self._label_of.setdefault(ids, label)
            require(other == label, f"labels {other!r} and {label!r} are the same to this tokenizer: rename one")

    @property
    def longest(self) -> int:
        """Words that a piece has at most."""
        return len(self.sentinels)

    def pieces(self, sentences: Sequence[Sentence]) -> list[Piece]:
        """Sentences as pieces, in their order.

        Raises:
            UserError: a label that the task doesn't have, with the nearest that it has; or not a label for each word.
        """
        self._look_up({word for sentence in sentences for word in sentence.words})
        made = []
        for number, sentence in enumerate(sentences):
            count = len(sentence.words)
            require(count == len(sentence.labels), f"sentence {number}: {count} words, {len(sentence.labels)} labels")
            written = to_inside(sentence.labels) if self.kind == "spans" else list(sentence.labels)
            for label in written:
                if label not in self.labels:
                    raise unknown("label", label, self.labels)
            for part in parts(count, self.longest):
                source, target = self._between(sentence.words[part]), self._between(written[part])
                made.append(Piece(number, part.stop - part.start, source, target))
        return made

    def read(self, pieces: Sequence[Piece], answers: Sequence[Sequence[int]]) -> list[list[str]]:
        """The labels of each sentence, tags or BIO, from what a model wrote for each of its pieces (token ids)."""
        written: dict[int, list[str]] = {}
        for piece, answer in zip(pieces, answers, strict=True):
            written.setdefault(piece.sentence, []).extend(self._read(answer, piece.words))
        return [from_inside(labels) if self.kind == "spans" else labels for labels in written.values()]

    def _read(self, answer: Sequence[int], words: int) -> list[str]:
        found: dict[int, list[int]] = {}
        now: list[int] = []
        special = {self.tokenizer.eos_token_id, self.tokenizer.pad_token_id}
        for token in answer:
            if token == self.tokenizer.eos_token_id:
                break
            if token in self._place:
                now = []
                found.setdefault(self._place[token], now)
            elif token not in special:
                now.append(token)
        missing = OUTSIDE if self.kind == "spans" else NO_TAG
        return [self._label_of.get(tuple(found.get(place, ())), missing) for place in range(words)]

    def _between(self, words: Sequence[str]) -> list[int]:
        ids: list[int] = []
        for sentinel, word in zip(self.sentinels, words, strict=False):
            ids += [sentinel, *self._ids[word]]
        return [*ids, self.tokenizer.eos_token_id]

    def _look_up(self, words: Iterable[str]) -> None:
        """Token ids of words that are new; a word that reads like a special token is no such token."""
        new = [word for word in words if word not in self._ids]
        if new:
            special = self.tokenizer.all_special_tokens
            found: Any = self.tokenizer([_plain(word, special) for word in new], add_special_tokens=False)
            self._ids.update(zip(new, found["input_ids"], strict=True))


def parts(words: int, longest: int) -> list[slice]:
    """As few slices of `words` words as there must be for at most `longest` each, equal but for one word."""
    count = max(1, -(-words // longest))
    cuts = [words * number // count for number in range(count + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(cuts)]


def _plain(word: str, special: Sequence[str]) -> str:
    for token in special:
        word = word.replace(token, f"{token[0]} {token[1:]}")
    return word


def _sentinels(tokenizer: Any) -> list[int]:
    """Ids of <extra_id_0>, <extra_id_1>, ... as far as the tokenizer has them."""
    vocabulary = tokenizer.get_vocab()
    ids: list[int] = []
    while (name := f"<extra_id_{len(ids)}>") in vocabulary:
        ids.append(vocabulary[name])
    if not ids:
        raise UserError("the tokenizer has no sentinels (<extra_id_0>, ...): it is no T5's")
    return ids
