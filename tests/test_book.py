"""The book's own work, without its tool: figures described, names linked, equations behind pages,
faults of a site found.
"""

import ast
import re
from pathlib import Path

import nbformat
import pytest

from pdlib import config, paper
from pdlib.tools.book import check, notebooks, pages
from pdlib.tools.book.site import lay_out
from pdlib.workbook import exercises, runner

ROOT = Path(__file__).resolve().parents[1]
PNG = {"image/png": "iVBORw0KGgo="}
every_notebook = pytest.mark.parametrize("name", runner.NOTEBOOKS)


def committed(name: str) -> nbformat.NotebookNode:
    return nbformat.read(runner.source(name), as_version=4)


def notebook(*cells: str, output: dict | None = None) -> nbformat.NotebookNode:
    """A notebook of code cells, the last one with an output."""
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    made.cells[-1].outputs = [nbformat.v4.new_output("display_data", output)] if output else []
    return made


# --- what figures show ---


@pytest.mark.parametrize("function", notebooks.figure_functions(), ids="-".join)
def test_every_figure_function_says_what_it_shows(function):
    assert len(notebooks.figure_text(function)) > 20


@pytest.mark.parametrize("function", notebooks.figure_functions(), ids="-".join)
def test_the_text_of_a_figure_does_not_explain_parameters(function):
    names = [argument.arg for argument in notebooks.figure_functions()[function].args.args]
    text = notebooks.figure_text(function)
    assert [name for name in names if re.search(rf"\b{name}: ", text)] == []


def test_a_text_is_the_summary_and_what_is_to_be_seen(monkeypatch):
    source = '''def f(table, by="word"):
    """Curves by `by`.

    Dots are
    means.

    table: of counts.
    """'''
    (function,) = ast.parse(source).body
    monkeypatch.setattr(notebooks, "figure_functions", lambda: {("plots", "f"): function})
    assert notebooks.figure_text(("plots", "f")) == "Curves by word. Dots are means."


@every_notebook
def test_every_saved_figure_is_drawn_by_a_function_that_says_what_it_shows(name):
    cells = notebooks.code(committed(name))
    saved = {
        node.value
        for cell in cells
        for node in ast.walk(ast.parse(cell.source))
        if isinstance(node, ast.Constant) and re.fullmatch(r"[\w-]+\.png", str(node.value))
    }
    assert saved <= notebooks.files(committed(name)).keys()


def test_the_text_names_what_the_call_sets():
    made = notebook("from pdlib import plots", 'figure = plots.training(log, "reward")', output=PNG)
    notebooks.describe(made, "made")
    said = made.cells[-1].metadata["mystnb"]["image"]["alt"]
    assert said.startswith("Left the curve of reward,") and "`" not in said
    assert notebooks.figure_text(("plots", "training")).startswith("Left the curve of loss,"), (
        "the function's default"
    )


def test_an_alias_of_an_earlier_cell_is_known_and_a_namesake_is_not():
    one, two, three = (
        drawn
        for _, drawn in notebooks.calls(
            notebook(
                "from pdlib.plots import attention as figures\nfrom pdlib.analysis import causes",
                "figures.swaps(x)",
                "causes.swaps(x)",
            ).cells
        )
    )
    assert (len(one), len(two), len(three)) == (0, 1, 0)


def test_a_figure_that_comes_with_more_is_known():
    ((_, drawn),) = notebooks.calls(
        notebook(
            "from pdlib.workbook import browse\ndef look(t): return browse.at_threshold(curve, t)"
        ).cells
    )
    assert list(drawn.values()) == [notebooks.figure_text(("browse", "at_threshold"))]


def test_figures_of_a_dict_are_named_by_its_keys():
    made = notebook(
        "from pdlib import plots",
        'drawn = {"late": plots.order(again), "table": 3}',
        'plots.save(f, "x.png")',
    )
    assert notebooks.files(made) == {"late.png": notebooks.figure_text(("plots", "order"))}


def test_a_figure_that_nothing_describes_is_refused():
    with pytest.raises(ValueError, match="made shows a figure that nothing describes.*plt.plot"):
        notebooks.describe(notebook("plt.plot([1, 2])", output=PNG), "made")


# --- links ---


def test_names_become_links():
    inside, guide = Path("b/notebooks"), Path("b/guides")
    assert (
        notebooks.linked("Next: **03_sft**.", inside, Path("b"))
        == "Next: **[03_sft](03_sft.ipynb)**."
    )
    assert (
        notebooks.linked("**05b_advantage_laboratory**", guide, Path("b"))
        == "**[05b_advantage_laboratory](../notebooks/05b_advantage_laboratory.ipynb)**"
    )
    assert (
        notebooks.linked("| 03_sft | why |", Path("b"), Path("b"))
        == "| [03_sft](notebooks/03_sft.ipynb) | why |"
    )
    assert (
        notebooks.linked("the tag, `modes.prefix_ids`", inside, Path("b"))
        == "the tag, [`modes.prefix_ids`](../code/pdlib.modes.prefix_ids.md)"
    )


