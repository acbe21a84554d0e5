"""How often a later turn is answered in the mode that the same question gets alone."""

import pandas as pd

from pdlib import paper
from pdlib.analysis import stats
from pdlib.analysis.multi_turn.answers import KINDS, MODES, by_model, split
from pdlib.analysis.multi_turn.rates import cases, rates

ORDERS = {  # -> mode before, mode alone
    "general first": ("general", "personalized"),
    "personalized first": ("personalized", "general"),
}
NAMES = {  # a column of Table 3 -> the benchmark
    "MATH500": "math500",
    "MMLU-Pro": "mmlu_pro",
    "PubMedQA": "pubmedqa",
    "SuperGPQA": "supergpqa",
    "TriviaQA": "triviaqa",
    "PersonaFeedback": "personafeedback",
    "FSPO-roleplay": "fspo_roleplay",
}
EARLIER = {"before": MODES, "first": KINDS}  # a column of `split` -> what came before
TABLE_3 = {
    NAMES[number.column]: number.value for number in paper.numbers() if number.artefact == "table3"
}
RATES = {
    number.column: number.value for number in paper.numbers() if number.artefact == "multi_turn"
}
DEVIATIONS = [
    "run",
    "model",
    "benchmark",
    "mean",
    "ci_low",
    "ci_high",
    "luck",
    "beyond",
    "beyond_low",
    "beyond_high",
    "verdict",
    "no_mode",
    "paper",
    "n",
]


def alignment(
    records: pd.DataFrame,
    by: str | None = None,
    *,
    earlier: str = "before",
    choice: str = "sampled",
    turn: int = 2,
    draws: int = 2000,
) -> pd.DataFrame:
    """Mode-alignment rates: the share of later turns in the mode that the question gets alone.

    One row per run, model, group (`by`: benchmark, kind or None), mode of the earlier turns and
    mode alone. earlier: "before", the mode the earlier turns were answered in; "first", the kind of
    question they were. turn: of the answer.

    mean, ci_low, ci_high: the rate; missing where nothing was so answered. ceiling: the same of two
    runs alone. gap, gap_low, gap_high: rate minus ceiling, both missing with one run. verdict: of
    the gap, over all rows of the model, see `stats.verdict`. no_mode: share answered in no mode,
    which is not aligned either. n: items.
    """
    rows = []
    for names, answers in by_model(split(records)):
        groups = list(answers.groupby(by, sort=False)) if by else [(None, answers)]
        combinations = [(came, mode) for came in EARLIER[earlier] for mode in MODES]
        comparisons = len(groups) * len(combinations)
        for group, of_group in groups:
            for came, mode in combinations:
                items = cases(of_group, (earlier, came), mode, turn, choice)
                rows.append(
                    names
                    | ({by: group} if by else {})
                    | {"earlier": came, "alone": mode}
                    | rates(items, draws, comparisons)
                )
    return pd.DataFrame(rows)


def orders(records: pd.DataFrame, **settings) -> pd.DataFrame:
    """The paper's two alignment rates, where the mode would have to switch.

    `alignment` by order, with the paper's value.
    """
    table = alignment(records, **settings)
    rows = [_of_order(table, order).assign(order=order, paper=RATES[order]) for order in ORDERS]
    return pd.concat(rows, ignore_index=True)


def _of_order(table: pd.DataFrame, order: str) -> pd.DataFrame:
    came, mode = ORDERS[order]
    return table[(table.earlier == came) & (table.alone == mode)]


def deviations(records: pd.DataFrame, **settings) -> pd.DataFrame:
    """Table 3: how often a question leaves its personalised mode after a turn in the general mode.

    One row per run, model and benchmark: mean, ci_low, ci_high; luck, the same of two runs alone;
    beyond, beyond_low, beyond_high, the first minus the second, with its verdict; paper; n.
    """
    table = _of_order(alignment(records, "benchmark", **settings), "general first")
    verdicts = table.verdict.str.replace("lower", "shifts").str.replace("higher", "shifts less")
    turned = table.assign(
        mean=1 - table["mean"],
        ci_low=1 - table.ci_high,
        ci_high=1 - table.ci_low,
        luck=1 - table.ceiling,
        beyond=0 - table.gap,
        beyond_low=0 - table.gap_high,
        beyond_high=0 - table.gap_low,
        paper=table.benchmark.map(TABLE_3),
        verdict=verdicts,
    )
    order = list(NAMES.values())
    return (
        turned[DEVIATIONS]
        .sort_values("benchmark", key=lambda names: names.map(order.index), kind="stable")
        .reset_index(drop=True)
    )


def by_turns(records: pd.DataFrame, draws: int = 2000) -> pd.DataFrame:
    """How alignment goes on as dialogues grow, of those that could be asked to their last turn.

    So all turns speak of the same dialogues. One row per run, model, number of turns, kind of the
    earlier questions and mode alone. mean, ...: as in `alignment`; shift, shift_low, shift_high:
    P(personalised) minus that of the same question alone (whatever its mode alone).
    """
    rows = []
    for names, answers in by_model(split(records)):
        answers = _asked_to_the_end(answers)
        turns = range(2, int(answers.turn.max()) + 1)
        for turn in turns:
            for kind in KINDS:
                shift = _shift(answers, kind, turn, draws)
                for mode in MODES:
                    items = cases(answers, ("first", kind), mode, turn, "sampled")
                    rows.append(
                        names
                        | {"turns": turn, "earlier": kind, "alone": mode}
                        | rates(items, draws, 4 * len(turns))
                        | shift
                    )
    return pd.DataFrame(rows)


def _asked_to_the_end(answers: pd.DataFrame) -> pd.DataFrame:
    """Answers alone, and those of dialogues that reached the last turn."""
    answers = answers[(answers.turn == 1) | (answers.tags == "kept")]
    dialogues = pd.MultiIndex.from_frame(answers[[*stats.ITEM, "first", "seed"]])
    whole = dialogues[(answers.turn == answers.turn.max()).to_numpy()]
    return answers[(answers.turn == 1) | dialogues.isin(whole)]


def _shift(rows: pd.DataFrame, kind: str, turn: int, draws: int) -> dict[str, float]:
    """{shift, shift_low, shift_high} of `by_turns`."""
    alone = rows[rows.turn == 1].groupby(stats.ITEM).p_personalized.mean()
    later = rows[(rows.turn == turn) & (rows["first"] == kind)]
    after = later.groupby(stats.ITEM).p_personalized.mean().reindex(alone.index)
    items = pd.DataFrame({"moved": (after - alone).fillna(0), "asked": after.notna().astype(float)})
    drawn = stats.resample(items, draws)
    shift = stats.summary(drawn.moved / drawn.asked)
    return {"shift": shift["mean"], "shift_low": shift["ci_low"], "shift_high": shift["ci_high"]}
