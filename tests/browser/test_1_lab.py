"""Every notebook in JupyterLab, as a reader has it: it opens, runs at smoke from first to last
cell, and its widgets answer.
"""

import re

import pytest

from pdlib.workbook import runner

ERRORS = '[data-mime-type="application/vnd.jupyter.error"]'
CODE_CELLS = "[...document.querySelectorAll('.jp-Notebook .jp-CodeCell .jp-InputPrompt')]"
FINISHED = f"""() => {{
    const prompts = {CODE_CELLS}.map(e => e.textContent.trim());
    const failed = document.querySelector('{ERRORS}') !== null;
    return failed || prompts.length > 0 && prompts.every(text => /^\\[\\d+\\]:$/.test(text));
}}"""
STARTED = f"() => {CODE_CELLS}.some(e => e.textContent.trim() !== '[ ]:')"
# A widget's status line says that it works, then that it is done; its result may be the same
# (models trained at smoke know nothing).
WATCH = """box => {
    window.answered = false;
    const changes = {childList: true, subtree: true, characterData: true};
    new MutationObserver(() => { window.answered = true; })
        .observe(box.querySelector('.widget-html-content'), changes);
}"""
ANSWERED = """box => {
    const status = box.querySelector('.widget-html-content').textContent;
    return window.answered && /^(done|failed)/.test(status);
}"""
QUESTION = ".jp-Dialog button.jp-mod-accept"


def run_all(page) -> None:
    """Run > Run All Cells, again where JupyterLab first asks which kernel is meant: then it runs
    nothing.
    """
    for _ in range(3):
        page.locator("#jp-main-statusbar", has_text="| Idle").wait_for(timeout=300_000)
        page.locator(".lm-MenuBar-item", has_text=re.compile("^Run$")).click()
        page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
        page.wait_for_function(
            f"() => document.querySelector('{QUESTION}') !== null || ({STARTED})()", timeout=60_000
        )
        question = page.locator(QUESTION)
        if not question.count():
            return
        question.click()
    raise AssertionError("JupyterLab kept asking for a kernel")


def change(box) -> str:
    """Change one control of a widget as a reader would; returns which."""
    menus = [menu for menu in box.locator("select").all() if menu.locator("option").count() > 1]
    slider, text = box.locator(".noUi-handle").first, box.locator("input[type=text]").first
    if menus:
        options = menus[0].locator("option").count()
        menus[0].select_option(
            index=options - 1
            if menus[0].evaluate("menu => menu.selectedIndex") != options - 1
            else 0
        )
        name = "menu"
    elif slider.count():
        at, end = (slider.get_attribute(name) for name in ("aria-valuenow", "aria-valuemax"))
        slider.press("ArrowLeft" if at == end else "ArrowRight")
        name = "slider"
    else:
        text.fill(text.input_value().rsplit(" ", 1)[0] + " chess")
        text.press("Enter")
        name = "text"
    if (
        button := box.locator("button.jupyter-button").first
    ).count():  # what takes seconds runs when asked to
        button.click()
    return name


def shown(box) -> str:
    """What stands in a widget's place for results."""
    return "".join(
        box.locator(".jp-OutputArea-output").evaluate_all(
            "parts => parts.map(part => part.innerHTML)"
        )
    )


@pytest.mark.parametrize("name", runner.NOTEBOOKS)
def test_a_notebook_opens_runs_and_answers(name, lab, watch):
    watched = watch(lab.home)
    page = watched.page
    page.goto(f"{lab.home}lab/tree/{name}.ipynb?token={lab.token}&reset")
    try:
        run_all(page)
        page.wait_for_function(FINISHED, timeout=480_000)
        assert page.locator(ERRORS).all_inner_texts() == []
        boxes = page.locator(".jp-Notebook .widget-interact")
        for k in range(boxes.count()):
            box = boxes.nth(k)
            box.scroll_into_view_if_needed()
            page.evaluate(WATCH, box.element_handle())
            control = change(box)
            page.wait_for_function(ANSWERED, arg=box.element_handle(), timeout=300_000)
            assert page.locator(ERRORS).all_inner_texts() == [], (
                f"the {control} of widget {k + 1} leads to an error"
            )
            assert shown(box).strip(), (
                f"widget {k + 1} shows nothing once its {control} was changed"
            )
            watched.shot(f"lab_{name}_widget{k + 1}")
        wanted = sum("widgets.explore(" in cell.source for cell in lab.read(name).cells)
        assert boxes.count() == wanted
    finally:
        watched.shot(f"lab_{name}")
        lab.close_kernels()
    # Failed answers are left out: a server asked for its kernels while one starts may say 500, and
    # the page asks again.
    assert [line for line in watched.wrong if line.startswith(("script", "another host"))] == []
