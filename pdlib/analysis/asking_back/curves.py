"""Risk over coverage: how often answers are wrong if only the least doubtful are given."""

import numpy as np
import pandas as pd

from pdlib.analysis.asking_back import measures, tables

SHARES = np.linspace(0.3, 1.0, 36)  # of the questions that are answered


def risks(items: pd.DataFrame, temperature: float, questions: str) -> pd.DataFrame:
    """One row per value of asking, policy and coverage; risk is the mean over seeds.

    items: as `policies.by_item` gives them. questions: a name of tables.GROUPS. The policies are
    the trained model and the model before RL, sorted by their chance of asking back, and the
    answers of the model of value 0, sorted by their agreement. The last two are the same whatever
    asking counts; they stand there once, with the value missing.
    """
    group = items[tables.GROUPS[questions](items)]
    seeds = sorted(group.seed.unique())
    rows = []
    for value in sorted(group.value.dropna().unique()):
        by_seed = [tables.policies_of(group, seed, value, temperature) for seed in seeds]
        wanted = {tables.TRAINED: value}
        if value == 0:
            wanted |= {tables.BEFORE: np.nan, tables.THRESHOLD: np.nan}
        for name, shown in wanted.items():
            risk = 1 - np.mean([_accuracies(policies[name]) for policies in by_seed], axis=0)
            table = pd.DataFrame({"coverage": SHARES, "risk": risk})
            rows.append(table.assign(policy=name, value=shown))
    return pd.concat(rows, ignore_index=True)


def _accuracies(policy) -> list[float]:
    alike = np.full((1, len(policy.doubt)), 1 / len(policy.doubt))
    return [measures.accuracy_at(policy, alike, share).item() for share in SHARES]
