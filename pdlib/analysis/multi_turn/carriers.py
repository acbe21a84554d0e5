"""What carries a shift of the mode: the tag of the earlier answer, or its content."""

import pandas as pd

from pdlib.analysis import stats
from pdlib.analysis.multi_turn.answers import KINDS, MODES, by_model, split
from pdlib.evaluate import dialogues

USUAL = dict(zip(KINDS, MODES, strict=True))  # kind of the first question -> its usual mode
OTHER = dict(zip(MODES, reversed(MODES), strict=True))
TAGS = ("general", "none", "personalized")  # shown with the first answer
COLUMNS = ["run", "model", "kind", "content", "tag", "mean", "ci_low", "ci_high", "n"]
CARRIERS = [
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
]


def tags(records: pd.DataFrame, draws: int = 2000) -> pd.DataFrame:
    """P(personalised) in the second turn by what the first answer says and which tag it is given.

    One row per run, model, kind of the second question, kind of the first (content; "alone": none
    came before) and tag (general, none, personalized). An objective first question was answered in
    the general mode, a personal one in the personalised: the other tag is a swapped one. Only
    questions that were asked after both, with every tag (n), count; a kind without any has no row.
    """
    rows = []
    for names, answers in by_model(split(records)):
        for kind, table in _tables(answers).items():
            drawn = stats.resample(table, draws)
            for content, tag in table.columns:
                rows.append(
                    names
                    | {"kind": kind, "content": content, "tag": tag}
                    | stats.summary(drawn[content, tag])
                    | {"n": stats.count(table)}
                )
    return pd.DataFrame(rows, columns=COLUMNS)


def carriers(records: pd.DataFrame, draws: int = 2000) -> pd.DataFrame:
    """Does the tag or the content carry the shift? Changes of P(personalised) in the second turn.

    By run, model and its kind. part: "tag", shown as personalised minus as general, the same
    content; "content", a personal first turn minus an objective one, under the same tag; "turn",
    either first turn as it was minus none. mean, ci_low, ci_high, verdict over the model's rows, n:
    as in `tags`.
    """
    rows = []
    for names, answers in by_model(split(records)):
        tables = _tables(answers)
        for kind, table in tables.items():
            o, p = table["objective"], table["personalized"]
            changes = pd.DataFrame(
                {
                    "tag": (o.personalized - o.general + p.personalized - p.general) / 2,
                    "content": (p.general - o.general + p.personalized - o.personalized) / 2,
                    "turn": (o.general + p.personalized) / 2 - table["alone", ""],
                }
            )
            drawn = stats.resample(changes, draws)
            for part in changes:
                change = stats.summary(drawn[part], len(changes.columns) * len(tables))
                rows.append(
                    names
                    | {"kind": kind, "part": part}
                    | change
                    | {"verdict": stats.verdict(change), "n": stats.count(table)}
                )
    return pd.DataFrame(rows, columns=CARRIERS)


def _tables(answers: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Kind of the second question -> `_by_tag`; kinds without such questions are left out."""
    tables = {kind: _by_tag(rows) for kind, rows in answers.groupby("kind", sort=False)}
    return {kind: table for kind, table in tables.items() if len(table)}


def _by_tag(answers: pd.DataFrame) -> pd.DataFrame:
    """Mean P(personalised) of each item: alone, and by (kind of the first question, tag shown).

    Of the second turn, and only after first turns that were answered in their own kind's usual
    mode; of items that have all of them with every training seed.
    """
    alone = answers[answers.turn == 1].groupby(stats.ITEM).p_personalized.mean()
    second = answers[(answers.turn == 2) & (answers["first"].map(USUAL) == answers.before)]
    shown = second.before.where(second.tags == "kept", second.before.map(OTHER))
    shown = shown.where(second.tags != "removed", "none")
    dialogue = [*stats.ITEM, "first", "seed"]
    has_every_tag = second.groupby(dialogue).tags.transform("nunique") == len(dialogues.TAGS)
    table = second.assign(shown=shown)[has_every_tag].pivot_table(
        index=stats.ITEM, columns=["first", "shown"], values="p_personalized"
    )
    table[("alone", "")] = alone
    columns = [(kind, tag) for kind in KINDS for tag in TAGS] + [("alone", "")]
    table = table.reindex(columns=pd.MultiIndex.from_tuples(columns)).dropna()
    n_seeds = table.groupby(level=["benchmark", "item_id"]).transform("size")
    return table[n_seeds == answers.train_seed.nunique()]
