"""Execute notebooks with papermill: to a temporary file first, into place on success, skipped when
nothing changed.

`python -m pdlib.workbook --profile pocket [--notebook 03_sft] [--set name=value ...] [--answers]`
"""

import argparse
import copy
import hashlib
import itertools
import json
import os
import re
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pdlib import config
from pdlib.run import stages

LAST = "11_report"  # reads what all others left
DIALOGUES, DYNAMIC = "10_multi_turn", "12_dynamic_profiles"  # train models of their own
TIMES = Path(
    "executed", "times.json"
)  # within the run's folder, of a run side by side: when it began, minutes of training and in all
STATIC = (
    "PDLIB_STATIC"  # set for the kernels of executed notebooks: nobody is there to move a slider
)
# in order -> the stage folders (within outputs/<profile>) that must exist once it has run
NOTEBOOKS = {
    "00_start_here": [],
    "01_persona_interference": [
        "data-test",
        "backbone-{every}{trained}",
        "evaluation/{every}.backbone{records}",
    ],
    "02_dataset_construction": ["{run}/data-{seed}", "data-rl-{seed}"],
    "03_sft": ["{run}/sft_only-{seed}"],
    "04_dualgrpo_by_hand": [],
    "05_dualgrpo_training": ["{run}/personadual-{seed}"],
    "05b_advantage_laboratory": [],
    "06_evaluation": ["evaluation/{run}.sft_only.{seed}", "evaluation/{run}.personadual.{seed}"],
    "06b_other_backbones": [],
    "07_ablations": ["evaluation/{run}.no_dual_advantage.{seed}"],
    "08_attention_heatmap": [],
    "09_lexical_analysis": [],
    "10_multi_turn": [
        "dialogues/evaluation/{run}.personadual.{seed}",
        "dialogues/evaluation/{run}.sft_only_dialogues.{seed}",
    ],
    "12_dynamic_profiles": [
        "dynamic/evaluation/{run}.rlpa.{seed}",
        "dynamic/asked/evaluation/{run}.personadual.{seed}",
    ],
    "13_memories": [],
    LAST: [],
}


def chosen(cfg: config.Config) -> list[str]:
    """The notebooks of the setting `notebooks`, in order; ["all"]: all. ValueError for one that
    there is not.
    """
    wanted = config.chosen(cfg, "notebooks", NOTEBOOKS)
    return [name for name in NOTEBOOKS if name in wanted]


def products(name: str, cfg: config.Config) -> list[Path]:
    """The manifests of the stages that notebook `name` leaves finished; {every} stands for each
    backbone, {seed} for each seed, {trained} and {records} for the seed of a backbone that is
    trained here.
    """
    from pdlib.train import backbone  # takes seconds

    places = {
        "run": [config.file_name(cfg.backbone)],
        "seed": list(range(cfg.seed, cfg.seed + cfg.train_seeds)),
    }
    filled = set()
    for run, seed, every in itertools.product(*places.values(), cfg.backbones):
        own = seed if backbone.is_trained(every) else None
        names = {
            "run": run,
            "seed": seed,
            "every": config.file_name(every),
            "trained": "" if own is None else f"-{own}",
            "records": "" if own is None else f".{own}",
        }
        filled |= {pattern.format(**names) for pattern in NOTEBOOKS[name]}
    return [cfg.folder() / stage / stages.MANIFEST for stage in sorted(filled)]


def source(name: str) -> Path:
    path = config.ROOT / "notebooks" / f"{name}.ipynb"
    if name not in NOTEBOOKS or not path.is_file():
        raise ValueError(f"unknown notebook {name!r}, expected one of {', '.join(NOTEBOOKS)}")
    return path


def _library_hash() -> str:
    files = sorted(p for p in (config.ROOT / "pdlib").rglob("*") if p.suffix in (".py", ".yaml"))
    return hashlib.sha256(b"".join(p.read_bytes() for p in files)).hexdigest()[:16]


@dataclass(frozen=True)
class Exercise:
    """One exercise of a notebook. code: the Python blocks of its answer, which run after the
    notebook's last cell; may be empty.
    """

    number: int
    difficulty: str
    minutes: int
    task: str
    answer: str

    @property
    def code(self) -> str:
        return "\n".join(
            re.findall(r"^```python\n(.*?)^```", self.answer, re.DOTALL | re.MULTILINE)
        ).rstrip()


def exercises(text: str) -> list[Exercise]:
    """The exercises in a notebook's markdown: `**1 (easy, 5 minutes).** task
    <details><summary>Answer</summary> answer </details>`.

    >>> exercises("**2 (hard, 9 minutes).** Why?\\n<details><summary>Answer</summary>So.</details>")[0].answer
    'So.'
    """
    pattern = r"\*\*(\d+) \((\w+), (\d+) minutes\)\.\*\*(.*?)<details><summary>Answer</summary>(.*?)</details>"
    return [
        Exercise(int(number), difficulty, int(minutes), task.strip(), answer.strip())
        for number, difficulty, minutes, task, answer in re.findall(pattern, text, re.DOTALL)
    ]


