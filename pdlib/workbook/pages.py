"""What texts look like in a notebook: answers side by side, a record, a step's rollouts; pure:
values in, HTML out.
"""

import html
import itertools
from collections.abc import Iterable, Sequence

import pandas as pd
from IPython.display import HTML

from pdlib import modes
from pdlib.analysis.playground import Said, differing
from pdlib.paper import catalogue
from pdlib.schema import Mode

LEFT = "text-align:left;vertical-align:top;white-space:pre-wrap"
MARK = {
    Mode.GENERAL: "#0072B255",
    Mode.PERSONALIZED: "#E69F0066",
}  # the colours of the modes in figures, see-through for dark themes


def cell(value) -> str:
    """Escaped text; a missing value is a dash, a number has three decimals.

    >>> cell("<b>"), cell(None), cell(0.12345), cell(3)
    ('&lt;b&gt;', '–', '0.123', '3')
    """
    if pd.isna(value):
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else html.escape(str(value))


def grid(head: Sequence[str], rows: Iterable[Sequence], safe: bool = False) -> str:
    """A table; safe: the cells are HTML already."""
    top = "".join(f"<th style='{LEFT}'>{html.escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>"
        + "".join(f"<td style='{LEFT}'>{value if safe else cell(value)}</td>" for value in row)
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def block(title: str, text: str) -> str:
    """A text as it is, under its title."""
    return (
        f"<p style='margin:.5em 0 0'><b>{html.escape(title)}</b></p>"
        f"<pre style='{LEFT};border:1px solid #9996;padding:.4em'>{cell(text)}</pre>"
    )


def _marked(words: list[tuple[str, bool]], mode: Mode) -> str:
    """The words, what only this mode says in its colour."""
    parts = [
        (same, " ".join(html.escape(word) for word, _ in group))
        for same, group in itertools.groupby(words, lambda pair: pair[1])
    ]
    return " ".join(
        text if same else f"<span style='background:{MARK[mode]}'>{text}</span>"
        for same, text in parts
    )


def playground(rows: Sequence[Said], changes: Sequence[str], strange: Sequence[str] = ()) -> HTML:
    """Both modes' reasoning and answers side by side, a row an asker, with what only one of them
    says marked; then what changed, in words.

    strange: words that the model cannot know, which is said first.
    """
    unknown = html.escape(", ".join(strange))
    warning = (
        f"<p><b>Never read by this model: {unknown}.</b> It knows the pocket world's words only.</p>"
        if strange
        else ""
    )
    body = []
    for row in rows:
        parsed = {mode: modes.parse(getattr(row, mode.value)) for mode in Mode}
        texts = [
            one.reasoning if one.error is None else getattr(row, mode.value)
            for mode, one in parsed.items()
        ]
        cells = [
            f"{_marked(words, mode)}<br>→ <b>{html.escape(row.answer(mode))}</b>"
            for mode, words in zip(Mode, differing(*texts))
        ]
        body.append(
            [
                cell(row.persona or "nobody in particular"),
                f"<b>{row.p_personalized:.2f}</b>",
                *cells,
            ]
        )
    said = "".join(f"<li>{html.escape(line)}</li>" for line in changes)
    head = ["who asks", "P(personalised)", "general mode", "personalised mode"]
    return HTML(f"{warning}{grid(head, body, safe=True)}<ul>{said}</ul>")


def record(one: pd.Series, number: int, count: int, others: pd.DataFrame) -> HTML:
    """A record as a page: which it is, its facts, prompt and completion, and `others`, what was
    said to the same question otherwise.
    """
    where = f"{one.benchmark}, {one.item_id}, persona: {one.condition}, sampling run {one.seed}"
    head = ["mode", "P(personalised)", "answer", "gold", "what became of it", "not parsed because"]
    facts = [
        one["mode"],
        one.p_personalized,
        one.get("answer"),
        one.get("gold"),
        one.cause,
        one.parse_error,
    ]
    texts = (
        block("asked", one.prompt) + block("said", one.completion)
        if "prompt" in one
        else "<p>These records are the small stored copy, without texts; <code>make reproduce</code> writes them with texts.</p>"
    )
    return HTML(
        f"<p><b>{number} of {count}</b>: {html.escape(catalogue.label(one.model))}, {html.escape(where)}</p>{grid(head, [facts])}"
        f"{texts}<p><b>the same item, however it was asked</b> (shares of sampling runs)</p>"
        f"{grid(others.columns, others.itertuples(index=False))}"
    )


def step(
    name: str,
    number: int,
    facts: dict[str, str],
    warnings: Sequence[str],
    rows: pd.DataFrame,
    question: int | None,
    count: int,
) -> HTML:
    """A training step in words: health of the modes, warnings, and the rollouts of one question (of
    `browse.rollouts`).
    """
    lines = "".join(
        f"<tr><td style='{LEFT}'>{cell(label)}</td><td style='{LEFT}'>{cell(text)}</td></tr>"
        for label, text in facts.items()
    )
    alarms = "".join(f"<p><b>WARNING</b> {html.escape(text)}</p>" for text in warnings)
    page = f"<p><b>{html.escape(name)}, step {number}</b></p><table>{lines}</table>{alarms}"
    if rows.empty:
        return HTML(f"{page}<p>No completions were kept of this step.</p>")
    shown = rows.sort_values("mode", kind="stable")[["mode", "reward", "advantage", "text"]]
    shown = shown.assign(text=shown.text.str.replace("\n\n", "\n"))
    return HTML(
        f"{page}{block(f'question {question} of {count}', rows.prompt.iloc[0])}"
        f"{grid(shown.columns, shown.itertuples(index=False))}"
    )
