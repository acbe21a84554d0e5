"""Asking back: a third mode that asks which reading is meant, for who can neither know nor guess.

A right answer counts 1, a wrong one 0, asking counts r. `data` adds the third mode to an SFT set,
`experiments` trains one model per r with DualGRPO over three modes and asks all of them, `policies`
says what a model, a threshold on confidence and some plain rules do with each question, `measures`
what that comes to, `tables` puts it side by side, `curves` has the risk by coverage, `results`
trains or reads it all. `python -m pdlib.analysis.asking_back` does one task of it; notebook
`15_ask_back` explains and shows it.
"""

from pdlib.analysis.asking_back.curves import risks
from pdlib.analysis.asking_back.results import results, stored, written

__all__ = ["results", "risks", "stored", "written"]