@pytest.mark.parametrize(
    "text",
    [
        "`make notebook NB=03_sft`",
        "**[03_sft](03_sft.ipynb)**",
        "[`modes.prefix_ids`](x.md)",
        "03_sft",
    ],
)
def test_what_is_code_or_a_link_stays(text):
    assert notebooks.linked(text, Path("b/notebooks"), Path("b")) == text


def pages_with_links() -> dict[Path, str]:
    documents = [ROOT / "README.md", ROOT / "RESULTS.md", *sorted((ROOT / "guides").glob("*.md"))]
    texts = {path: path.read_text(encoding="utf-8") for path in documents}
    return texts | {
        runner.source(name): exercises.text_of(committed(name)) for name in runner.NOTEBOOKS
    }


def local_links(path: Path) -> list[str]:
    """The links of a page to files, without the parts behind "#"."""
    text = re.sub(r"(?s)```.*?```|`[^`]*`", "", pages_with_links()[path])
    return [
        target.split("#")[0]
        for target in re.findall(r"\]\(([^)\s]+)", text)
        if not re.match(r"[a-z]+:|#", target)
    ]


@pytest.mark.parametrize("path", pages_with_links(), ids=lambda path: path.stem)
def test_links_between_readme_guides_and_notebooks_have_targets(path):
    assert [target for target in local_links(path) if not (path.parent / target).exists()] == []


def test_what_readme_and_guides_link_to_is_among_the_sources_of_the_book(tmp_path):
    lay_out(config.load("pocket", output_dir=str(tmp_path / "no_run")), tmp_path / "book")
    for path in pages_with_links():
        at = tmp_path / "book" / path.relative_to(ROOT)
        assert [
            target for target in local_links(path) if not (at.parent / target).exists()
        ] == [], path.name


# --- notebooks as the book shows them ---


def executed(tmp_path: Path, made: nbformat.NotebookNode) -> Path:
    path = tmp_path / "executed.ipynb"
    nbformat.write(made, path)
    return path


def test_what_was_not_run_says_so(tmp_path):
    shown, state = notebooks.prepare("03_sft", tmp_path / "none.ipynb", tmp_path)
    assert state == "not run" and "was not run for this book" in shown.cells[1].source
    assert "[Eq. 3](../equations.md#eq-3)" in shown.cells[2].source


def test_a_run_that_is_older_than_the_notebook_says_so(tmp_path):
    made = committed("03_sft")
    _, state = notebooks.prepare("03_sft", executed(tmp_path, made), tmp_path)
    assert state == "run"
    made.cells[-2].source += "\n"
    notebooks.code(made)[-1].source = "earlier = True"
    shown, state = notebooks.prepare("03_sft", executed(tmp_path, made), tmp_path)
    assert state == "changed" and "an earlier version of this notebook" in shown.cells[1].source


def test_answers_that_a_run_added_are_no_change(tmp_path):
    made = committed("03_sft")
    made.cells.append(nbformat.v4.new_code_cell("answer = 42", metadata={"tags": ["answer"]}))
    assert notebooks.prepare("03_sft", executed(tmp_path, made), tmp_path)[1] == "run"


@pytest.mark.parametrize(
    "injected, kept",
    [
        ('# Parameters\nprofile = "pocket"\noverrides = {}', False),
        ('# Parameters\nprofile = "smoke"\noverrides = {}', True),
    ],
)
def test_parameters_that_papermill_repeats_are_left_out(tmp_path, injected, kept):
    made = committed("03_sft")
    made.cells.insert(
        2, nbformat.v4.new_code_cell(injected, metadata={"tags": ["injected-parameters"]})
    )
    shown, state = notebooks.prepare("03_sft", executed(tmp_path, made), tmp_path)
    assert state == "run" and (injected in [cell.source for cell in shown.cells]) is kept


def test_a_large_notebook_is_refused(tmp_path):
    made = committed("03_sft")
    made.cells[-1].source += " " * notebooks.MAX_BYTES
    with pytest.raises(ValueError, match="above 2,000,000; make its outputs smaller"):
        notebooks.prepare("03_sft", executed(tmp_path, made), tmp_path)


