r"""JSON objects as language models write them.

They hold LaTeX with one backslash, raw line breaks, trailing commas, bare numbers and fractions. A
string in which a backslash begins a LaTeX command (`\frac`) or something that JSON does not know
(`\sqrt`, `\%`) is read as LaTeX: its backslashes stay. Any other string is read as JSON. What can
be read in neither way is an error, never something else in silence.
"""

import json
import re

DEEPEST = 20  # objects and lists within each other; an answer needs one
# LaTeX commands that begin with n, r or t: `\n` before other letters is a line break, `\r` a
# return, `\t` a tab. `\b` and `\f` before letters are always LaTeX, since no answer holds a
# backspace or a form feed, and so is a `\u` without four hexadecimal digits.
_COMMANDS = """
    nabla natural ncong ne nearrow neg neq newline nexists ngeq ngtr ni nleftarrow nleq nless
    nmid nobreak nonumber not notin nparallel nrightarrow nsim nsubseteq nsupseteq nu nwarrow
    raisebox rangle rbrace rbrack rceil rfloor rho right rightarrow rightharpoonup
    rightleftarrows rightleftharpoons rm rtimes rule rvert tag tan tanh tau tbinom text textbf
    textit textrm textsc textsf textstyle textsubscript textsuperscript texttt tfrac therefore
    theta thickapprox thinspace tilde times tiny to top triangle triangledown triangleleft
    triangleq triangleright tt
"""
LATEX = frozenset(_COMMANDS.split())
_OBJECT = re.compile(r"""\{\s*(?:"|['“]?answer\b)""")
_TOKEN = re.compile(
    r'\s+|(?P<string>"(?:[^"\\]|\\.)*")|(?P<mark>[{}\[\],:])|(?P<word>[^\s{}\[\],:"]+)',
    re.DOTALL,
)
_NUMBER = re.compile(
    r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d*)?(?:[eE][+-]?\d+)?"
    r"(?:\s*/\s*[+-]?\d+(?:\.\d+)?)?\s?%?(?=\s*[,}\]])"
)
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[A-Za-z]+|.)", re.DOTALL)
_WORDS = ("true", "false", "null")


def find(text: str, start: int) -> int:
    """Where, from `start` on, an object begins; -1 where none does.

    An object has a quoted key or means to be an answer. A brace before anything else is prose or
    LaTeX.

    >>> find('{x} so {"answer": "4"}', 0)
    7
    """
    match = _OBJECT.search(text, start)
    return match.start() if match else -1


def read(text: str, start: int) -> tuple[dict, int]:
    r"""The object that begins at text[start], and where it ends.

    Numbers come back as they are written. ValueError says what is broken.

    >>> read(r'{"answer": "\frac{1}{2}"} yes', 0)
    ({'answer': '\\frac{1}{2}'}, 25)
    >>> read('{"answer": 1/2,}', 0)[0]
    {'answer': '1/2'}
    """
    mended, end = _mended(text, start)
    try:
        return json.loads(mended, strict=False), end
    except json.JSONDecodeError as broken:
        raise ValueError(broken.msg) from broken


def _mended(text: str, start: int) -> tuple[str, int]:
    """The object at text[start] as JSON, and where it ends."""
    tokens, depth, end, previous = [], 0, start, ""
    while True:
        number = _NUMBER.match(text, end) if previous == ":" else None
        if number and any(character.isdigit() for character in number.group()):
            tokens.append(json.dumps(number.group().strip()))
            end, previous = number.end(), "number"
            continue
        match = _TOKEN.match(text, end)
        if not match:
            raise ValueError("it does not end" if end >= len(text) else "a text has no end")
        end, token = match.end(), match.group()
        if token.isspace():
            continue
        if match["string"]:
            token = string(token[1:-1])
        elif match["word"] and token not in _WORDS:
            raise ValueError(f"{token[:30]!r} is neither quoted nor a number")
        elif token in "}]" and previous == ",":
            tokens.pop()
        depth += (token in ("{", "[")) - (token in ("}", "]"))
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} objects or lists within each other")
        tokens.append(token)
        previous = token
        if depth == 0:
            return "".join(tokens), end


def string(content: str) -> str:
    r"""What stands between the quotes of a string, as a JSON string with its quotes.

    It is read as LaTeX where it holds any.

    >>> string(r"3\pi"), string(r"3\\pi"), string(r"a\nb")
    ('"3\\\\pi"', '"3\\\\pi"', '"a\\nb"')
    """
    if not any(_is_latex(escape) for escape in _ESCAPE.findall(content)):
        return f'"{content}"'

    def escaped(match: re.Match) -> str:
        escape = match.group()
        if _is_latex(escape):
            return "\\" + escape
        if escape == "\\\\" and not content[match.end() : match.end() + 1].isalpha():
            return "\\" * 4  # a line break of LaTeX
        return escape

    return '"' + _ESCAPE.sub(escaped, content) + '"'


def _is_latex(escape: str) -> bool:
    name = escape[1:]
    if re.fullmatch(r"u[0-9a-fA-F]{4}", name):
        return False
    if not name.isalpha():
        return name not in ('"', "\\", "/")
    if name[0] in "bf":
        return len(name) > 1
    return name in LATEX or name[0] not in "nrt"
