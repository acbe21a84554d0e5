"""What texts look like in a notebook: answers side by side, a record, a step's rollouts.

All is pure: values in, HTML out.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
from IPython.display import HTML

from pdlib import modes
from pdlib.analysis.playground import Reply, differing
from pdlib.paper import catalogue
from pdlib.schema import PAPER_MODES, Mode
from pdlib.workbook.markup import bullets, element, row, table, text

LEFT = "text-align:left;vertical-align:top;white-space:pre-wrap"
MARK = {  # the colours of the modes in figures, see-through for dark themes
    Mode.GENERAL: "#0072B255",
    Mode.PERSONALIZED: "#E69F0066",
}
NO_TEXTS = (
    "<p>These records are the small stored copy, without texts; <code>make reproduce</code> writes "
    "them with texts.</p>"
)


def cell(value: object) -> str:
    """Escaped text; a missing value is a dash, a number has three decimals.

    >>> cell("<b>"), cell(None), cell(0.12345), cell(3)
    ('&lt;b&gt;', '–', '0.123', '3')
    """
    if pd.isna(value):
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else text(value)


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its cells are HTML already."""
    columns = (element("th", text(name), style=LEFT) for name in head)
    body = (row(element("td", content, style=LEFT) for content in cells) for cells in rows)
    return table([row(columns)] if len(head) else [], body)


def _values(frame: pd.DataFrame) -> str:
    """A data frame as a table, without its index."""
    return _grid(frame.columns, (map(cell, values) for values in frame.itertuples(index=False)))


def _block(title: str, content: str) -> str:
    """A text as it is, under its title."""
    style = f"{LEFT};border:1px solid #9996;padding:.4em"
    heading = element("p", element("b", text(title)), style="margin:.5em 0 0")
    return heading + element("pre", cell(content), style=style)


def _marked(words: Sequence[tuple[str, bool]], mode: Mode) -> str:
    """The words, of which those that only this mode says are in its colour."""
    phrases = []
    for is_same, group in itertools.groupby(words, lambda pair: pair[1]):
        phrase = " ".join(text(word) for word, _ in group)
        if not is_same:
            phrase = element("span", phrase, style=f"background:{MARK[mode]}")
        phrases.append(phrase)
    return " ".join(phrases)


def playground(
    answers: Sequence[Reply], changes: Sequence[str], unknown: Sequence[str] = ()
) -> HTML:
    """Both modes' reasoning and answers side by side, one row per asker; then what changed.

    What only one of the modes says is marked. unknown: words that the model cannot know, which is
    said first.
    """
    warning = ""
    if unknown:
        listed = element("b", f"Never read by this model: {text(', '.join(unknown))}.")
        warning = element("p", f"{listed} It knows the pocket world's words only.")
    rows = []
    for answer in answers:
        asker = cell(answer.persona or "nobody in particular")
        chance = element("b", f"{answer.p_personalized:.2f}")
        words = differing(*(_reasoning(getattr(answer, mode.name)) for mode in PAPER_MODES))
        replies = [
            f"{_marked(marked, mode)}<br>→ {element('b', text(answer.answer(mode)))}"
            for mode, marked in zip(PAPER_MODES, words, strict=True)
        ]
        rows.append([asker, chance, *replies])
    head = ["who asks", "P(personalised)", "general mode", "personalised mode"]
    return HTML(warning + _grid(head, rows) + bullets(changes))


def _reasoning(completion: str) -> str:
    """The reasoning of a completion, or all of one that cannot be parsed."""
    parsed = modes.parse(completion)
    return completion if parsed.error else parsed.reasoning


def record(answer: pd.Series, number: str, others: pd.DataFrame) -> HTML:
    """A record as a page: which it is, its facts, its texts, and `others`.

    number: which it is of how many; others: what was said to the same question otherwise.
    """
    origin = (
        f"{catalogue.label(answer.model)}, {answer.benchmark}, {answer.item_id}, "
        f"persona: {answer.condition}, sampling run {answer.seed}"
    )
    facts = {
        "mode": answer["mode"],
        "P(personalised)": answer.p_personalized,
        "answer": answer.get("answer"),
        "gold": answer.get("gold"),
        "what became of it": answer.cause,
        "not parsed because": answer.parse_error,
    }
    texts = NO_TEXTS
    if "prompt" in answer:
        texts = _block("asked", answer.prompt) + _block("said", answer.completion)
    others_title = element("b", "the same item, however it was asked")
    return HTML(
        element("p", f"{element('b', number)}: {text(origin)}")
        + _grid(list(facts), [map(cell, facts.values())])
        + texts
        + element("p", f"{others_title} (shares of sampling runs)")
        + _values(others)
    )


def step(
    title: str,
    facts: Mapping[str, str],
    warnings: Sequence[str],
    rollouts: pd.DataFrame,
    question: str,
) -> HTML:
    """A training step in words: health of the modes, warnings, and the rollouts of one question.

    rollouts: of `browse.rollouts`; question: which it is of how many.
    """
    page = element("p", element("b", text(title)))
    page += _grid([], (map(cell, pair) for pair in facts.items()))
    for warning in warnings:
        page += element("p", f"{element('b', 'WARNING')} {text(warning)}")
    if rollouts.empty:
        return HTML(page + element("p", "No completions were kept of this step."))
    page += _block(question, rollouts.prompt.iloc[0])
    shown = rollouts.sort_values("mode", kind="stable")[["mode", "reward", "advantage", "text"]]
    return HTML(page + _values(shown.assign(text=shown.text.str.replace("\n\n", "\n"))))
