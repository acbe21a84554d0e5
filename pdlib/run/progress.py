"""One updating display while training, and one JSON line per logged step on disk."""

import json
import time
from collections.abc import Callable
from html import escape
from pathlib import Path

import pandas as pd
from IPython import get_ipython
from IPython.display import HTML, display
from transformers import TrainerCallback

from pdlib.run import health
from pdlib.schema import PAPER_MODES, ModeSet


def read_log(folder: Path) -> pd.DataFrame:
    """The training log of a stage, one row per logged step."""
    return pd.read_json(folder / "log.jsonl", lines=True)


def minutes(seconds: float) -> str:
    """Minutes and seconds as text, "2:15 min"."""
    return f"{int(seconds // 60)}:{int(seconds % 60):02d} min"


class Progress(TrainerCallback):
    """Writes each logged step to `log_file`, and shows how the training goes.

    Shown are the curve, a sample completion, the health of the modes and the time left. In a
    notebook one display is updated in place, so an executed copy keeps one final picture; elsewhere
    a line is printed a few times per run. A resumed run drops the lines of steps that it is about
    to do again. curve: the logged value to draw.  probe: called every `probe_every` steps with the
    model; returns (a dict of numbers to log, a sample completion).
    """

    def __init__(
        self,
        log_file: Path,
        title: str,
        curve: str = "loss",
        probe: Callable | None = None,
        probe_every: int = 20,
        mode_set: ModeSet = PAPER_MODES,
    ):
        self.mode_set = mode_set
        self.log_file, self.title, self.curve = log_file, title, curve
        self.probe, self.probe_every = probe, probe_every
        self.rows: list[dict] = []
        self.handle, self.sample, self.probed, self.warnings = None, "", {}, []
        self.start, self.first, self.last_show, self.shown = None, 0, 0.0, 0

    def on_train_begin(self, args, state, control, **kwargs):
        """Keep the log of the steps that a resumed run does not do again; open the display."""
        if not state.is_world_process_zero:
            return
        if self.log_file.exists():
            lines = self.log_file.read_text().splitlines()
            rows = [json.loads(line) for line in lines if line.endswith("}")]
            self.rows = [row for row in rows if row["step"] <= state.global_step]
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self.log_file.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        self.start = None
        if get_ipython() is not None:
            self.handle = display(HTML(f"{self.title}: starting"), display_id=True)

    def on_log(self, args, state, control, logs=None, model=None, **kwargs):
        """Write the step's numbers, with those of the probe and with warnings."""
        is_summary = logs and "train_runtime" in logs  # of the whole run, not of a step
        if not logs or is_summary or not state.is_world_process_zero:
            return
        if self.start is None:
            # The first step also pays for warming up: the estimate leaves it out.
            self.start, self.first = time.monotonic(), state.global_step
        if self.probe and (state.global_step % self.probe_every == 0 or not self.sample):
            self.probed, self.sample = self.probe(model)
        numbers = {k: v for k, v in logs.items() if isinstance(v, (int, float))}
        row = {"step": state.global_step, **numbers, **self.probed}
        self.warnings = health.warnings(row, self.mode_set)
        row |= {"warnings": self.warnings} if self.warnings else {}
        self.rows.append(row)
        with self.log_file.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if time.monotonic() - self.last_show > 3 or state.global_step >= state.max_steps:
            self.show(state.global_step, state.max_steps)

    def on_train_end(self, args, state, control, **kwargs):
        """Show the last step."""
        if state.is_world_process_zero:
            self.show(state.global_step, state.max_steps)

    def show(self, step: int, total: int):
        """Update the notebook's display; elsewhere print a line when the last one is old enough."""
        is_due = time.monotonic() - self.last_show > 30 or step >= total > self.shown
        if self.handle is None and not is_due:
            return
        line = f"{self.title}: step {step}/{total}, {self.curve} {self._last_value():.3f}, "
        line += f"{self._time_left(step, total)} left"
        texts = [f"{k} {v:.2f}" for k, v in self.probed.items()]
        details = ", ".join(texts + [f"WARNING {text}" for text in self.warnings])
        if self.handle is not None:
            summary = health.summary((self.rows or [{}])[-1], self.mode_set)
            modes = [f"<tr><td>{label}</td><td>{text}</td></tr>" for label, text in summary.items()]
            self.handle.update(
                HTML(
                    f"<p>{line}</p>{self._svg(total)}<p>{details}</p><table>{''.join(modes)}</table>"
                    f"<pre>{escape(self.sample, quote=False)}</pre>"
                )
            )
        else:
            self.shown = step
            print(f"{line}; {details}" if details else line, flush=True)
        self.last_show = time.monotonic()

    def _last_value(self) -> float:
        values = [row[self.curve] for row in self.rows if self.curve in row]
        return values[-1] if values else float("nan")

    def _time_left(self, step: int, total: int) -> str:
        done = step - self.first
        if not done:
            return "some time"
        return minutes((time.monotonic() - self.start) / done * (total - step))

    def _svg(self, total: int, width: int = 480, height: int = 90) -> str:
        """The curve so far as a small inline picture (a figure per update would be slow)."""
        points = [(row["step"], row[self.curve]) for row in self.rows if self.curve in row]
        if len(points) < 2:
            return ""
        first, last = points[0][1], points[-1][1]
        values = [value for _, value in points]
        low, span = min(values), (max(values) - min(values)) or 1
        path = " ".join(
            f"{step / total * width:.0f},{height - (value - low) / span * height:.0f}"
            for step, value in points
        )
        return (
            f"<svg width='{width}' height='{height}' role='img' "
            f"aria-label='{self.curve} from {first:.3f} to {last:.3f}' "
            "style='border:1px solid #999'>"
            f"<polyline fill='none' stroke='#0072B2' stroke-width='1.5' points='{path}'/></svg>"
        )
