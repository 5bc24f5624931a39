# `make train` and `make test` need nothing before them but Python 3.10 to 3.13.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -n 2 $(PYTEST_ARGS)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: setup train finetune studio test test-slow test-browser test-jax test-notebooks test-all \
	coverage notebooks docs lint check check-peers bench bench-smoke

setup: $(VENV)/.ready

# Made again when what is to be installed changes.
$(VENV)/.ready: requirements.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV): a few minutes the first time"
	@$(PIP) -r requirements.txt
	@$(PIP) --no-deps --editable .
	@touch $@

train: setup
	$(BIN)/python scripts/train_scratch.py

# MNIST where TensorFlow Datasets has it prepared, scikit-learn's digits elsewhere.
finetune: setup
	$(BIN)/python scripts/finetune_hub.py \
		recipe=$(if $(wildcard $(TFDS_DATA_DIR)/mnist),finetune_mnist,finetune_digits)

# Trainings in the browser, at http://127.0.0.1:8501.
studio: setup
	$(BIN)/python -m vit_keras.studio

# The tests that need neither a browser nor minutes for one test.
test: setup
	$(PYTEST) -m "not (slow or browser or notebooks or reference)" --dist worksteal

# What imports Keras in processes of its own: trainings killed, resumed, swept, on JAX without TensorFlow.
test-slow: setup
	$(PYTEST) -m slow --dist load

# The studio and the evaluation's report, in chromium.
test-browser: setup
	$(PYTEST) -m browser --dist loadfile --no-loadscope-reorder

# The layers, the model, its input and a run on arrays, on the other backend.
test-jax: setup
	KERAS_BACKEND=jax $(PYTEST) -m jax --dist loadfile

# Every notebook from top to bottom on a small budget, with its data set and without;
# and whether its committed outputs are complete.
test-notebooks: setup
	$(PYTEST) tests/integration -m notebooks --dist load

test-all: test test-slow test-browser test-jax test-notebooks check-peers

# The lines of the package that tests run: make coverage PARTS="test test-slow test-browser"
PARTS ?= test
coverage: setup
	$(BIN)/coverage erase
	for part in $(PARTS); do \
		$(MAKE) $$part PYTEST_ARGS="--cov --cov-append --cov-report=" || exit; \
	done
	$(BIN)/coverage report

# The notebooks' outputs, computed again on the full budget: minutes for each.
notebooks: setup
	$(BIN)/python notebooks/execute.py

# The documentation, into build/docs; any warning is an error.
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
	@$(PIP) --constraint requirements.txt -r requirements-peers.txt
	@$(PIP) --no-deps timm==1.0.31
	@touch $@

# Our logits beside those of timm and Hugging Face.
check-peers: $(VENV)/.peers
	$(BIN)/python -m pytest tests/reference -m reference

BENCHMARKS := train_step augment cached_features folder_decode folder_scan int8 predict studio

# Our speed beside others': training, augmentation, decoding, 8 bits, prediction, the studio; and what caches save.
bench: $(VENV)/.peers
	$(BIN)/python benchmarks/train_step.py --heads 3 12
	for name in $(filter-out train_step,$(BENCHMARKS)); do \
		$(BIN)/python benchmarks/$$name.py || exit 1; done

# Each of them on the smallest sizes, beside the peers that are installed: it runs and ratios come out.
bench-smoke: setup
	for name in $(BENCHMARKS); do \
		echo "benchmarks/$$name.py --smoke"; \
		$(BIN)/python benchmarks/$$name.py --smoke || exit 1; done