def test_source_code_in_an_output_takes_the_colours_of_the_page(tmp_path):
    made = committed("03_sft")
    notebooks.code(made)[-1].outputs = [
        nbformat.v4.new_output(
            "execute_result",
            {
                "text/plain": "def f():\n    pass\n",
                "text/html": '<style>x</style><div class="highlight">f</div>',
                "text/latex": "x",
            },
        )
    ]
    shown, _ = notebooks.prepare("03_sft", executed(tmp_path, made), tmp_path)
    assert notebooks.code(shown)[-1].outputs[0]["data"] == {
        "text/markdown": "```python\ndef f():\n    pass\n```"
    }


# --- pages by program ---


def test_every_equation_leads_to_its_function_and_its_lesson():
    page = pages.equations()
    for number, (function, name) in paper.EQUATIONS.items():
        part = page.split(f"## Eq. {number}\n")[1].split("\n## ")[0]
        assert (
            f"(code/{function}.md)" in part and f"(notebooks/{name}.ipynb)" in part and "$$" in part
        )


@pytest.mark.parametrize(
    "function", dict.fromkeys(function for function, _ in paper.EQUATIONS.values())
)
def test_the_source_page_shows_a_function_that_is_there_and_leads_back(function):
    page = pages.source_page(function)
    path, name = (
        re.search(r"literalinclude} \.\./(\S+)", page)[1],
        re.search(r":pyobject: (\w+)", page)[1],
    )
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in [
        node.name for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))
    ]
    assert all(
        f"#eq-{number})" in page
        for number, (other, _) in paper.EQUATIONS.items()
        if other == function
    )


def test_an_equation_without_formula_or_function_is_refused(monkeypatch):
    monkeypatch.setitem(paper.EQUATIONS, "9", ("pdlib.moon.phase", "03_sft"))
    with pytest.raises(ValueError, match="but paper.EQUATIONS 1, .*, 9; give both the same"):
        pages.equations()
    with pytest.raises(ValueError, match="names pdlib.moon.phase, but there is none"):
        pages.source_page("pdlib.moon.phase")
    with pytest.raises(ValueError, match="names pdlib.modes.phase, but there is none"):
        pages.source_page("pdlib.modes.phase")


def test_every_committed_figure_is_described():
    names = [path.name for path in (ROOT / "outputs" / "reference").glob("*.png")]
    assert sorted(pages.described_figures(names)) == sorted(names) and names
    assert pages.described_figures(["moon.png"]) == {}


def test_what_the_results_come_from_is_said():
    cfg = config.load("smoke")
    states, many = dict.fromkeys(runner.NOTEBOOKS, "run"), len(runner.NOTEBOOKS)
    assert f"{many} of {many}" in pages.results_shown(
        cfg, states
    ) and "numbers mean nothing" in pages.results_shown(cfg, states)
    mixed = pages.results_shown(
        config.load("pocket"), states | {"03_sft": "changed", "11_report": "not run"}
    )
    assert mixed.startswith(f"{many - 1} of {many}")
    assert "Changed since they ran: 03_sft." in mixed and mixed.endswith("Not run: 11_report.")
    assert "No notebook was run" in pages.results_shown(
        cfg, dict.fromkeys(runner.NOTEBOOKS, "not run")
    )


# --- faults of a site ---

GOOD = (
    '<img src="a.png" alt="a curve"><a href="#end">x</a><a href="b.html#top">y</a>'
    '<a href="https://arxiv.org/abs/1">z</a><p id="end">'
)


def site(tmp_path: Path, text: str) -> Path:
    (tmp_path / "index.html").write_text(text)
    (tmp_path / "b.html").write_text('<p id="top">')
    (tmp_path / "a.png").write_bytes(b"")
    return tmp_path


def test_a_good_site_has_no_faults(tmp_path):
    assert check.faults(site(tmp_path, GOOD)) == []


@pytest.mark.parametrize(
    "text, words",
    [
        ('<a href="c.html">', "no file behind c.html"),
        ('<a href="b.html#low">', "no anchor behind b.html#low"),
        ('<a href="#low">', "no anchor behind #low"),
        ('<img src="a.png">', "no alt text: a.png"),
        ('<img src="a.png" alt=" ">', "no alt text"),
        (
            '<script src="https://cdn.example/x.js"></script>',
            "loads https://cdn.example/x.js from another host",
        ),
        ('<link rel="stylesheet" href="//fonts.example/f.css">', "from another host"),
        ('<img src="d.png" alt="d">', "no file behind d.png"),
    ],
)
def test_each_fault_of_a_site_is_found(tmp_path, text, words):
    (one,) = check.faults(site(tmp_path, GOOD + text))
    assert words in one


def test_an_empty_folder_is_no_site(tmp_path):
    assert check.faults(tmp_path) == [f"{tmp_path} has no page"]
