"""The prompt that every stage uses, and the completion that a model learns.

Departures from the paper: none known; it leaves prompt and answer format open, and these are the
ones of the authors' published code.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from pdlib.schema import Item, Mode, Persona

LETTERS = "ABCDEFGHIJ"
CHOICE_INSTRUCTION = '\nPlease return your answer in JSON format:\n{"answer":"A/B/..."}'
FREE_INSTRUCTION = '\nPlease return your answer in JSON format:\n{"answer":"your answer"}'
# Qwen3's non-thinking form; the day Llama 3's templates print (3.1's default), or prompts would
# change daily. Other templates ignore both.
TEMPLATE_SETTINGS = {"enable_thinking": False, "date_string": "26 Jul 2024"}
# What comes before all else, by style: the baselines that prompt a model without training it need
# some words.
PROMPTS = {
    "plain": "",
    "personal": "Use what I say about myself.\n",
    "two_modes": (
        f"Begin with {Mode.GENERAL.tag} if who I am does not matter, or with "
        f"{Mode.PERSONALIZED.tag} if it does.\n"
    ),
}
ANSWER_OPEN, ANSWER_CLOSE = "<answer>", "</answer>"

_MARK = re.compile(r"<[^<>\s]+>|\[\w+\]")


def persona_text(text: str) -> str:
    """The persona as it follows "I am ": without "I am" or "I'm", lower-case, without full stop.

    Only the first letter is made lower-case.

    >>> persona_text("I am a bureaucratic satirist.")
    'a bureaucratic satirist'
    """
    text = re.sub(r"^\s*(I am|I'm|I’m)\s+", "", text.strip(), flags=re.IGNORECASE).rstrip(". ")
    return text[:1].lower() + text[1:]


@lru_cache(maxsize=16)
def _control_tokens(tokenizer, size: int) -> re.Pattern | None:
    """Match what `tokenizer`, of `size` tokens, reads as a control token; None where it has none.

    Control tokens (an end of turn, a mode tag) are its added tokens that are marked as special or
    hold something in brackets; others are ordinary words that somebody added.
    """
    added = tokenizer.added_tokens_decoder.values()
    control = [token for token in added if token.special or _MARK.search(token.content)]
    contents = {token.content.strip() for token in control}  # what surrounds it may add space
    longest_first = sorted((text for text in contents if len(text) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if longest_first else None


def as_data(tokenizer, text: str) -> str:
    """The text such that no part of it becomes a control token of `tokenizer`.

    What would be one gets a space behind its first character; text without such a part stays as it
    is. So a question that quotes "<|im_end|>" or "[General_mode]" ends no turn and chooses no mode.
    """
    control = _control_tokens(tokenizer, len(tokenizer))
    if control is None:
        return text
    return control.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


def user_message(item: Item, persona: Persona | None, style: str = "plain", tokenizer=None) -> str:
    """The user turn for `item`, asked by `persona` (None: nobody in particular).

    style: one of PROMPTS. tokenizer: of the model that will read it; question, options and persona
    are then `as_data`. What `style` says is ours and stays.
    """
    lead = f"I am {persona_text(persona.text)}, my question is:\n" if persona else ""
    options = [f"{LETTERS[i]}) {text}" for i, text in enumerate(item.options)]
    question = lead + "\n".join([item.question, *options])
    if tokenizer is not None:
        question = as_data(tokenizer, question)
    instruction = CHOICE_INSTRUCTION if item.options else FREE_INSTRUCTION
    return PROMPTS[style] + question + instruction


def messages(
    item: Item,
    persona: Persona | None,
    style: str = "plain",
    history: Sequence[tuple[Item, str]] = (),
    tokenizer=None,
) -> list[dict]:
    """The chat so far: the turns of `history`, then `item`.

    history: earlier questions of the same asker with the completions they got, which stay as the
    model wrote them, with their mode tags. tokenizer: as in `user_message`.
    """
    turns = []
    for earlier, completion in history:
        question = user_message(earlier, persona, style, tokenizer)
        turns.append({"role": "user", "content": question})
        turns.append({"role": "assistant", "content": completion})
    question = user_message(item, persona, style, tokenizer)
    return [*turns, {"role": "user", "content": question}]


def render_question(tokenizer, item: Item, persona: Persona | None, style: str = "plain") -> str:
    """The prompt text without options and without a word on the answer's form.

    It is for options whose likelihood is asked for.
    """
    bare = replace(item, answer_type="text", options=())
    question = user_message(bare, persona, style, tokenizer).removesuffix(FREE_INSTRUCTION)
    return _render(tokenizer, [{"role": "user", "content": question}])


def render_prompt(
    tokenizer,
    item: Item,
    persona: Persona | None,
    style: str = "plain",
    history: Sequence[tuple[Item, str]] = (),
) -> str:
    """The prompt text up to where the model starts to write, for SFT, RL and evaluation alike."""
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
    answer_json = json.dumps({"answer": answer}, ensure_ascii=False)
    return f"{tag}{reasoning}\n\n{ANSWER_OPEN}{answer_json}{ANSWER_CLOSE}"
