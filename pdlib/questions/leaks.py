"""Leak filters: training items that are a benchmark's question, by id or by text, are left out
(paper App. B.1).

The paper names PubMedQA within UltraMedical and TriviaQA within FLAN; here every source is held
against all seven.
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
    """A text of a benchmark, normalised, and the right option that must be there too ("" where the
    text is enough).
    """

    words: tuple[str, ...]
    benchmark: str
    option: str


def bare(item: Item) -> str:
    """The question as the data set has it: without PubMedQA's context and without what asks for one
    of two answers.
    """
    return item.facts.get("question") or item.question


def key(item: Item) -> str:
    """What makes two items the same: the normalised question; for personalised ones also both
    answers and who asks.
    """
    parts = [item.question]
    if item.kind == "personalized":
        parts += [*sorted(item.options), item.aligned.text if item.aligned else ""]
    return " | ".join(normalize(part) or part.strip() for part in parts)


def disjoint(a: Sequence[Item], b: Sequence[Item]) -> set[str]:
    """The ids and the texts (`key`) that occur in both; empty where no item of one is in the other."""
    return ({item.id for item in a} & {item.id for item in b}) | (
        {key(item) for item in a} & {key(item) for item in b}
    )


def remove(
    items: Sequence[Item], benchmark_items: Sequence[Item]
) -> tuple[list[Item], dict[str, int]]:
    """(items that are no benchmark's, how many were left out by reason, such as "pubmedqa: same
    PMID").

    By id, by PMID, by the normalised question, alone or within a longer prompt, and by the answers
    of preference items.
    """
    index, kept, reasons = Index(benchmark_items), [], Counter()
    for item in items:
        reason = index.leak(item)
        if reason:
            reasons[reason] += 1
        else:
            kept.append(item)
    return kept, dict(reasons)


class Index:
    """What the benchmarks' items say, to be found in time that grows with the training text alone."""

    def __init__(self, benchmark_items: Sequence[Item]):
        self.ids = {item.id: item.benchmark for item in benchmark_items}
        self.pmids = {
            item.facts["pmid"]: item.benchmark for item in benchmark_items if "pmid" in item.facts
        }
        self.whole, self.within = (
            defaultdict(set),
            defaultdict(set),
        )  # all words, first WORDS words -> Texts
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
        options = [tuple(normalize(option).split()) for option in item.options]
        answers = {" ".join(words) for words in options} | {normalize(item.gold)}
        said = [tuple(normalize(bare(item)).split())]
        for words in said + (options if item.kind == "personalized" else []):
            known = (
                (words, "same text"),
                *(
                    (words[at : at + WORDS], "text within a longer one")
                    for at in range(len(words) - WORDS + 1)
                ),
            )
            for place, (start, reason) in enumerate(known):
                for text in (self.within if place else self.whole).get(start, ()):
                    here = words[place - 1 : place - 1 + len(text.words)] if place else words
                    if here == text.words and (not text.option or text.option in answers):
                        return f"{text.benchmark}: {reason}"
        return None


def _texts(item: Item) -> list[Text]:
    words = tuple(normalize(bare(item)).split())
    is_stem = item.answer_type == "choice" and item.kind == "objective" and len(words) < STEM
    found = [Text(words, item.benchmark, normalize(item.gold) if is_stem else "")]
    answers = (
        [tuple(normalize(option).split()) for option in item.options]
        if item.kind == "personalized"
        else []
    )
    return found + [Text(answer, item.benchmark, "") for answer in answers if len(answer) >= WORDS]
