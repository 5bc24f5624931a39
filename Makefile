# `make train` and `make test` need nothing before them but Python 3.10 to 3.13.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup train test check check-peers bench clean

setup: $(READY)

# Made again when what is to be installed changes.
$(READY): requirements.txt pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV) (a few minutes the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

train: setup
	$(BIN)/python scripts/train_scratch.py

test: setup
	$(BIN)/python -m pytest --ignore=tests/peers

check: test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Our logits beside those of timm and Hugging Face; needs torch (2 GB with its CUDA packages,
# 200 MB where a CPU build is found).
check-peers: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-peers.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps timm==1.0.31
	$(BIN)/python -m pytest tests/peers

bench: check-peers
	$(BIN)/python benchmarks/train_step.py

clean:
	rm -rf $(VENV) build dist *.egg-info