def text_of(notebook) -> str:
    """The markdown of a notebook, cell after cell."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def with_answers(notebook):
    """A copy of the notebook with the code of its exercises' answers after the last cell, a cell
    each, tagged `answer`.
    """
    import nbformat

    notebook = copy.deepcopy(notebook)
    notebook.cells += [
        nbformat.v4.new_code_cell(one.code, metadata={"tags": ["answer"], "exercise": one.number})
        for one in exercises(text_of(notebook))
        if one.code
    ]
    return notebook


def _where_it_failed(executed: Path) -> str:
    """ ", exercise 2" when the cell with the error is an answer, else nothing."""
    import nbformat

    failed = [
        cell
        for cell in nbformat.read(executed, as_version=4).cells
        if any(output.output_type == "error" for output in cell.get("outputs", []))
    ]
    return "".join(
        f", exercise {cell.metadata.exercise}: the answer"
        for cell in failed
        if "exercise" in cell.metadata
    )


def check_parameters(path: Path, given: dict) -> None:
    """Papermill only warns of a parameter a notebook does not have; here it is an error."""
    import papermill

    known = papermill.inspect_notebook(str(path))
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise ValueError(
            f"{path.name} has no parameter {', '.join(unknown)}; its parameters: {', '.join(known)}"
        )


def run(
    name: str, cfg: config.Config, parameters: dict | None = None, answers: bool = False
) -> Path:
    """Execute one notebook; the executed copy is outputs/<profile>/<run>/notebooks/<name>.ipynb.

    answers: after its last cell, the code of its exercises' answers. When a cell fails,
    `<name>.failed.ipynb` keeps the traceback, the last good copy stays, and the error is raised.
    """
    path = source(name)
    parameters = {"profile": cfg.profile, "overrides": cfg.overrides()} | (parameters or {})
    target = cfg.run_folder() / "notebooks" / f"{name}.ipynb"

    def build(folder: Path) -> None:
        check_parameters(path, parameters)
        import nbformat
        import papermill

        os.environ[STATIC] = "1"  # the kernel inherits it
        temporary = target.with_name(f".{name}.{os.getpid()}.ipynb")
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            notebook = nbformat.read(path, as_version=4)
            papermill.execute_notebook(
                with_answers(notebook) if answers else notebook,
                str(temporary),
                parameters=parameters,
                kernel_name="python3",
                cwd=str(path.parent),
                progress_bar=True,
                log_output=True,
            )
        except papermill.exceptions.PapermillExecutionError:
            failed = target.with_name(f"{name}.failed.ipynb")
            os.replace(temporary, failed)
            print(
                f"{name}{_where_it_failed(failed)} failed; its traceback is in {failed}",
                file=sys.stderr,
            )
            raise
        os.replace(temporary, target)

    settings = {
        "source": hashlib.sha256(path.read_bytes()).hexdigest()[:16],
        "library": _library_hash(),
        "config": cfg.subset(""),
        "parameters": parameters,
    } | ({"answers": True} if answers else {})
    stages.once(
        cfg.run_folder() / "executed" / name,
        build,
        settings=settings,
        products=[target, *products(name, cfg)],
    )
    return target


def _side_by_side(cfg: config.Config, answers: bool) -> float | None:
    """What notebooks by themselves would train one after another, then all notebooks but the last;
    returns the minutes of the training, None where there was none.
    """
    from pdlib import systems
    from pdlib.rlpa import evaluate
    from pdlib.run import parallel  # takes seconds

    print("== training", flush=True)
    started = time.time()
    names = chosen(cfg)
    profiles = evaluate.tasks(cfg) if DYNAMIC in names else []
    talks = (
        ["sft_only_dialogues"] if DIALOGUES in names else []
    )  # in front: the longest training, lest it run alone at the end
    trained = parallel.run(
        cfg, [*profiles, *systems.tasks(cfg, [*talks, *systems.everything(cfg)])]
    )
    took = (time.time() - started) / 60
    print("== notebooks", flush=True)
    given = ("--answers",) if answers else ()
    parallel.run(
        cfg,
        [
            parallel.Task(
                name,
                "pdlib.workbook",
                ("--notebook", name, *given),
                partial(run, name, cfg, answers=answers),
            )
            for name in names
            if name != LAST
        ],
    )
    return took if trained else None


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="pocket")
    parser.add_argument("--notebook", help="only this one; its inputs must exist")
    parser.add_argument(
        "--set",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="settings that differ from the profile's",
    )
    parser.add_argument("--overrides", type=json.loads, default={}, help="the same as JSON")
    parser.add_argument(
        "--answers", action="store_true", help="run the answers of the exercises, too"
    )
    args = parser.parse_args(arguments)
    try:
        cfg = config.load(args.profile, **(args.overrides | config.pairs(args.set)))
        began, started = stages.now(), time.time()
        training = None if args.notebook or cfg.workers == 1 else _side_by_side(cfg, args.answers)
        if not args.notebook and (left := [name for name in NOTEBOOKS if name not in chosen(cfg)]):
            print(
                f'not run by profile {cfg.profile}: {", ".join(left)}; SET="notebooks=[all]" runs them, too'
            )
        for name in [args.notebook] if args.notebook else chosen(cfg):
            print(f"== {name}", flush=True)
            run(name, cfg, answers=args.answers)
        took = (time.time() - started) / 60
        if training:
            stages.write_json(
                cfg.run_folder() / TIMES,
                {"began": began, "training": round(training, 2), "minutes": round(took, 2)},
            )
        print(f"done in {took:.1f} minutes: {cfg.folder()}/report.html")
        if (place := committed.PLACES.get(cfg.profile)) and (
            unlike := committed.other_processor(place)
        ):
            print(f"note: {unlike}")
    except (ValueError, RuntimeError) as problem:
        sys.exit(f"error: {problem}")
