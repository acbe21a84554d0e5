"""English only: texts in another language are translated by the expert, or left out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pdlib.dataset.experts import Expert
from pdlib.questions.preferences import pairwise
from pdlib.questions.sources import language
from pdlib.schema import Item, Persona


def translate(
    texts: Sequence[Persona | str], expert: Expert | None
) -> tuple[list[str | None], Counter]:
    """(the texts in English, None where that failed; counts of what was done).

    Only texts in another language are sent. A translation must itself be found to be English; a
    text without letters is left as it is. ValueError when there is something to translate and no
    expert.
    """
    english = [getattr(text, "text", text) for text in texts]
    codes = [language(text) for text in english]
    foreign = {i: code for i, code in enumerate(codes) if code not in ("en", "unknown")}
    counts = Counter(
        {"already English": codes.count("en"), "without letters": codes.count("unknown")}
    )
    if not foreign:
        return english, +counts
    if expert is None:
        raise ValueError(
            f"{len(foreign)} of {len(english)} texts are not in English "
            f"({dict(Counter(foreign.values()))}), the first: {english[min(foreign)][:80]!r}; give "
            "an expert that translates, or leave these rows out"
        )
    translations = expert.translations([english[i] for i in foreign])
    for i, translation in zip(foreign, translations, strict=True):
        if translation is None:
            outcome = "no translation"
        elif language(translation) != "en":
            translation, outcome = None, "translation not in English"
        else:
            outcome = "translated"
        english[i] = translation
        counts[outcome] += 1
    return english, +counts


def in_english(items: Sequence[Item], expert: Expert | None) -> tuple[list[Item], Counter]:
    """(personalised items with question, answers and persona in English, counts of what was done).

    This is PersonaFeedback's gate. An item is translated when its question and answers together, or
    its persona, are found to be in another language; one that cannot be is left out. Nothing is
    sent for items in English.
    """
    foreign = [item for item in items if _is_foreign(item)]
    rows = [[item.facts["question"], *item.options, item.aligned.text] for item in foreign]
    texts, counts = translate([text for row in rows for text in row], expert)
    translated, start = {}, 0
    for item, row in zip(foreign, rows, strict=True):
        question, *options, persona = texts[start : start + len(row)]
        start += len(row)
        if question and persona and all(options) and len(set(options)) == len(options):
            translated[item.id] = replace(
                item,
                question=pairwise(question),
                options=tuple(options),
                gold=options[item.options.index(item.gold)],
                aligned=Persona(persona, item.aligned.facts),
                facts=item.facts | {"question": question},
            )
    lost = {item.id for item in foreign} - set(translated)
    english = [translated.get(item.id, item) for item in items if item.id not in lost]
    done = {
        "items translated": len(translated),
        "items left out, not translated": len(lost),
    }
    if foreign:
        done |= {f"texts: {outcome}": n for outcome, n in counts.items()}
    return english, +Counter(done)


def _is_foreign(item: Item) -> bool:
    exchange = f"{item.facts['question']} {' '.join(item.options)}"
    return language(exchange) != "en" or language(item.aligned.text) != "en"
