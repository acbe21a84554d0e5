"""Widgets without a browser: a control is set, the output is read; refusals in words; signs of
life.
"""

import re
import time

import matplotlib.pyplot as plt
import pytest
from IPython.display import Markdown
from ipywidgets import Combobox, Dropdown, VBox

from pdlib.workbook import runner, widgets


def parts(box: VBox):
    """(controls, status line) of a panel."""
    *controls, status, _ = box.children
    return controls, status


def divide(whole=6, by=2):
    """What the panels here stand over."""
    if by == 0:
        raise ValueError("nothing can be divided by 0: choose another number")
    if by == 1:
        raise FileNotFoundError("no file of ones: write it first")
    return whole // by


def test_a_control_changes_the_result(capsys):
    (whole, by), _ = parts(widgets.panel(divide, whole=(0, 20, 1), by=[0, 1, 2, 3]))
    assert (whole.value, by.value) == (6, 2), "the function's defaults"
    assert capsys.readouterr().out.split()[-1] == "3"
    whole.value = 18
    assert capsys.readouterr().out.split()[-1] == "9"
    by.value = 3
    assert capsys.readouterr().out.split()[-1] == "6"


@pytest.mark.parametrize("by, words", [(0, "nothing can be divided by 0"), (1, "no file of ones")])
def test_what_a_function_refuses_is_printed_in_words_and_the_panel_goes_on(by, words, capsys):
    (_, control), status = parts(widgets.panel(divide, by=[0, 1, 2, 3]))
    control.value = by
    said = capsys.readouterr()
    assert words in said.out and "Traceback" not in said.out + said.err
    control.value = 3
    assert capsys.readouterr().out.split()[-1] == "2" and status.value.startswith("done")


def test_a_defect_is_no_refusal():
    def broken(at=0):
        return [1][at]

    (control,), status = parts(widgets.panel(broken, at=(0, 3, 1)))
    assert status.value.startswith("done")
    control.value = 2
    assert status.value == "failed"


def test_an_interrupt_is_said_and_survived(capsys):
    def endless(going=False):
        if going:
            raise KeyboardInterrupt
        return "rests"

    (control,), _ = parts(widgets.panel(endless))
    control.value = True
    assert "stopped" in capsys.readouterr().out
    control.value = False
    assert "rests" in capsys.readouterr().out


def test_a_busy_panel_says_so_and_counts(monkeypatch):
    monkeypatch.setattr(widgets, "EVERY", 0.01)
    seen = []

    def slow(long=False):
        seen.append(status.value if long else "")
        waited = time.monotonic()
        while long and " s (" not in status.value and time.monotonic() - waited < 300:
            time.sleep(0.01)

    status = None
    (control,), status = parts(widgets.panel(slow))
    counted = []
    status.observe(lambda change: counted.append(change.new), "value")
    control.value = True
    assert seen[-1] == widgets.WORKING, "before the function begins"
    assert any(
        re.search(r"\d+ s ", text) and text.startswith(widgets.WORKING) for text in counted[1:-1]
    ), "while it runs"
    assert re.fullmatch(r"done in \d+\.\d s", counted[-1]), (
        "afterwards, and nothing later overwrites it"
    )


def test_with_a_button_nothing_runs_before_it_is_pressed(capsys):
    calls = []

    def ask(question="what is bond?"):
        calls.append(question)

    (field, button), status = parts(widgets.panel(ask, button="ask"))
    assert calls == [] and status.value == "" and button.description == "ask"
    button.click()
    field.value = "what is base?"  # as Enter does
    assert calls == ["what is bond?", "what is base?"]


def test_texts_are_read_when_they_are_finished():
    (field,), _ = parts(widgets.panel(lambda text="one": text, text="one"))
    assert field.continuous_update is False


def test_a_text_is_a_field_with_proposals_or_a_menu():
    field, menu = widgets.typed(["one", ""]), widgets.typed(["one", ""], free=False)
    assert isinstance(field, Combobox) and field.value == "one" and not field.ensure_option
    field.value = "something else"  # may be typed
    assert (
        isinstance(menu, Dropdown)
        and menu.value == "one"
        and menu.options == (("one", "one"), ("(nobody)", ""))
    )


def test_a_slider_over_given_values_has_nothing_between_them():
    slider = widgets.steps([0.0, 0.01, 0.5], 0.5)
    assert slider.value == 0.5 and [value for _, value in slider.options] == [0.0, 0.01, 0.5]


@pytest.fixture
def displayed(monkeypatch):
    outputs = []
    monkeypatch.setattr(widgets, "display", outputs.append)
    return outputs


def test_in_an_executed_copy_only_the_twin_is_shown(displayed, monkeypatch):
    monkeypatch.setenv(runner.STATIC, "1")
    widgets.explore(divide, twin=[{"whole": 8}, {"whole": 9, "by": 3}])
    assert [type(one) for one in displayed] == [Markdown, int, Markdown, int] and displayed[
        1::2
    ] == [4, 3]
    assert displayed[2].data == "whole `9`, by `3`"


def test_in_a_session_the_panel_comes_first(displayed, monkeypatch):
    monkeypatch.delenv(runner.STATIC, raising=False)
    widgets.explore(divide, twin=[{"by": 3}])
    assert displayed[0] == 3 and isinstance(displayed[1], VBox) and displayed[-1] == 2


def test_a_slow_twin_gives_a_sign_of_life_too(displayed, monkeypatch):
    monkeypatch.delenv(runner.STATIC, raising=False)
    seen = []

    def slow(by=2):
        seen.append(displayed[1].value)
        return by

    widgets.explore(slow, twin=[{"by": 3}], button="ask")
    assert (
        isinstance(displayed[0], VBox)
        and seen == [widgets.WORKING]
        and displayed[1].value.startswith("done")
    )


def test_a_twin_that_is_refused_stops_the_notebook(displayed, monkeypatch):
    monkeypatch.setenv(runner.STATIC, "1")
    with pytest.raises(ValueError, match="divided by 0"):
        widgets.explore(divide, twin=[{"by": 0}])


def test_several_results_are_shown_one_after_another_and_figures_closed(displayed, monkeypatch):
    monkeypatch.setenv(runner.STATIC, "1")
    figure = plt.figure()
    widgets.explore(lambda: (figure, None, "words"), twin=[{}])
    assert displayed[1:] == [figure, "words"] and not plt.fignum_exists(figure.number)
