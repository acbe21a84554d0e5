"""Does it hold on other backbones, and in the other world?

The systems that a claim needs are trained again from nothing. A replicate is a backbone, its data
sets and its trainings, all from one seed; the test items are the same for all. `run` trains and
evaluates `cfg.replicates` of them in each world of `cfg.replicate_worlds` (see
`pdlib.pocket.world`); what the run itself has trained is not trained again. The tables are queries
on the records. `python -m pdlib.analysis.replication WORLD SEED` does one replicate.
"""

from pdlib.analysis.replication.claims import GAP, TOLD_AHEAD, another, inside, table
from pdlib.analysis.replication.items import (
    RIVALS,
    SCORED_ON,
    by_replicate,
    read_items,
    write_items,
)
from pdlib.analysis.replication.worlds import (
    TABLE,
    choices,
    origin,
    replicate,
    results,
    run,
    world,
)

__all__ = [
    "GAP",
    "RIVALS",
    "SCORED_ON",
    "TABLE",
    "TOLD_AHEAD",
    "another",
    "by_replicate",
    "choices",
    "inside",
    "origin",
    "read_items",
    "replicate",
    "results",
    "run",
    "table",
    "world",
    "write_items",
]
