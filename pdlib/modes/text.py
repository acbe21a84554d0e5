"""Mode tags, the prompt every stage uses, and the parser of completions.

Departures from the paper: none known; it leaves prompt and answer format open, and these are the
ones of the authors' published code.
"""

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from pdlib.modes import answer_json
from pdlib.schema import Item, Mode, Persona

LETTERS = "ABCDEFGHIJ"
CHOICE_INSTRUCTION = '\nPlease return your answer in JSON format:\n{"answer":"A/B/..."}'
FREE_INSTRUCTION = '\nPlease return your answer in JSON format:\n{"answer":"your answer"}'
# Qwen3's non-thinking form; the day Llama 3's templates print (3.1's default), or prompts would
# change daily. Others ignore both.
TEMPLATE_SETTINGS = {"enable_thinking": False, "date_string": "26 Jul 2024"}
# what is said before all else; the baselines that prompt a model without training it say something
PROMPTS = {
    "plain": "",
    "personal": "Use what I say about myself.\n",
    "two_modes": f"Begin with {Mode.GENERAL.tag} if who I am does not matter, or with {Mode.PERSONALIZED.tag} if it does.\n",
}
ANSWER_OPEN, ANSWER_CLOSE = "<answer>", "</answer>"

_TAG = re.compile("|".join(re.escape(mode.tag) for mode in Mode))
_MARK = re.compile(r"<[^<>\s]+>|\[\w+\]")
_ANSWER = re.compile(re.escape(ANSWER_OPEN) + r"(.*?)" + re.escape(ANSWER_CLOSE), re.DOTALL)


@dataclass(frozen=True)
class Parsed:
    """What a completion says. `error` is None when it is well formed, else the reason in words."""

    mode: Mode | None
    reasoning: str
    answer: str | None
    error: str | None


def persona_text(text: str) -> str:
    """The persona as it follows "I am ": without a leading "I am"/"I'm", first letter lower-case,
    no full stop.

    >>> persona_text("I am a bureaucratic satirist.")
    'a bureaucratic satirist'
    """
    text = re.sub(r"^\s*(I am|I'm|I’m)\s+", "", text.strip(), flags=re.IGNORECASE).rstrip(". ")
    return text[:1].lower() + text[1:]


@lru_cache(maxsize=16)
def _control_tokens(tokenizer, size: int) -> re.Pattern | None:
    """Matches what `tokenizer`, of `size` tokens, reads as a control token (an end of turn, a mode
    tag); None where it has none.

    These are its added tokens that are marked as special or hold something in brackets; others are
    ordinary words that somebody added.
    """
    added = tokenizer.added_tokens_decoder.values()
    texts = {
        token.content.strip() for token in added if token.special or _MARK.search(token.content)
    }  # what surrounds it may add space
    texts = sorted((text for text in texts if len(text) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, texts))) if texts else None


def as_data(tokenizer, text: str) -> str:
    """`text` such that no part of it becomes a control token of `tokenizer`: what would be one gets
    a space behind its first character.

    Text without such a part stays as it is. So a question that quotes "<|im_end|>" or
    "[General_mode]" ends no turn and chooses no mode.
    """
    control = _control_tokens(tokenizer, len(tokenizer))
    return (
        text
        if control is None
        else control.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)
    )


def user_message(item: Item, persona: Persona | None, style: str = "plain", tokenizer=None) -> str:
    """The user turn for `item`, asked by `persona` (None: nobody in particular); style: one of
    PROMPTS.

    tokenizer: of the model that will read it; question, options and persona are then `as_data`.
    What `style` says is ours and stays.
    """
    lines = [item.question, *(f"{LETTERS[i]}) {text}" for i, text in enumerate(item.options))]
    lead = f"I am {persona_text(persona.text)}, my question is:\n" if persona else ""
    said = lead + "\n".join(lines)
    said = said if tokenizer is None else as_data(tokenizer, said)
    return PROMPTS[style] + said + (CHOICE_INSTRUCTION if item.options else FREE_INSTRUCTION)


def messages(
    item: Item,
    persona: Persona | None,
    style: str = "plain",
    history: Sequence[tuple[Item, str]] = (),
    tokenizer=None,
) -> list[dict]:
    """The chat so far: `history`, earlier questions of the same asker with the completions they
    got, then `item`.

    tokenizer: as in `user_message`. The completions stay as the model wrote them, with their mode
    tags.
    """
    said = [
        (
            {"role": "user", "content": user_message(earlier, persona, style, tokenizer)},
            {"role": "assistant", "content": completion},
        )
        for earlier, completion in history
    ]
    return [message for turn in said for message in turn] + [
        {"role": "user", "content": user_message(item, persona, style, tokenizer)}
    ]


