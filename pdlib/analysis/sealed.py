"""The sealed test: questions nobody looked at while world, models and settings were made.

`make sealed` asks the finished systems the questions of the pocket world's split "sealed" and
appends what they answer to outputs/reference/sealed.csv, with the date and the revision of the
code. It does so once for a revision: whoever could ask again and again would choose the revision
that looks best. Nothing else reads that split or that file.
"""

import sys
from pathlib import Path

import pandas as pd

from pdlib import config, dataset, evaluate, models, systems
from pdlib.analysis import stats
from pdlib.analysis.cells import Cells
from pdlib.paper import catalogue
from pdlib.run import stages

FILE = stages.REFERENCE / "sealed.csv"
AGAINST = ("cot", *catalogue.ABLATIONS, "g_sft_rl", "p_sft_rl")
SYSTEMS = ("backbone", "personadual", *AGAINST)
HEAD = ["date", "revision", "processor", "world", "seeds"]
COLUMNS = [*HEAD, "claim", "mean", "ci_low", "ci_high", "n"]


def open_once(cfg: config.Config, target: Path = FILE) -> pd.DataFrame:
    """Ask the finished systems of `cfg` the sealed questions; append the rows to `target`.

    Returns the rows. ValueError where the data are real (they have no sealed split), a system has
    not been trained, the library is not as committed, or `target` holds rows of this revision
    already.
    """
    if cfg.data_dir != "pocket":
        raise ValueError(
            f"data_dir is {cfg.data_dir!r}: only the pocket world has a sealed split; "
            "a real benchmark has its own"
        )
    revision = _revision()
    if target.is_file() and revision in set(pd.read_csv(target).revision):
        raise ValueError(
            f"the sealed questions have been asked at revision {revision[:12]}; "
            f"its rows are in {target}"
        )
    folders = _finished(cfg)
    questions = evaluate.ask_all(*dataset.sealed_items(cfg))
    answers = []
    for (name, seed), folder in folders.items():
        print(f"asking {name}, training seed {seed}", flush=True)
        model, tokenizer = models.load(folder, cfg.precision)
        answers.append(
            evaluate.answer(
                model,
                tokenizer,
                questions,
                run=cfg.run,
                model_name=name,
                train_seed=seed,
                mode_set=cfg.mode_set if catalogue.of(name).two_modes else None,
                **evaluate.sampling(cfg),
            )
        )
    rows = summary(pd.concat(answers, ignore_index=True), cfg.run).assign(
        date=stages.now()[:10],
        revision=revision,
        processor=stages.hardware()["cpu"],
        world=f"fit={cfg.fit}",
        seeds=cfg.train_seeds,
    )
    rows = rows[COLUMNS].round(4)
    target.parent.mkdir(parents=True, exist_ok=True)
    rows.to_csv(target, mode="a", header=not target.is_file(), index=False)
    return rows


def _revision() -> str:
    """The commit of this library; ValueError where there is none, or files differ from it."""
    revision = stages.revision()
    if not revision["revision"]:
        raise ValueError(
            "the sealed test names the revision that it tested, and "
            f"{revision['reason']}; run it in a clone of the repository"
        )
    if not revision["clean"]:
        raise ValueError(
            "files differ from the last commit (see git status): commit them first, since the "
            "revision names what was tested"
        )
    return revision["revision"]


def _finished(cfg: config.Config) -> dict[tuple[str, int], Path]:
    """(system, training seed) -> its model's folder; ValueError with the names of the untrained."""
    folders, missing = {}, []
    for name in SYSTEMS:
        for seed in systems.seeds(cfg):
            try:
                with stages.without_building():
                    folders[name, seed] = systems.fit(cfg, name, seed)
            except stages.NotBuiltError:
                missing.append(f"{name}-{seed}")
    if missing:
        raise ValueError(
            f"not trained with these settings: {', '.join(missing)}; run `make reproduce` first, "
            "with the same PROFILE, SEEDS and SET"
        )
    return folders


def summary(records: pd.DataFrame, run: str) -> pd.DataFrame:
    """Accuracy of each system in each block, and PersonaDual minus each of AGAINST.

    One row per claim: claim, mean, ci_low, ci_high, n. Intervals cover items, and training seeds
    where there are several, see `stats`.
    """
    cells, claims = Cells(records), []
    for model in SYSTEMS:
        for block, where in stats.AVERAGES.items():
            level = [(1, cells.average(run, model, *where))]
            claims.append((f"{catalogue.label(model)}: {block}", level))
    for model in AGAINST:
        lead, mean = f"PersonaDual - {catalogue.label(model)}", []
        for block, where in stats.BLOCKS.items():
            ours = cells.average(run, "personadual", *where)
            rival = cells.average(run, model, *where)
            claims.append((f"{lead}: {block}", [(1, ours), (-1, rival)]))
            mean += [(1 / 3, ours), (-1 / 3, rival)]
        claims.append((f"{lead}: {stats.MEAN}", mean))
    return pd.DataFrame([{"claim": claim} | cells.sum(terms).row() for claim, terms in claims])


def main(arguments: list[str] | None = None) -> None:
    """The command behind `make sealed`."""
    parsed = config.command_line(__doc__.splitlines()[0]).parse_args(arguments)
    try:
        print(open_once(config.from_arguments(parsed)).to_string(index=False))
    except ValueError as problem:
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    main()
