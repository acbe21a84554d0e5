"""The exercises of a notebook: they are read from its markdown, and their answers can be run."""

import copy
import re
from dataclasses import dataclass
from pathlib import Path

import nbformat

_EXERCISE = re.compile(
    r"\*\*(\d+) \((\w+), (\d+) minutes\)\.\*\*(.*?)"
    r"<details><summary>Answer</summary>(.*?)</details>",
    re.DOTALL,
)
_PYTHON = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Exercise:
    """One exercise of a notebook, with its answer in markdown."""

    number: int
    difficulty: str
    minutes: int
    task: str
    answer: str

    @property
    def code(self) -> str:
        """The Python blocks of the answer, to run after the notebook's last cell; may be empty."""
        return "\n".join(_PYTHON.findall(self.answer)).rstrip()


def text_of(notebook: nbformat.NotebookNode) -> str:
    """The markdown of a notebook, cell after cell."""
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def read(text: str) -> list[Exercise]:
    r"""The exercises in a notebook's markdown, each with its collapsed answer.

    >>> answer = "<details><summary>Answer</summary>So.</details>"
    >>> read("**2 (hard, 9 minutes).** Why?\n" + answer)[0].answer
    'So.'
    """
    return [
        Exercise(int(number), difficulty, int(minutes), task.strip(), answer.strip())
        for number, difficulty, minutes, task, answer in _EXERCISE.findall(text)
    ]


def with_answers(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy of the notebook that ends with the code of its exercises' answers.

    There is one cell per exercise with code, tagged `answer`.
    """
    notebook = copy.deepcopy(notebook)
    for exercise in read(text_of(notebook)):
        if exercise.code:
            metadata = {"tags": ["answer"], "exercise": exercise.number}
            notebook.cells.append(nbformat.v4.new_code_cell(exercise.code, metadata=metadata))
    return notebook


def failed_answer(executed: Path) -> str:
    """Which exercise's answer stopped an executed notebook, in words; empty where none did."""
    for cell in nbformat.read(executed, as_version=4).cells:
        has_failed = any(output.output_type == "error" for output in cell.get("outputs", []))
        if has_failed and "exercise" in cell.metadata:
            return f"exercise {cell.metadata.exercise}: the answer"
    return ""
