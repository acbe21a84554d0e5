"""From a run's folder to a checked site.

The sources are laid out, Sphinx writes the pages, `check` reads them, and then they are moved into
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
# The book's sources mirror the repository, so that a link that works there works in the book;
# files that are no pages become downloads.
MIRRORED = (
    "README.md",
    "RESULTS.md",
    "CONTRIBUTING.md",
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
        source, target = stages.ROOT / name, folder / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        elif source.is_file():
            shutil.copy(source, target)
    results_shown = pages.write_all(cfg, folder, notebooks.write_all(cfg, folder))
    written = [folder / f"{name}.md" for name in ("README", "RESULTS", "CONTRIBUTING", "index")]
    for page in [*written, *(folder / "guides").glob("*.md")]:
        text = notebooks.linked(page.read_text(encoding="utf-8"), page.parent, folder)
        page.write_text(text, encoding="utf-8")
    return results_shown


def build(cfg: config.Config, target: Path | None = None) -> Path:
    """Build the book of `cfg`'s run in `target`; returns its first page.

    By default the target is outputs/<profile>/book. Notebooks that the run has executed come with
    their results; the others come without, and say so. Raises ValueError when a notebook is too
    large or has a figure that nothing describes, when Sphinx has a warning (a link without a
    target, say), or when `faults` finds any.
    """
    from sphinx.cmd.build import build_main

    target = target or cfg.folder() / "book"
    work = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        print(lay_out(cfg, work / "source"), flush=True)
        options = ["-q", "-W", "--keep-going", "-b", "html"]
        folders = ["-c", str(HERE), "-d", str(work / "doctrees")]
        if build_main([*options, *folders, str(work / "source"), str(work / "html")]):
            raise ValueError(
                "the book has the faults that Sphinx printed above; mend the pages that it names"
            )
        report = cfg.folder() / "report.html"
        if report.is_file():
            shutil.copy(report, work / "html")
        lines = faults(work / "html")
        if lines:
            raise ValueError("the book has faults:\n" + "\n".join(lines))
        shutil.rmtree(target, ignore_errors=True)
        os.replace(work / "html", target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target / "index.html"
