"""Mode tags, the prompt that every stage uses, and the parser of completions."""

from pdlib.modes.parser import Parsed, parse
from pdlib.modes.prefixes import Fork, choice_tokens, forks, prefix_ids, tag_ids
from pdlib.modes.prompts import (
    ANSWER_CLOSE,
    ANSWER_OPEN,
    CHOICE_INSTRUCTION,
    FREE_INSTRUCTION,
    LETTERS,
    PROMPTS,
    TEMPLATE_SETTINGS,
    as_data,
    completion_text,
    messages,
    persona_text,
    render_prompt,
    render_question,
    user_message,
)

__all__ = [
    "ANSWER_CLOSE",
    "ANSWER_OPEN",
    "CHOICE_INSTRUCTION",
    "FREE_INSTRUCTION",
    "Fork",
    "LETTERS",
    "PROMPTS",
    "Parsed",
    "TEMPLATE_SETTINGS",
    "as_data",
    "choice_tokens",
    "completion_text",
    "forks",
    "messages",
    "parse",
    "persona_text",
    "prefix_ids",
    "render_prompt",
    "render_question",
    "tag_ids",
    "user_message",
]
