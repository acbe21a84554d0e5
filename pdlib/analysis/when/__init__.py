"""When does DualGRPO pay? Theory of the push on the mode choice, and experiments that test it.

`theory` computes the expected push of any way of RL, and what follows from it. `arms` names the
cells of two experiments, `prior` sets up the models that they start from, `experiments` trains and
measures them, `outcomes` sums a cell up, `predictions` sets each prediction beside its outcome,
`verdicts` says what becomes of it, `curves` has the predicted curves, `results` trains or reads it
all. `python -m pdlib.analysis.when` does one task of it; notebook `05c_when_it_pays` explains and
shows it.
"""

from pdlib.analysis.when.results import origin, results, stored, written

__all__ = [
    "origin",
    "results",
    "stored",
    "written",
]