def render_question(tokenizer, item: Item, persona: Persona | None, style: str = "plain") -> str:
    """The prompt text without options and without a word on the answer's form: for options whose
    likelihood is asked for.
    """
    bare = replace(item, answer_type="text", options=())
    said = user_message(bare, persona, style, tokenizer).removesuffix(FREE_INSTRUCTION)
    return _render(tokenizer, [{"role": "user", "content": said}])


def render_prompt(
    tokenizer,
    item: Item,
    persona: Persona | None,
    style: str = "plain",
    history: Sequence[tuple[Item, str]] = (),
) -> str:
    """The prompt text up to where the model starts to write: SFT, RL and evaluation all use this
    one.
    """
    return _render(tokenizer, messages(item, persona, style, history, tokenizer))


def _render(tokenizer, turns: Sequence[dict]) -> str:
    return tokenizer.apply_chat_template(
        turns, tokenize=False, add_generation_prompt=True, **TEMPLATE_SETTINGS
    )


def completion_text(mode: Mode | None, reasoning: str, answer: str, tokenizer=None) -> str:
    """A well-formed completion; without a mode it is that of a model that has no modes.

    tokenizer: of the model that learns it; reasoning and answer, which may quote the question, are
    then `as_data`.
    """
    if tokenizer is not None:
        reasoning, answer = as_data(tokenizer, reasoning), as_data(tokenizer, answer)
    tag = f"{mode.tag}\n" if mode else ""
    return f"{tag}{reasoning}\n\n{ANSWER_OPEN}{json.dumps({'answer': answer}, ensure_ascii=False)}{ANSWER_CLOSE}"


def prefix_ids(tokenizer) -> dict[Mode, list[int]]:
    """Token ids of each mode's forced prefix (tag and newline), one or many tokens a mode.

    Raises ValueError when one prefix begins with the other, because the choice would have no token
    to be made at.
    """
    ids = {mode: tokenizer(mode.tag + "\n", add_special_tokens=False)["input_ids"] for mode in Mode}
    if decision_index(list(ids.values())) >= min(map(len, ids.values())):
        raise ValueError(f"the tokenizer gives the mode prefixes no token to differ at: {ids}")
    return ids


def decision_index(sequences: list[list[int]]) -> int:
    """The first position at which the token sequences differ: where the mode is chosen.

    >>> decision_index([[60, 1, 7], [60, 2, 7]])
    1
    """
    for index, column in enumerate(zip(*sequences)):
        if len(set(column)) > 1:
            return index
    return min(map(len, sequences))


def last_json_answer(text: str) -> tuple[str | None, str | None]:
    """(answer, error) of the last JSON object in `text` that stands between answer marks, or
    anywhere if none does.

    Objects are read as models write them, see `answer_json`. A broken one is an error, also after a
    whole one.
    """
    inside = _ANSWER.findall(text)
    scope = inside[-1] if inside else text
    found, error, at = None, "no answer: no JSON object found", 0
    while (
        at := answer_json.find(scope, at)
    ) >= 0:  # a whole object is stepped over, so braces within its texts are no objects
        try:
            found, at = answer_json.read(scope, at)
            error = None
        except ValueError as broken:
            found, at, error = None, at + 1, f"broken JSON in the answer: {broken}"
    if error:
        return None, error
    if "answer" not in found:
        return None, "no answer: the JSON object has no key 'answer'"
    answer = found["answer"]
    if not isinstance(answer, (str, bool)) or str(answer).strip() == "":
        return None, "no answer: the value of 'answer' is empty or not text"
    if unwritable := [
        sign
        for sign in str(answer)
        if unicodedata.category(sign) in ("Cs", "Cc") and sign not in "\n\r\t"
    ]:
        return (
            None,
            f"no answer: it holds the character U+{ord(unwritable[0]):04X}, which is no text",
        )
    return str(answer).strip(), None


def parse(text: str, require_mode: bool = True) -> Parsed:
    """Split a completion into mode, reasoning and answer; `error` says what is wrong, and nothing
    is guessed.

    >>> parse('[General_mode]\\nBy definition.\\n\\n<answer>{"answer": "B"}</answer>').answer
    'B'
    """
    tags = _TAG.findall(text)
    answer, error = last_json_answer(text)
    if require_mode and not tags:
        return Parsed(
            None, "", answer, "no mode tag: expected [General_mode] or [Personalized_mode] first"
        )
    if len(tags) > 1:
        return Parsed(None, "", answer, f"{len(tags)} mode tags, expected one")
    mode = next(mode for mode in Mode if mode.tag == tags[0]) if tags else None
    if mode and not text.lstrip().startswith(mode.tag):
        return Parsed(mode, "", answer, "the mode tag is not at the start")
    body = text.split(ANSWER_OPEN)[0].replace(mode.tag if mode else "", "").strip()
    if error is None and require_mode and not _ANSWER.search(text):
        error = "the answer is not between <answer> and </answer>"
    return Parsed(mode, body, answer, error)
