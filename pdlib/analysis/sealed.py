"""The sealed test: questions that nobody has looked at while the world, the models and the settings
were made.

`make sealed` asks the finished systems the questions of the pocket world's split "sealed" and
appends what it found to outputs/reference/sealed.csv, with the date and the revision of the code.
It does so once for a revision: whoever could ask again and again would choose the revision that
looks best. Nothing else reads that split or that file.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd

from pdlib import config, dataset, evaluate, models, systems
from pdlib.analysis import cells, stats
from pdlib.run import stages

FILE = stages.REFERENCE / "sealed.csv"
AGAINST = (
    "cot",
    "sft_only",
    "no_dual_advantage",
    "no_dual_advantage_no_prefix_sampling",
    "g_sft_rl",
    "p_sft_rl",
)
SYSTEMS = ("backbone", "personadual", *AGAINST)
COLUMNS = [
    "date",
    "revision",
    "processor",
    "world",
    "seeds",
    "claim",
    "mean",
    "ci_low",
    "ci_high",
    "n",
]


def open_once(cfg: config.Config, target: Path = FILE) -> pd.DataFrame:
    """Ask the finished systems of `cfg` the sealed questions; append the rows to `target` and
    return them.

    ValueError where the data are real (they have no sealed split), a system has not been trained,
    the library is not as committed, or `target` holds rows of this revision already.
    """
    if cfg.data_dir != "pocket":
        raise ValueError(
            f"data_dir is {cfg.data_dir!r}: only the pocket world has a sealed split; a real benchmark has its own"
        )
    revision = _revision()
    if target.is_file() and revision in set(pd.read_csv(target).revision):
        raise ValueError(
            f"the sealed questions have been asked at revision {revision[:12]}; its rows are in {target}"
        )
    folders = _finished(cfg)
    items, pool = dataset.sealed_items(cfg)
    asked = evaluate.ask_all(items, pool)
    frames = []
    for (name, seed), folder in folders.items():
        print(f"asking {name}, training seed {seed}", flush=True)
        model, tokenizer = models.load(folder, cfg.precision)
        frames.append(
            evaluate.answer(
                model,
                tokenizer,
                asked,
                run=cfg.run,
                model_name=name,
                train_seed=seed,
                two_modes=systems.of(name).two_modes,
                **evaluate.sampling(cfg),
            )
        )
    found = summary(pd.concat(frames, ignore_index=True), cfg.run)
    head = {
        "date": stages.now()[:10],
        "revision": revision,
        "processor": stages.hardware()["cpu"],
        "world": f"fit={cfg.fit}",
        "seeds": cfg.train_seeds,
    }
    rows = found.assign(**head)[COLUMNS].round(4)
    target.parent.mkdir(parents=True, exist_ok=True)
    rows.to_csv(target, mode="a", header=not target.is_file(), index=False)
    return rows


def _revision() -> str:
    """The commit of this library; ValueError where there is none, or files differ from it."""
    found = stages.revision()
    if not found["revision"]:
        raise ValueError(
            f"the sealed test names the revision that it tested, and {found['reason']}; run it in a clone of the repository"
        )
    if not found["clean"]:
        raise ValueError(
            "files differ from the last commit (see git status): commit them first, since the revision names what was tested"
        )
    return found["revision"]


def _finished(cfg: config.Config) -> dict[tuple[str, int], Path]:
    """(system, training seed) -> its model's folder; ValueError with the names of those that have
    not been trained.
    """
    folders, missing = {}, []
    for name in SYSTEMS:
        for seed in systems.seeds(cfg):
            try:
                with stages.looking():
                    folders[name, seed] = systems.fit(cfg, name, seed)
            except stages.NotThere:
                missing.append(f"{name}-{seed}")
    if missing:
        raise ValueError(
            f"not trained with these settings: {', '.join(missing)}; run `make reproduce` first, with the same PROFILE, "
            "SEEDS and SET"
        )
    return folders


def summary(records: pd.DataFrame, run: str) -> pd.DataFrame:
    """claim, mean, ci_low, ci_high, n: accuracy of each system in each block, and PersonaDual minus
    each of AGAINST.

    Intervals cover items, and training seeds where there are several, see `stats`.
    """
    table, rows = cells.Cells(records), []
    blocks = {
        "objective none": (cells.OBJECTIVE, "none"),
        **{f"objective {c}": (cells.OBJECTIVE, c) for c in ("unaligned", "aligned")},
        "personalised": (cells.PERSONALIZED, "aligned"),
    }

    def add(claim, terms):
        rows.append({"claim": claim} | table.sum(terms).row())

    def cell(model, block):
        benchmarks, condition = blocks[block]
        return cells.Cell(run, model, table.held(run, benchmarks), condition)

    for model in SYSTEMS:
        for block in blocks:
            add(f"{cells.NAMES[model]}: {block}", [(1, cell(model, block))])
    three = list(blocks)[1:]
    for model in AGAINST:
        for block in three:
            add(
                f"PersonaDual - {cells.NAMES[model]}: {block}",
                [(1, cell("personadual", block)), (-1, cell(model, block))],
            )
        add(
            f"PersonaDual - {cells.NAMES[model]}: {stats.MEAN}",
            [
                (weight / 3, cell(name, block))
                for block in three
                for weight, name in ((1, "personadual"), (-1, model))
            ],
        )
    return pd.DataFrame(rows)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="pocket")
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="the settings that the systems were trained with",
    )
    asked = parser.parse_args(arguments)
    try:
        print(
            open_once(config.load(asked.profile, **config.pairs(asked.set))).to_string(index=False)
        )
    except ValueError as problem:
        sys.exit(f"error: {problem}")


if __name__ == "__main__":
    main()
