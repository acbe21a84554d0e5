"""Execute notebooks with papermill.

A notebook is executed to a temporary file, which goes into place on success, and is skipped when
nothing changed.

`python -m pdlib.workbook --profile pocket [--notebook 03_sft] [--set name=value ...] [--answers]`
"""

import hashlib
import itertools
import os
import sys
import time
from functools import partial
from pathlib import Path

import nbformat

from pdlib import config
from pdlib.run import committed, stages
from pdlib.workbook import exercises

LAST = "11_report"  # reads what all others left
# train models of their own
WHEN, DIALOGUES, DYNAMIC = "05c_when_it_pays", "10_multi_turn", "12_dynamic_profiles"
ASKING = "15_ask_back"
# within the run's folder, of a run side by side: when it began, minutes of training and in all
TIMES = Path("executed", "times.json")
# set for the kernels of executed notebooks: nobody is there to move a slider
STATIC = "PDLIB_STATIC"
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
    "05c_when_it_pays": [],
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
    "14_your_modes": [],
    "15_ask_back": [],
    LAST: [],
}


def chosen(cfg: config.Config) -> list[str]:
    """The notebooks of the setting `notebooks`, in order; ["all"]: all.

    ValueError for one that does not exist.
    """
    names = config.listed(cfg, "notebooks", NOTEBOOKS)
    return [name for name in NOTEBOOKS if name in names]


def products(name: str, cfg: config.Config) -> list[Path]:
    """The manifests of the stages that notebook `name` leaves finished.

    In NOTEBOOKS, {every} stands for each backbone, {seed} for each seed, {trained} and {records}
    for the seed of a backbone that is trained here.
    """
    from pdlib.train import backbone  # takes seconds

    seeds = range(cfg.seed, cfg.seed + cfg.train_seeds)
    folders = set()
    for seed, name_of_backbone in itertools.product(seeds, cfg.backbones):
        is_trained = backbone.is_trained(name_of_backbone)
        names = {
            "run": config.file_name(cfg.backbone),
            "seed": seed,
            "every": config.file_name(name_of_backbone),
            "trained": f"-{seed}" if is_trained else "",
            "records": f".{seed}" if is_trained else "",
        }
        folders |= {pattern.format(**names) for pattern in NOTEBOOKS[name]}
    return [cfg.folder() / folder / stages.MANIFEST for folder in sorted(folders)]


def source(name: str) -> Path:
    """The notebook of that name; ValueError for an unknown one."""
    path = config.ROOT / "notebooks" / f"{name}.ipynb"
    if name not in NOTEBOOKS or not path.is_file():
        raise ValueError(f"unknown notebook {name!r}, expected one of {', '.join(NOTEBOOKS)}")
    return path


def _hash(*files: Path) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]


def _library_hash() -> str:
    files = (config.ROOT / "pdlib").rglob("*")
    return _hash(*sorted(path for path in files if path.suffix in (".py", ".yaml")))


def check_parameters(path: Path, given: dict) -> None:
    """ValueError for a parameter that the notebook does not have; papermill would only warn."""
    import papermill  # takes seconds

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
    settings = {
        "source": _hash(path),
        "library": _library_hash(),
        "config": cfg.subset(""),
        "parameters": parameters,
    }
    if answers:
        settings["answers"] = True
    stages.once(
        cfg.run_folder() / "executed" / name,
        lambda _: _execute(path, target, parameters, answers),
        settings=settings,
        products=[target, *products(name, cfg)],
    )
    return target


