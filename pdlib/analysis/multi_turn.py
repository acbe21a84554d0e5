"""Multi-turn: does the mode chosen for a question change when other questions came before it?
(paper 5.4, Table 3)

Queries on the records of `dialogues.answer`. What the paper measures, and how we read it, stands at
the top of `dialogues`.

A mode is drawn, so two answers to one question alone may differ, too. The paper compares one answer
alone with one in a dialogue; its deviation ratio therefore holds shift and luck. With every rate
stands its ceiling: how often two answers alone agree, on the same questions, each weighed as in the
rate. What a dialogue does is the gap between the two. choice="likelier" leaves luck out: a
question's mode is then the one with P above one half.

Rates are pooled over items: a question counts as often as it was answered in the mode asked about.
Intervals resample items and training seeds, as in `stats`; a rate of 1 has an interval without
width, which with few items (n) says little.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from pdlib import paper
from pdlib.analysis import stats
from pdlib.analysis.cells import Found, Missing
from pdlib.evaluate import dialogues

ITEM = stats.ITEM
ORDERS = {
    "general first": ("general", "personalized"),
    "personalized first": ("personalized", "general"),
}  # mode before, mode alone
NAMES = {
    "MATH500": "math500",
    "MMLU-Pro": "mmlu_pro",
    "PubMedQA": "pubmedqa",
    "SuperGPQA": "supergpqa",
    "TriviaQA": "triviaqa",
    "PersonaFeedback": "personafeedback",
    "FSPO-roleplay": "fspo_roleplay",
}  # Table 3's columns -> benchmarks
EARLIER = {
    "before": ("general", "personalized"),
    "first": ("objective", "personalized"),
}  # column -> what came before: modes, kinds
TABLE_3 = {
    NAMES[number.column]: number.value for number in paper.numbers() if number.artefact == "table3"
}
RATES = {
    number.column: number.value for number in paper.numbers() if number.artefact == "multi_turn"
}


def split(records: pd.DataFrame) -> pd.DataFrame:
    """`records` with what their condition says: who, first (kind of the earlier questions), before
    (their mode), tags.

    ValueError where there are none, a condition is not a dialogue's, or a question of a dialogue
    was not asked alone.
    """
    if records.empty:
        raise ValueError("no records of dialogues; `systems.in_dialogues` makes them")
    said = {name: dialogues.parts(name) for name in records.condition.unique()}
    rows = records.assign(
        **{
            part: records.condition.map({name: found[part] for name, found in said.items()})
            for part in ("who", "first", "before", "tags")
        }
    )
    if rows.who.nunique() > 1:
        raise ValueError(
            f"dialogues of askers {sorted(rows.who.unique())}; pass those of one of them"
        )
    keys = pd.MultiIndex.from_frame(rows[["run", "model", *ITEM]])
    if lost := int((~keys.isin(keys[(rows.turn == 1).to_numpy()])).sum()):
        raise ValueError(
            f"{lost} answers are to questions that were not asked alone (turn 1); pass the records of one evaluation whole"
        )
    return rows


def _models(rows: pd.DataFrame) -> Iterator[tuple[dict, pd.DataFrame]]:
    for (run, model), own in rows.groupby(["run", "model"], sort=False):
        yield {"run": run, "model": model}, own


def _cases(
    rows: pd.DataFrame, earlier: tuple[str, str], alone: str, turn: int, choice: str
) -> pd.DataFrame:
    """Of each item (index ITEM): cases, how often it was answered in the mode `alone` alone and
    followed `earlier` (column, value) in the dialogue, as a share of pairs of runs; aligned,
    no_mode: of these, how often the dialogue's answer was in that mode, in none; again: how often
    another answer alone was (missing with a single run).
    """
    if choice not in ("sampled", "likelier"):
        raise ValueError(f"choice is {choice!r}, expected sampled or likelier")
    likelier = rows.p_personalized.gt(0.5).map({True: "personalized", False: "general"})
    rows = rows.assign(is_alone=(rows["mode"] if choice == "sampled" else likelier) == alone)
    runs = rows[rows.turn == 1].groupby(ITEM).is_alone.agg(["sum", "count"])
    share = runs["sum"] / runs["count"]
    pairs = (runs["count"] * (runs["count"] - 1)).replace(0, np.nan)
    again = runs["sum"] * (runs["sum"] - 1) / pairs if choice == "sampled" else share
    later = rows[(rows.turn == turn) & (rows.tags == "kept")]
    here = later[earlier[0]] == earlier[1]
    silent = later["mode"] == "none" if choice == "sampled" else False
    means = later.assign(cases=here, aligned=here & later.is_alone, no_mode=here & silent).groupby(
        ITEM
    )[["cases", "aligned", "no_mode"]]
    found = means.mean().reindex(runs.index).fillna(0)  # what was too long to ask is no case
    return found.mul(share, axis=0).assign(again=again * found.cases)


def _rates(items: pd.DataFrame, draws: int, comparisons: int) -> dict:
    """{mean, ci_low, ci_high, ceiling, gap, gap_low, gap_high, verdict, no_mode, n} of a table of
    `_cases`.
    """
    with_ceiling = items.again.notna().all()
    drawn = stats.resample(items if with_ceiling else items.drop(columns="again"), draws)
    rate, found = (
        drawn.aligned / drawn.cases,
        {"ceiling": np.nan, "gap": np.nan, "gap_low": np.nan, "gap_high": np.nan, "verdict": ""},
    )
    if with_ceiling:
        gap = stats.summary(rate - drawn.again / drawn.cases, comparisons)
        found = {
            "ceiling": float(drawn.again[0] / drawn.cases[0]) if drawn.cases[0] else np.nan,
            "gap": gap["mean"],
            "gap_low": gap["ci_low"],
            "gap_high": gap["ci_high"],
            "verdict": stats.verdict(gap) if drawn.cases[0] else "",
        }
    silent = float(drawn.no_mode[0] / drawn.cases[0]) if drawn.cases[0] else np.nan
    return (
        stats.summary(rate) | found | {"no_mode": silent, "n": stats.count(items[items.cases > 0])}
    )


def alignment(
    records: pd.DataFrame,
    by: str | None = None,
    *,
    earlier: str = "before",
    choice: str = "sampled",
    turn: int = 2,
    draws: int = 2000,
) -> pd.DataFrame:
    """Mode-alignment rates: the share of second (or later, `turn`) turns in the mode that the same
    question gets alone.

    One row a run, model, group (`by`: benchmark, kind or None), mode of the earlier turns and mode
    alone.  earlier: "before", the mode the earlier turns were answered in; "first", the kind of
    question they were.
    mean, ci_low, ci_high: the rate; missing where nothing was so answered.  ceiling: the same of
    two runs alone.  gap, gap_low, gap_high: rate minus ceiling, both missing with one run.
    verdict: of the gap, over all rows of the model, see `stats.verdict`. no_mode: share answered in
    no mode, which is not aligned either.  n: items.
    """
    rows, out = split(records), []
    for name, own in _models(rows):
        groups = list(own.groupby(by, sort=False)) if by else [(None, own)]
        combinations = [
            (came, mode) for came in EARLIER[earlier] for mode in ("general", "personalized")
        ]
        for group, part in groups:
            for came, mode in combinations:
                found = _rates(
                    _cases(part, (earlier, came), mode, turn, choice),
                    draws,
                    len(groups) * len(combinations),
                )
                out.append(
                    name | ({by: group} if by else {}) | {"earlier": came, "alone": mode} | found
                )
    return pd.DataFrame(out)


def orders(records: pd.DataFrame, **settings) -> pd.DataFrame:
    """The paper's two alignment rates, where the mode would have to switch: `alignment` by order,
    with the paper's value.
    """
    found = alignment(records, **settings)
    kept = [
        found[(found.earlier == came) & (found.alone == mode)].assign(
            order=order, paper=RATES[order]
        )
        for order, (came, mode) in ORDERS.items()
    ]
    return pd.concat(kept, ignore_index=True)


def deviations(records: pd.DataFrame, **settings) -> pd.DataFrame:
    """Table 3: how often a question that alone is answered in the personalised mode is not, after a
    turn in the general mode.

    One row a run, model and benchmark: mean, ci_low, ci_high; luck, the same of two runs alone;
    beyond, beyond_low, beyond_high, the first minus the second, with its verdict; paper; n.
    """
    found = alignment(records, "benchmark", **settings)
    came, mode = ORDERS["general first"]
    found = found[(found.earlier == came) & (found.alone == mode)]
    turned = found.assign(
        mean=1 - found["mean"],
        ci_low=1 - found.ci_high,
        ci_high=1 - found.ci_low,
        luck=1 - found.ceiling,
        beyond=0 - found.gap,
        beyond_low=0 - found.gap_high,
        beyond_high=0 - found.gap_low,
        paper=found.benchmark.map(TABLE_3),
        verdict=found.verdict.str.replace("lower", "shifts").str.replace("higher", "shifts less"),
    )
    columns = [
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
    place = list(NAMES.values())
    return (
        turned[columns]
        .sort_values("benchmark", key=lambda names: names.map(place.index), kind="stable")
        .reset_index(drop=True)
    )


def by_turns(records: pd.DataFrame, draws: int = 2000) -> pd.DataFrame:
    """How alignment goes on as dialogues grow: one row a run, model, number of turns, kind of the
    earlier questions and mode alone.

    Of the dialogues that could be asked to their last turn, so that all turns speak of the same
    ones. mean, ...: as in `alignment`; shift, shift_low, shift_high: P(personalised) minus that of
    the same question alone (whatever its mode alone).
    """
    rows, out, key = split(records), [], [*ITEM, "first", "seed"]
    for name, own in _models(rows):
        own = own[(own.turn == 1) | (own.tags == "kept")]
        whole = pd.MultiIndex.from_frame(own.loc[own.turn == own.turn.max(), key])
        own = own[(own.turn == 1) | pd.MultiIndex.from_frame(own[key]).isin(whole)]
        turns = range(2, int(own.turn.max()) + 1)
        for turn in turns:
            for first in EARLIER["first"]:
                moved = _shift(own, first, turn, draws)
                for mode in ("general", "personalized"):
                    found = _rates(
                        _cases(own, ("first", first), mode, turn, "sampled"), draws, 4 * len(turns)
                    )
                    out.append(
                        name | {"turns": turn, "earlier": first, "alone": mode} | found | moved
                    )
    return pd.DataFrame(out)


def _shift(rows: pd.DataFrame, first: str, turn: int, draws: int) -> dict:
    alone = rows[rows.turn == 1].groupby(ITEM).p_personalized.mean()
    later = rows[(rows.turn == turn) & (rows["first"] == first)]
    after = later.groupby(ITEM).p_personalized.mean().reindex(alone.index)
    items = pd.DataFrame({"moved": (after - alone).fillna(0), "asked": after.notna().astype(float)})
    drawn = stats.resample(items, draws)
    found = stats.summary(drawn.moved / drawn.asked)
    return {"shift": found["mean"], "shift_low": found["ci_low"], "shift_high": found["ci_high"]}


def _by_tag(own: pd.DataFrame) -> pd.DataFrame:
    """Mean P(personalised) of each item (index ITEM): alone, and in the second turn by (kind of the
    first question, tag shown).

    First turns that were answered in their own kind's usual mode only, of items that have all of
    them with every training seed.
    """
    usual = own[
        (own.turn == 2)
        & (own["first"].map(dict(zip(EARLIER["first"], EARLIER["before"]))) == own.before)
    ]
    other = {"general": "personalized", "personalized": "general"}
    shown = usual.before.where(usual.tags == "kept", usual.before.map(other)).where(
        usual.tags != "removed", "none"
    )
    whole = usual.groupby([*ITEM, "first", "seed"]).tags.transform("nunique") == len(
        dialogues.TAGS
    )  # the same with every tag
    table = usual.assign(shown=shown)[whole].pivot_table(
        index=ITEM, columns=["first", "shown"], values="p_personalized"
    )
    table[("alone", "")] = own[own.turn == 1].groupby(ITEM).p_personalized.mean()
    wanted = [
        (first, tag) for first in EARLIER["first"] for tag in ("general", "none", "personalized")
    ] + [("alone", "")]
    table = table.reindex(columns=pd.MultiIndex.from_tuples(wanted)).dropna()
    return table[
        table.groupby(level=["benchmark", "item_id"]).transform("size") == own.train_seed.nunique()
    ]


def tags(records: pd.DataFrame, draws: int = 2000) -> pd.DataFrame:
    """P(personalised) in the second turn by what the first answer says and which tag it is shown
    with, one row a run, model, kind of the second question, kind of the first (content; "alone":
    none came before) and tag (general, none, personalized).

    An objective first question was answered in the general mode, a personal one in the
    personalised: the other tag is a swapped one. Only questions that were asked after both, with
    every tag (n), count; a kind without any has no row.
    """
    out = []
    for name, own in _models(split(records)):
        for kind, part in own.groupby("kind", sort=False):
            table = _by_tag(part)
            if table.empty:
                continue
            drawn = stats.resample(table, draws)
            out += [
                name
                | {"kind": kind, "content": content, "tag": tag}
                | stats.summary(drawn[content, tag])
                | {"n": stats.count(table)}
                for content, tag in table.columns
            ]
    return pd.DataFrame(
        out, columns=["run", "model", "kind", "content", "tag", "mean", "ci_low", "ci_high", "n"]
    )


def carriers(records: pd.DataFrame, draws: int = 2000) -> pd.DataFrame:
    """Does the tag or the content carry the shift? Changes of P(personalised) in the second turn,
    by run, model and its kind.

    part: "tag", shown as personalised minus as general, the same content; "content", a personal
    first turn minus an objective one, under the same tag; "turn", either first turn as it was minus
    none.  mean, ci_low, ci_high, verdict over the model's rows, n: as in `tags`.
    """
    out = []
    for name, own in _models(split(records)):
        kinds = {
            kind: table
            for kind, part in own.groupby("kind", sort=False)
            if len(table := _by_tag(part))
        }
        for kind, table in kinds.items():
            o, p = table["objective"], table["personalized"]
            parts = {
                "tag": (o.personalized - o.general + p.personalized - p.general) / 2,
                "content": (p.general - o.general + p.personalized - o.personalized) / 2,
                "turn": (o.general + p.personalized) / 2 - table["alone", ""],
            }
            drawn = stats.resample(pd.DataFrame(parts), draws)
            for part, values in drawn.items():
                found = stats.summary(values, len(parts) * len(kinds))
                out.append(
                    name
                    | {"kind": kind, "part": part}
                    | found
                    | {"verdict": stats.verdict(found), "n": stats.count(table)}
                )
    return pd.DataFrame(
        out,
        columns=[
            "run",
            "model",
            "kind",
            "part",
            "mean",
            "ci_low",
            "ci_high",
            "wide_low",
            "wide_high",
            "verdict",
            "n",
        ],
    )


def accuracy(records: pd.DataFrame, draws: int = 2000) -> pd.DataFrame:
    """Is the second turn answered worse? One row a run, model, kind and kind of the first question:
    alone, second (accuracies), mean, ci_low, ci_high (second minus alone, paired by item),
    parse_errors (share of second turns), n.
    """
    rows, out = split(records), []
    for name, own in _models(rows):
        for (kind, first), later in own[(own.turn == 2) & (own.tags == "kept")].groupby(
            ["kind", "first"], sort=False
        ):
            seeds = later.groupby(["benchmark", "item_id"]).train_seed.nunique()
            asked = seeds[seeds == own.train_seed.nunique()].index
            sides = [
                side[pd.MultiIndex.from_frame(side[["benchmark", "item_id"]]).isin(asked)]
                for side in (later, own[own.turn == 1])
            ]
            means = [stats.mean_interval(side, draws=1)["mean"] for side in sides]
            out.append(
                name
                | {"kind": kind, "first": first, "alone": means[1], "second": means[0]}
                | stats.difference(*sides, draws=draws)
                | {"parse_errors": float(later.parse_error.notna().mean())}
            )
    return pd.DataFrame(out)


def ledger_number(
    records: pd.DataFrame | None,
    run: str,
    artefact: str,
    column: str,
    model: str = "personadual",
    draws: int = 1000,
) -> tuple[Found, str]:
    """(the number of Table 3 or of the two alignment rates as the ledger wants it, a remark):
    artefact table3 | multi_turn.

    Raises Missing with the reason where there are no dialogues of the model in `run`, or nothing
    was so answered.
    """
    own = None if records is None else records[(records.run == run) & (records.model == model)]
    if own is None or own.empty:
        raise Missing(f"no two-turn dialogues of model {model} in run {run}")
    came, mode = ORDERS["general first" if artefact == "table3" else column]
    if artefact == "table3":
        own = own[own.benchmark == NAMES[column]]
        if own.empty:
            raise Missing(f"no two-turn dialogues of model {model} in run {run} on {NAMES[column]}")
    items = _cases(split(own), ("before", came), mode, 2, "sampled")
    several = items.again.notna().all()
    drawn = stats.resample(items if several else items.drop(columns="again"), draws)
    if not drawn.cases[0]:
        raise Missing(
            f"no question is answered in {mode} mode alone and after a turn in {came} mode"
        )
    rate = drawn.aligned / drawn.cases
    value = 1 - rate if artefact == "table3" else rate
    remark = f"two runs alone {'differ' if artefact == 'table3' else 'agree'} in " + (
        f"{abs((artefact == 'table3') - drawn.again[0] / drawn.cases[0]):.1%} of these cases"
        if several
        else "an unknown share: one run"
    )
    counted = items[items.cases > 0].groupby("benchmark", sort=False)
    return Found(
        round(float(value[0]), 12),
        value[1:].dropna().to_numpy(),
        {name: stats.count(part) for name, part in counted},
        int(own.train_seed.nunique()),
        int(own[own.turn == 1].seed.nunique()),
    ), remark


def dialogue(
    records: pd.DataFrame, item_id: str, model: str, first: str = "objective"
) -> pd.DataFrame:
    """For browsing: the answers to one question alone and after questions of the kind `first`, one
    row an answer.
    """
    rows = split(records)
    rows = rows[(rows.item_id == item_id) & (rows.model == model) & rows["first"].isin(["", first])]
    return rows.sort_values(["turn", "tags", "seed"])[
        ["turn", "tags", "before", "seed", "p_personalized", "mode", "completion", "prompt"]
    ]
