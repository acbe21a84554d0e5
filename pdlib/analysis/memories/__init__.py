"""Memory benchmarks: a query, and what an assistant remembers of the user.

Some memories must be used, others must not leak. Whether a model *chooses* its personalised mode
for the first and not for the second needs no judge: the area under the ROC curve of
P(personalised). PersistBench (arXiv 2602.01146) has both kinds; another benchmark needs a `Layout`.
Rows are read from an installed package or a folder and are never copied into the project.
`carry_over` asks the systems of a run, `judged` has their answers judged.
"""

from pdlib.analysis.memories.rows import PERSISTBENCH, Layout, locate, read
from pdlib.analysis.memories.separation import RULES, choices, rules, separation, with_facts

__all__ = [
    "Layout",
    "PERSISTBENCH",
    "RULES",
    "choices",
    "locate",
    "read",
    "rules",
    "separation",
    "with_facts",
]
