"""Read a completion: its mode, its reasoning and its answer, or the reason why it is malformed."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from pdlib.modes import answer_json
from pdlib.modes.prompts import ANSWER_CLOSE, ANSWER_OPEN
from pdlib.schema import PAPER_MODES, Mode, ModeSet

_ANSWER = re.compile(re.escape(ANSWER_OPEN) + r"(.*?)" + re.escape(ANSWER_CLOSE), re.DOTALL)


@dataclass(frozen=True)
class Parsed:
    """What a completion says. `error` is None when it is well formed, else the reason in words."""

    mode: Mode | None
    reasoning: str
    answer: str | None
    error: str | None


def parse(text: str, require_mode: bool = True, mode_set: ModeSet = PAPER_MODES) -> Parsed:
    r"""Split a completion into mode, reasoning and answer; nothing is guessed.

    `error` says what is wrong. mode_set: the modes whose tags are looked for.

    >>> parse('[General_mode]\nBy definition.\n\n<answer>{"answer": "B"}</answer>').answer
    'B'
    """
    tags = _tag_pattern(mode_set).findall(text)
    answer, error = _last_json_answer(text)
    if require_mode and not tags:
        expected = " or ".join(mode.tag for mode in mode_set)
        return Parsed(None, "", answer, f"no mode tag: expected {expected} first")
    if len(tags) > 1:
        return Parsed(None, "", answer, f"{len(tags)} mode tags, expected one")
    mode = next(mode for mode in mode_set if mode.tag == tags[0]) if tags else None
    if mode and not text.lstrip().startswith(mode.tag):
        return Parsed(mode, "", answer, "the mode tag is not at the start")
    reasoning = text.split(ANSWER_OPEN)[0].replace(mode.tag if mode else "", "").strip()
    if error is None and require_mode and not _ANSWER.search(text):
        error = "the answer is not between <answer> and </answer>"
    return Parsed(mode, reasoning, answer, error)


@lru_cache(maxsize=16)
def _tag_pattern(mode_set: ModeSet) -> re.Pattern:
    return re.compile("|".join(re.escape(mode.tag) for mode in mode_set))


def _last_json_answer(text: str) -> tuple[str | None, str | None]:
    """The answer in the last JSON object, or an error; one of the two is None.

    The last object between answer marks counts, or the last anywhere if there are no marks. Objects
    are read as models write them, see `answer_json`. A broken one is an error, also after a whole
    one.
    """
    marked = _ANSWER.findall(text)
    scope = marked[-1] if marked else text
    content, error = None, "no answer: no JSON object found"
    start = answer_json.find(scope, 0)
    while start >= 0:
        try:  # a whole object is stepped over, so braces within its texts are no objects
            content, end = answer_json.read(scope, start)
            error = None
        except ValueError as broken:
            end, error = start + 1, f"broken JSON in the answer: {broken}"
        start = answer_json.find(scope, end)
    if error:
        return None, error
    if "answer" not in content:
        return None, "no answer: the JSON object has no key 'answer'"
    answer = content["answer"]
    if not isinstance(answer, (str, bool)) or str(answer).strip() == "":
        return None, "no answer: the value of 'answer' is empty or not text"
    unwritable = next(filter(_is_unwritable, str(answer)), None)
    if unwritable:
        error = f"no answer: it holds the character U+{ord(unwritable):04X}, which is no text"
        return None, error
    return str(answer).strip(), None


def _is_unwritable(character: str) -> bool:
    """Is it a surrogate or a control character, other than line breaks and tabs?"""
    return unicodedata.category(character) in ("Cs", "Cc") and character not in "\n\r\t"
