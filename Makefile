# Shorthands. Everything runs from the checkout with the packages in .venv.
PYTHON := .venv/bin/python
PYTEST_ARGS ?=
WORKERS ?= auto

.PHONY: setup demo test test-slow lint bench results bitstreams campaign clean clean-sim

setup: .venv/ready

.venv/ready: pyproject.toml scripts/setup.sh
	sh scripts/setup.sh
	touch $@

demo: setup
	rm -rf runs/demo
	$(PYTHON) -m emulator train --config lenet-bl1-um --machine fast --data digits --epochs 20 --out runs/demo
	@echo "report: runs/demo/report.html"

test: setup
	$(PYTHON) -m pytest -c pyproject.toml -n $(WORKERS) --dist worksteal $(PYTEST_ARGS)

test-slow: setup
	$(PYTHON) -m pytest -c pyproject.toml -n $(WORKERS) --dist worksteal -m slow $(PYTEST_ARGS)

lint: setup
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check
	$(PYTHON) -m mypy

bench: setup
	OPENBLAS_NUM_THREADS=1 $(PYTHON) -m benchmarks.training_speed

results: setup
	$(PYTHON) -m benchmarks.summary

# Of the boards' own networks: minutes for the iCEBreaker, a quarter of an hour for the ULX3S.
bitstreams: setup
	$(PYTHON) -m board build --board icebreaker
	$(PYTHON) -m board build --board ulx3s-85f

campaign: setup
	$(PYTHON) -m board campaign --runs 500

clean:
	rm -rf build runs .pytest_cache .mypy_cache .ruff_cache .hypothesis

# Compiled simulations only.
clean-sim:
	rm -rf build/sim
