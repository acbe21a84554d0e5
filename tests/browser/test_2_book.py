"""The book in a browser: built from the smoke run, every page without an error, every link with a
target, search, light and dark.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from pdlib import config
from pdlib.tools import book
from pdlib.workbook import runner

pytest.importorskip("sphinx", reason="the book's tool is not installed: pip install '.[book]'")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def site(output):
    """The book of the smoke run; after the tests of JupyterLab its models are there, and papermill
    only reads them.
    """
    command = [
        sys.executable,
        "-m",
        "pdlib.workbook",
        "--profile",
        "smoke",
        "--set",
        f"output_dir={output}",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return book.build(config.load("smoke", output_dir=str(output))).parent


def test_every_page_loads_and_every_link_has_a_target(site, serve, watch):
    home = serve(site)
    watched = watch(home)
    page, links = watched.page, set()
    pages = [
        path.relative_to(site).as_posix()
        for path in site.rglob("*.html")
        if "_static" not in path.parts
    ]
    assert {f"notebooks/{name}.html" for name in runner.NOTEBOOKS} | {
        "report.html",
        "equations.html",
    } <= set(pages)
    for name in pages:
        page.goto(home + name, wait_until="load")
        pictures = page.locator("img").evaluate_all(
            "all => all.map(i => [i.src.slice(-60), i.alt.trim() !== '', i.naturalWidth > 0])"
        )
        assert [picture for picture in pictures if not all(picture)] == [], name
        links |= set(
            page.locator("a[href]").evaluate_all("all => all.map(a => a.href.split('#')[0])")
        )
        assert watched.wrong == [], name
    local = sorted(link for link in links if link.startswith(home))
    assert len(local) >= len(pages) - 3
    assert [link for link in local if not page.request.get(link).ok] == []
    assert book.faults(site) == []


def test_search_finds_a_word(site, serve, watch):
    home = serve(site)
    watched = watch(home)
    watched.page.goto(f"{home}search.html?q=telescopes")
    first = watched.page.locator("#search-results li a").first
    first.wait_for()
    first.click()
    watched.page.wait_for_url("**/04_dualgrpo_by_hand.html*")
    assert watched.wrong == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_accessible(scheme, site, serve, watch):
    """axe finds no breach of WCAG 2's levels A and AA: texts too faint, pictures without words,
    what only a mouse can reach.
    """
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="axe is not installed: pip install '.[browser]'",
    ).Axe()
    home, rules = serve(site), {"runOnly": ["wcag2a", "wcag2aa"], "resultTypes": ["violations"]}
    page = watch(home, scheme).page
    for name in (
        path.relative_to(site).as_posix()
        for path in site.rglob("*.html")
        if "_static" not in path.parts
    ):
        page.goto(home + name)
        found = axe.run(page, options=rules).response["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(scheme, site, serve, watch):
    home, other = serve(site), {"light": "dark", "dark": "light"}[scheme]
    watched = watch(home, scheme)
    page = watched.page
    for name in (
        "index",
        "equations",
        "figures",
        "RESULTS",
        "notebooks/04_dualgrpo_by_hand",
        "notebooks/06_evaluation",
    ):
        page.goto(f"{home}{name}.html")
        watched.shot(f"book_{name.split('/')[-1]}_{scheme}", full=True)
    ground = "() => getComputedStyle(document.body).backgroundColor"
    before = page.evaluate(ground)
    page.get_by_role("button", name="Color mode").click()
    page.get_by_role("button", name=other.title(), exact=True).click()
    assert (
        page.evaluate("() => document.documentElement.dataset.theme") == other
        and page.evaluate(ground) != before
    )
    assert watched.wrong == []


def test_without_a_run_the_book_has_the_figures_of_the_repository(tmp_path):
    page = book.build(config.load("pocket", output_dir=str(tmp_path)))
    assert "No notebook was run" in page.read_text(encoding="utf-8")
    assert "was not run for this book" in (
        page.parent / "notebooks" / "06_evaluation.html"
    ).read_text(encoding="utf-8")
    shown = {path.name for path in (page.parent / "_images").iterdir()}
    assert {path.name for path in (ROOT / "outputs" / "reference").glob("*.png")} <= shown
