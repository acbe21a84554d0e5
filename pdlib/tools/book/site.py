"""From a run's folder to a checked site: lay the sources out, let Sphinx write, check, move into
place.
"""

import os
import shutil
from pathlib import Path

from pdlib import config
from pdlib.run import stages
from pdlib.tools.book import notebooks, pages
from pdlib.tools.book.check import faults

HERE = Path(__file__).parent
ROOT = stages.ROOT
# The sources mirror the repository, so that a link that works there works in the book; what is no
# page becomes a download.
MIRRORED = (
    "README.md",
    "RESULTS.md",
    "LICENSE",
    "Makefile",
    "pyproject.toml",
    "environment.yml",
    "guides",
    "pdlib",
    "tests",
    "outputs/reference",
)


def lay_out(cfg: config.Config, folder: Path) -> str:
    """Write the book's sources to `folder`; returns a sentence that says which results are shown.

    Raises ValueError as `notebooks.prepare` does.
    """
    for name in MIRRORED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*")
            )
        elif (ROOT / name).is_file():
            shutil.copy(ROOT / name, folder / name)
    shown = pages.write_all(cfg, folder, notebooks.write_all(cfg, folder))
    for page in [
        folder / "README.md",
        folder / "RESULTS.md",
        folder / "index.md",
        *(folder / "guides").glob("*.md"),
    ]:
        page.write_text(
            notebooks.linked(page.read_text(encoding="utf-8"), page.parent, folder),
            encoding="utf-8",
        )
    return shown


def build(cfg: config.Config, target: Path | None = None) -> Path:
    """Build the book of `cfg`'s run in `target` (default: outputs/<profile>/book); returns its
    first page.

    Notebooks that the run has executed come with their results, the others without, and say so.
    Raises ValueError when a notebook is too large or has a figure that nothing describes, when
    Sphinx has a warning (a link without a target, say), or when `faults` finds any.
    """
    from sphinx.cmd.build import build_main

    target = target or cfg.folder() / "book"
    work = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        print(lay_out(cfg, work / "source"), flush=True)
        options = [
            "-q",
            "-W",
            "--keep-going",
            "-b",
            "html",
            "-c",
            str(HERE),
            "-d",
            str(work / "doctrees"),
        ]
        if build_main([*options, str(work / "source"), str(work / "html")]):
            raise ValueError(
                "the book has the faults that Sphinx printed above; mend the pages that it names"
            )
        if (report := cfg.folder() / "report.html").is_file():
            shutil.copy(report, work / "html")
        if found := faults(work / "html"):
            raise ValueError("the book has faults:\n" + "\n".join(found))
        shutil.rmtree(target, ignore_errors=True)
        os.replace(work / "html", target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target / "index.html"
