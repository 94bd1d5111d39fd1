# Every target makes .venv itself; nothing but Python 3.11 or newer and make is needed.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow test-all check docs format clean

demo: .venv/ready
	$(BIN)/clhyper demo

test: .venv/ready
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: .venv/ready
	$(BIN)/python -m pytest -m "(slow or cluster or browser) and not gpu" -n 2 --dist loadfile

test-all: .venv/ready
	$(BIN)/python -m pytest -m "" -n 2 --dist loadfile

check: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) docs

docs: .venv/ready
	$(BIN)/sphinx-build -E -W --keep-going --nitpicky --quiet docs build/docs

format: .venv/ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Bytecode is compiled at once, since importing PyTorch and Avalanche without it takes half a minute each time.
.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode -e ".[dev]"
	touch $@

clean:
	rm -rf .venv build *.egg-info
