r"""JSON objects as language models write them: LaTeX with one backslash, raw line breaks, trailing
commas, bare numbers and fractions.

A string in which a backslash begins a LaTeX command (`\frac`) or something that JSON does not know
(`\sqrt`, `\%`) is read as LaTeX: its backslashes stay. Any other string is read as JSON. What can
be read in neither way is an error, never something else in silence.
"""

import json
import re

DEEPEST = 20  # objects and lists within each other; an answer needs one
# LaTeX commands that begin with n, r or t: `\n` before other letters is a line break, `\r` a
# return, `\t` a tab. `\b` and `\f` before letters are always LaTeX, since no answer holds a
# backspace or a form feed, and so is a `\u` without four hexadecimal digits.
LATEX = frozenset(
    [
        "nabla",
        "natural",
        "ncong",
        "ne",
        "nearrow",
        "neg",
        "neq",
        "newline",
        "nexists",
        "ngeq",
        "ngtr",
        "ni",
        "nleftarrow",
        "nleq",
        "nless",
        "nmid",
        "nobreak",
        "nonumber",
        "not",
        "notin",
        "nparallel",
        "nrightarrow",
        "nsim",
        "nsubseteq",
        "nsupseteq",
        "nu",
        "nwarrow",
        "raisebox",
        "rangle",
        "rbrace",
        "rbrack",
        "rceil",
        "rfloor",
        "rho",
        "right",
        "rightarrow",
        "rightharpoonup",
        "rightleftarrows",
        "rightleftharpoons",
        "rm",
        "rtimes",
        "rule",
        "rvert",
        "tag",
        "tan",
        "tanh",
        "tau",
        "tbinom",
        "text",
        "textbf",
        "textit",
        "textrm",
        "textsc",
        "textsf",
        "textstyle",
        "textsubscript",
        "textsuperscript",
        "texttt",
        "tfrac",
        "therefore",
        "theta",
        "thickapprox",
        "thinspace",
        "tilde",
        "times",
        "tiny",
        "to",
        "top",
        "triangle",
        "triangledown",
        "triangleleft",
        "triangleq",
        "triangleright",
        "tt",
    ]
)
_OBJECT = re.compile(r"""\{\s*(?:"|['“]?answer\b)""")
_TOKEN = re.compile(
    r'\s+|(?P<string>"(?:[^"\\]|\\.)*")|(?P<mark>[{}\[\],:])|(?P<word>[^\s{}\[\],:"]+)', re.DOTALL
)
_NUMBER = re.compile(
    r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)?(?:\.\d*)?(?:[eE][+-]?\d+)?(?:\s*/\s*[+-]?\d+(?:\.\d+)?)?\s?%?(?=\s*[,}\]])"
)
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|[A-Za-z]+|.)", re.DOTALL)
_WORDS = ("true", "false", "null")


def find(text: str, at: int) -> int:
    """Where, from `at` on, an object begins that has a quoted key or means to be an answer; -1
    where none does. A brace before anything else is prose or LaTeX.

    >>> find('{x} so {"answer": "4"}', 0)
    7
    """
    found = _OBJECT.search(text, at)
    return found.start() if found else -1


def read(text: str, at: int) -> tuple[dict, int]:
    r"""(the object that begins at text[at], where it ends); numbers come back as they are written.
    ValueError says what is broken.

    >>> read(r'{"answer": "\frac{1}{2}"} yes', 0)
    ({'answer': '\\frac{1}{2}'}, 25)
    >>> read('{"answer": 1/2,}', 0)[0]
    {'answer': '1/2'}
    """
    mended, end = _mended(text, at)
    try:
        return json.loads(mended, strict=False), end
    except json.JSONDecodeError as broken:
        raise ValueError(broken.msg) from broken


def _mended(text: str, at: int) -> tuple[str, int]:
    """(the object at text[at] as JSON, where it ends)."""
    parts, depth, end, last = [], 0, at, ""
    while True:
        number = _NUMBER.match(text, end) if last == ":" else None
        if number and any(sign.isdigit() for sign in number.group()):
            parts.append(json.dumps(number.group().strip()))
            end, last = number.end(), "number"
            continue
        found = _TOKEN.match(text, end)
        if not found:
            raise ValueError("it does not end" if end >= len(text) else "a text has no end")
        end, token = found.end(), found.group()
        if token.isspace():
            continue
        if found["string"]:
            token = string(token[1:-1])
        elif found["word"] and token not in _WORDS:
            raise ValueError(f"{token[:30]!r} is neither quoted nor a number")
        elif token in "}]" and last == ",":
            parts.pop()
        depth += (token in ("{", "[")) - (token in ("}", "]"))
        if depth > DEEPEST:
            raise ValueError(f"more than {DEEPEST} objects or lists within each other")
        parts.append(token)
        last = token
        if depth == 0:
            return "".join(parts), end


def string(inside: str) -> str:
    r"""What stands between the quotes of a string, as a JSON string with its quotes; as LaTeX where
    it holds any.

    >>> string(r"3\pi"), string(r"3\\pi"), string(r"a\nb")
    ('"3\\\\pi"', '"3\\\\pi"', '"a\\nb"')
    """
    escapes = [found.group() for found in _ESCAPE.finditer(inside)]
    if not any(_is_latex(escape) for escape in escapes):
        return f'"{inside}"'

    def kept(found: re.Match) -> str:
        escape = found.group()
        if _is_latex(escape):
            return "\\" + escape
        if escape == "\\\\" and not inside[found.end() : found.end() + 1].isalpha():
            return "\\" * 4  # a line break of LaTeX
        return escape

    return '"' + _ESCAPE.sub(kept, inside) + '"'


def _is_latex(escape: str) -> bool:
    name = escape[1:]
    if re.fullmatch(r"u[0-9a-fA-F]{4}", name):
        return False
    if not name.isalpha():
        return name not in ('"', "\\", "/")
    if name[0] in "bf":
        return len(name) > 1
    return name in LATEX or name[0] not in "nrt"