def _execute(path: Path, target: Path, parameters: dict, answers: bool) -> None:
    """Execute the notebook `path` to `target`, in a kernel that shows no widgets."""
    import papermill  # takes seconds

    check_parameters(path, parameters)
    os.environ[STATIC] = "1"  # the kernel inherits it
    temporary = target.with_name(f".{target.stem}.{os.getpid()}.ipynb")
    target.parent.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.read(path, as_version=4)
    try:
        papermill.execute_notebook(
            exercises.with_answers(notebook) if answers else notebook,
            str(temporary),
            parameters=parameters,
            kernel_name="python3",
            cwd=str(path.parent),
            progress_bar=True,
            log_output=True,
        )
    except papermill.exceptions.PapermillExecutionError:
        failed = target.with_name(f"{target.stem}.failed.ipynb")
        os.replace(temporary, failed)
        where = ", ".join(filter(None, [target.stem, exercises.failed_answer(failed)]))
        print(f"{where} failed; its traceback is in {failed}", file=sys.stderr)
        raise
    os.replace(temporary, target)


def _side_by_side(cfg: config.Config, answers: bool) -> float | None:
    """What notebooks by themselves would train one after another, then all notebooks but the last.

    Returns the minutes of the training, None where there was none.
    """
    from pdlib import systems  # takes seconds
    from pdlib.analysis.asking_back import experiments as asking
    from pdlib.analysis.when import experiments
    from pdlib.rlpa import evaluate
    from pdlib.run import parallel

    print("== training", flush=True)
    start = time.time()
    names = chosen(cfg)
    profiles = evaluate.tasks(cfg) if DYNAMIC in names else []
    # in front: the longest training, lest it run alone at the end
    dialogues = ["sft_only_dialogues"] if DIALOGUES in names else []
    trainings = systems.tasks(cfg, [*dialogues, *systems.everything(cfg)])
    cells = experiments.tasks(cfg) if WHEN in names else []
    cells += asking.tasks(cfg) if ASKING in names else []
    tasks = {task.label: task for task in (*profiles, *trainings, *cells)}  # each once
    n_trained = parallel.run(cfg, list(tasks.values()))
    minutes = (time.time() - start) / 60
    print("== notebooks", flush=True)
    flags = ("--answers",) if answers else ()
    notebooks = [
        parallel.Task(
            name,
            "pdlib.workbook",
            ("--notebook", name, *flags),
            partial(run, name, cfg, answers=answers),
        )
        for name in names
        if name != LAST
    ]
    parallel.run(cfg, notebooks)
    return minutes if n_trained else None


def _run_all(cfg: config.Config, notebook: str | None, answers: bool) -> None:
    """Run `notebook`, or without one all that the config has, and say what was done."""
    began, start = stages.now(), time.time()
    names = [notebook] if notebook else chosen(cfg)
    others = [] if notebook else [name for name in NOTEBOOKS if name not in names]
    is_parallel = not notebook and cfg.workers != 1
    training = _side_by_side(cfg, answers) if is_parallel else None
    if others:
        print(
            f"not run by profile {cfg.profile}: {', '.join(others)}; "
            'SET="notebooks=[all]" runs them, too'
        )
    for name in names:
        print(f"== {name}", flush=True)
        run(name, cfg, answers=answers)
    minutes = (time.time() - start) / 60
    if training:
        times = {"began": began, "training": round(training, 2), "minutes": round(minutes, 2)}
        stages.write_json(cfg.run_folder() / TIMES, times)
    print(f"done in {minutes:.1f} minutes: {cfg.folder()}/report.html")
    folder = committed.FOLDERS.get(cfg.profile)
    if note := committed.other_processor(folder) if folder else "":
        print(f"note: {note}")


def main(arguments: list[str] | None = None) -> None:
    """Run notebooks as the command line says; what is wrong with it is told without a traceback."""
    parser = config.command_line(__doc__.splitlines()[0])
    parser.add_argument("--notebook", help="only this one; its inputs must exist")
    parser.add_argument(
        "--answers", action="store_true", help="run the answers of the exercises, too"
    )
    given = parser.parse_args(arguments)
    try:
        _run_all(config.from_arguments(given), given.notebook, given.answers)
    except (ValueError, RuntimeError) as problem:
        sys.exit(f"error: {problem}")
