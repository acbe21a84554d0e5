"""Leak filters: training items that are a benchmark's question are left out (paper App. B.1).

The paper names PubMedQA within UltraMedical and TriviaQA within FLAN; here every source is held
against all seven, by id and by text.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from pdlib.questions.grading import normalize
from pdlib.schema import Item

# a shorter benchmark text must be the whole training text; a longer one may stand within a template
WORDS = 5
# a shorter question of a choice ("which of the following is true?") is a leak only together with
# its right option
STEM = 10


class Text(NamedTuple):
    """A text of a benchmark, normalised, and the right option that must be there too.

    The option is "" where the text is enough.
    """

    words: tuple[str, ...]
    benchmark: str
    option: str


def bare(item: Item) -> str:
    """The question as the data set has it.

    It is without PubMedQA's context and without what asks for one of two answers.
    """
    return item.facts.get("question") or item.question


def key(item: Item) -> str:
    """What makes two items the same: the normalised question.

    For personalised items both answers and the asker belong to it, too.
    """
    texts = [item.question]
    if item.kind == "personalized":
        texts += [*sorted(item.options), item.aligned.text if item.aligned else ""]
    return " | ".join(normalize(text) or text.strip() for text in texts)


def overlap(a: Sequence[Item], b: Sequence[Item]) -> set[str]:
    """The ids and the texts (`key`) that occur in both; empty where no item is in both."""
    shared_ids = {item.id for item in a} & {item.id for item in b}
    shared_keys = {key(item) for item in a} & {key(item) for item in b}
    return shared_ids | shared_keys


def remove(
    items: Sequence[Item], benchmark_items: Sequence[Item]
) -> tuple[list[Item], dict[str, int]]:
    """(items that are no benchmark's, the number of items left out by reason).

    A reason is, for example, "pubmedqa: same PMID". Items are left out by id, by PMID, by the
    normalised question, alone or within a longer prompt, and by the answers of preference items.
    """
    index, clean, reasons = Index(benchmark_items), [], Counter()
    for item in items:
        reason = index.leak(item)
        if reason:
            reasons[reason] += 1
        else:
            clean.append(item)
    return clean, dict(reasons)


class Index:
    """What the benchmarks' items say, to be found in time that grows with the training text alone.

    whole: all words of a text -> Texts.  within: the first WORDS words of a text -> Texts.
    """

    def __init__(self, benchmark_items: Sequence[Item]):
        self.ids = {item.id: item.benchmark for item in benchmark_items}
        self.pmids = {
            item.facts["pmid"]: item.benchmark for item in benchmark_items if "pmid" in item.facts
        }
        self.whole, self.within = defaultdict(set), defaultdict(set)
        for item in benchmark_items:
            for text in _texts(item):
                if text.words:
                    self.whole[text.words].add(text)
                if len(text.words) >= WORDS:
                    self.within[text.words[:WORDS]].add(text)

    def leak(self, item: Item) -> str | None:
        """Why `item` is a benchmark's, or None."""
        if item.id in self.ids:
            return f"{self.ids[item.id]}: same id"
        if item.facts.get("pmid") in self.pmids:
            return f"{self.pmids[item.facts['pmid']]}: same PMID"
        options = [_words(option) for option in item.options]
        answers = {" ".join(words) for words in options} | {normalize(item.gold)}
        texts = [_words(bare(item))]
        if item.kind == "personalized":
            texts += options
        for words in texts:
            if reason := self._leaked_text(words, answers):
                return reason
        return None

    def _leaked_text(self, words: tuple[str, ...], answers: set[str]) -> str | None:
        for text in self.whole.get(words, ()):
            if not text.option or text.option in answers:
                return f"{text.benchmark}: same text"
        for start in range(len(words) - WORDS + 1):
            for text in self.within.get(words[start : start + WORDS], ()):
                is_within = words[start : start + len(text.words)] == text.words
                if is_within and (not text.option or text.option in answers):
                    return f"{text.benchmark}: text within a longer one"
        return None


def _words(text: str) -> tuple[str, ...]:
    return tuple(normalize(text).split())


def _texts(item: Item) -> list[Text]:
    words = _words(bare(item))
    is_stem = item.answer_type == "choice" and item.kind == "objective" and len(words) < STEM
    texts = [Text(words, item.benchmark, normalize(item.gold) if is_stem else "")]
    if item.kind == "personalized":
        answers = [_words(option) for option in item.options]
        texts += [Text(answer, item.benchmark, "") for answer in answers if len(answer) >= WORDS]
    return texts
