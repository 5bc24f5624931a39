# `make train` and `make test` require only Python 3.10 to 3.13; they create the environment.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: setup train finetune studio test test-slow test-browser test-jax test-notebooks \
	test-exhaustive test-containers test-all \
	coverage notebooks docs lint check check-peers bench bench-smoke

setup: $(VENV)/.ready

# Reinstalled when the requirements change.
$(VENV)/.ready: requirements.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): a few minutes the first time"
	@$(PIP) -r requirements.txt
	@$(PIP) --no-deps --editable .
	@touch $@

train: setup
	$(BIN)/python scripts/train_scratch.py

# On MNIST if it is prepared in TFDS_DATA_DIR, otherwise on scikit-learn's digits.
finetune: setup
	$(BIN)/python scripts/finetune_hub.py \
		recipe=$(if $(wildcard $(TFDS_DATA_DIR)/mnist),finetune_mnist,finetune_digits)

# The web interface, at http://127.0.0.1:8501.
studio: setup
	$(BIN)/python -m vit_keras.studio

# All tests except slow ones, and those of the browser, the notebooks and reference implementations.
test: setup
	$(PYTEST) -m "not (slow or browser or notebooks or reference or exhaustive)" --dist worksteal

# Tests that import Keras in separate processes: kill and resume, sweeps, JAX without TensorFlow.
test-slow: setup
	$(PYTEST) -m "slow and not exhaustive" --dist worksteal

# The studio and the evaluation report, in Chromium.
test-browser: setup
	$(PYTEST) -m browser --dist loadfile --no-loadscope-reorder

# Layers, model, input pipeline and a run on arrays, on the JAX backend.
test-jax: setup
	KERAS_BACKEND=jax $(PYTEST) -m "jax and not exhaustive" --dist worksteal

# Executes every notebook on a small budget, with and (all but the longest) without its data set,
# and checks that its committed outputs are complete.
test-notebooks: setup
	$(PYTEST) tests/integration -m "notebooks and not exhaustive" --dist load --maxschedchunk 1

# Tests that repeat for minutes, in another form, what quicker tests show: a pipeline of three weeks,
# further points at which a training is killed, further data sets and backends.
test-exhaustive: setup
	$(PYTEST) -m exhaustive --dist worksteal

# Builds the image of a service and starts it; see docs/guides/deploy.md for what it needs.
VIT_KERAS_BASE_IMAGE ?= localhost/debian-python
test-containers: setup
	VIT_KERAS_BASE_IMAGE=$(VIT_KERAS_BASE_IMAGE) $(BIN)/python -m pytest \
		tests/integration/test_containers.py

test-all: test test-slow test-browser test-jax test-notebooks test-exhaustive check-peers

# Line coverage of the package: make coverage PARTS="test test-slow test-browser"
PARTS ?= test
coverage: setup
	$(BIN)/coverage erase
	for part in $(PARTS); do \
		$(MAKE) $$part PYTEST_ARGS="--cov --cov-append --cov-report=" || exit; \
	done
	$(BIN)/coverage report

# Executes the notebooks on the full budget, in place: minutes for each.
notebooks: setup
	$(BIN)/python notebooks/execute.py

# Builds the documentation in build/docs; a warning is an error.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

check: lint test

$(VENV)/.peers: requirements-peers.txt | setup
	@sed 's/\[[^]]*\]//' requirements.txt > $(VENV)/constraints.txt  # pip: no extras in constraints
	@$(PIP) --constraint $(VENV)/constraints.txt -r requirements-peers.txt
	@$(PIP) --no-deps timm==1.0.31
	@touch $@

# Compares our logits with those of timm, Hugging Face and KerasHub.
check-peers: $(VENV)/.peers
	$(BIN)/python -m pytest tests/reference -m reference

BENCHMARKS := train_step abstention audit augment cached_features calibration distillation embed \
	estimate folder_decode folder_scan imbalance int8 list_runs multilabel predict records scaling \
	scientific_images serve studio suggest time_to_accuracy

# Speed compared with peers: training, augmentation, decoding, int8, prediction, serving, studio,
# lists; what can be done for rare classes and wrong labels; which images to label; several labels;
# and the accuracy after the same ten minutes, which takes an hour. The log of ideas,
# small_budget.py, takes many hours and is not among them.
bench: $(VENV)/.peers
	$(BIN)/python benchmarks/train_step.py --heads 3 12
	for name in $(filter-out train_step,$(BENCHMARKS)); do \
		$(BIN)/python benchmarks/$$name.py || exit 1; done

# Runs each benchmark on the smallest sizes, with the peers that are installed: two at a time, as
# importing Keras keeps one core busy. What a benchmark prints is shown when it has ended; its status
# 255 ends xargs.
bench-smoke: setup
	printf '%s\n' $(BENCHMARKS:%=%.py) small_budget.py \
		"gpu/throughput.py train" "gpu/throughput.py infer" gpu/cifar10.py | \
	xargs -P 2 -I {} sh -c ' \
		started=$$(date +%s); \
		output=$$($(BIN)/python benchmarks/{} --smoke 2>&1) && status=0 || status=255; \
		seconds=$$(($$(date +%s) - started)); \
		printf "%s\n" "benchmarks/{} --smoke: $$seconds s" "$$output"; exit $$status'
