"""One updating display while training, and one JSON line a step on disk."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from IPython import get_ipython
from IPython.display import HTML, display
from transformers import TrainerCallback

from pdlib.run import health


def read_log(folder: Path) -> pd.DataFrame:
    """The training log of a stage, one row a logged step."""
    return pd.read_json(folder / "log.jsonl", lines=True)


def minutes(seconds: float) -> str:
    return f"{int(seconds // 60)}:{int(seconds % 60):02d} min"


class Progress(TrainerCallback):
    """Writes each logged step to `log_file` and shows curve, sample, the health of both modes and
    time left.

    In a notebook one display is updated in place, so an executed copy keeps one final picture;
    elsewhere a line is printed a few times per run. A resumed run drops the lines of steps that it
    is about to do again. curve: the logged value to draw.  probe: called every `probe_every` steps
    with the model; returns (a dict of numbers to log, a sample completion).
    """

    def __init__(
        self,
        log_file: Path,
        title: str,
        curve: str = "loss",
        probe: Callable | None = None,
        probe_every: int = 20,
    ):
        self.log_file, self.title, self.curve, self.probe, self.probe_every = (
            log_file,
            title,
            curve,
            probe,
            probe_every,
        )
        self.rows: list[dict] = []
        self.handle, self.sample, self.probed, self.warnings = None, "", {}, []
        self.start, self.first, self.last_show, self.shown = None, 0, 0.0, 0

    def on_train_begin(self, args, state, control, **kwargs):
        if not state.is_world_process_zero:
            return
        if self.log_file.exists():
            rows = [
                json.loads(line)
                for line in self.log_file.read_text().splitlines()
                if line.endswith("}")
            ]
            self.rows = [row for row in rows if row["step"] <= state.global_step]
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        self.log_file.write_text("".join(json.dumps(row) + "\n" for row in self.rows))
        self.start = None
        if get_ipython() is not None:
            self.handle = display(HTML(f"{self.title}: starting"), display_id=True)

    def on_log(self, args, state, control, logs=None, model=None, **kwargs):
        if (
            not logs or "train_runtime" in logs or not state.is_world_process_zero
        ):  # that one sums up the run
            return
        if (
            self.start is None
        ):  # the first step also pays for warming up: leave it out of the estimate
            self.start, self.first = time.monotonic(), state.global_step
        if self.probe and (state.global_step % self.probe_every == 0 or not self.sample):
            self.probed, self.sample = self.probe(model)
        row = {
            "step": state.global_step,
            **{k: v for k, v in logs.items() if isinstance(v, (int, float))},
            **self.probed,
        }
        self.warnings = health.warnings(row)
        row |= {"warnings": self.warnings} if self.warnings else {}
        self.rows.append(row)
        with self.log_file.open("a") as file:
            file.write(json.dumps(row) + "\n")
        if time.monotonic() - self.last_show > 3 or state.global_step >= state.max_steps:
            self.show(state.global_step, state.max_steps)

    def on_train_end(self, args, state, control, **kwargs):
        if not state.is_world_process_zero:
            return
        self.show(state.global_step, state.max_steps)

    def show(self, step: int, total: int):
        done = step - self.first
        left = (
            minutes((time.monotonic() - self.start) / done * (total - step))
            if done
            else "some time"
        )
        value = next(
            (row[self.curve] for row in reversed(self.rows) if self.curve in row), float("nan")
        )
        shares = ", ".join(
            [f"{k} {v:.2f}" for k, v in self.probed.items()]
            + [f"WARNING {text}" for text in self.warnings]
        )
        line = f"{self.title}: step {step}/{total}, {self.curve} {value:.3f}, {left} left"
        if self.handle is not None:
            modes = "".join(
                f"<tr><td>{label}</td><td>{text}</td></tr>"
                for label, text in health.summary((self.rows or [{}])[-1]).items()
            )
            self.handle.update(
                HTML(
                    f"<p>{line}</p>{self._svg(total)}<p>{shares}</p><table>{modes}</table>"
                    f"<pre>{_escape(self.sample)}</pre>"
                )
            )
        elif time.monotonic() - self.last_show > 30 or step >= total > self.shown:
            self.shown = step
            print(f"{line}; {shares}" if shares else line, flush=True)
        else:
            return
        self.last_show = time.monotonic()

    def _svg(self, total: int, width: int = 480, height: int = 90) -> str:
        """The curve so far as a small inline picture (a figure per update would be slow)."""
        points = [(row["step"], row[self.curve]) for row in self.rows if self.curve in row]
        if len(points) < 2:
            return ""
        low, high = min(v for _, v in points), max(v for _, v in points)
        path = " ".join(
            f"{s / total * width:.0f},{height - (v - low) / ((high - low) or 1) * height:.0f}"
            for s, v in points
        )
        return (
            f"<svg width='{width}' height='{height}' role='img' aria-label='{self.curve} from {points[0][1]:.3f} to "
            f"{points[-1][1]:.3f}' style='border:1px solid #999'>"
            f"<polyline fill='none' stroke='#0072B2' stroke-width='1.5' points='{path}'/></svg>"
        )


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
