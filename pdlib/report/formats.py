"""How the report writes numbers."""


def number(value: float | None) -> str:
    """Three decimals, counts as they are, a dash for what is missing.

    >>> number(0.54), number(1000), number(None)
    ('0.540', '1000', '–')
    """
    if value is None:
        return "–"
    return str(value) if isinstance(value, int) else f"{value:.3f}"


def interval(low: float | None, high: float | None) -> str:
    """Both ends of an interval, nothing where there is none."""
    return "" if low is None else f"{low:.3f} to {high:.3f}"


def points(value: float, sign: str = "") -> str:
    """A fraction in points with one decimal; zero has no minus sign. sign: "+" shows a plus sign.

    >>> points(-0.0164), points(-0.0004), points(0.024, "+")
    ('-1.6', '0.0', '+2.4')
    """
    text = f"{100 * value:{sign}.1f}"
    return text.replace("-", sign) if float(text) == 0 else text
