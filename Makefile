# Two commands do everything on a fresh machine with Python >= 3.10 and g++: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STUDY := teacher_student

.PHONY: demo test test-slow tritons browser sanitize lint docs set-up clean

demo: set-up
	$(BIN)/testbed run benchmarks/studies/$(STUDY).toml

test: set-up
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

test-slow: set-up tritons browser
	OMP_NUM_THREADS=1 LMC_TRITONS=$(VENV)/tritons $(BIN)/python -m pytest -n 3 --dist worksteal -m slow

# the Tritons that other torches bring, side by side
TRITONS := 3.5.1 3.6.0 3.8.0 3.9.0
tritons: set-up $(TRITONS:%=$(VENV)/tritons/%)

$(VENV)/tritons/%:
	$(BIN)/python -m pip install --quiet --no-deps --target $@ triton==$*

# what tries a run's page in the machine's Chromium, where it has one: the extra [page]
browser: set-up
	$(BIN)/python -m pip install --quiet --constraint constraints.txt axe-playwright-python playwright

# the native kernel's tests under AddressSanitizer and UBSan, then its threads under TSan
sanitize: set-up
	.ci/sanitize

lint: set-up
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# these pages and the reference of the Python interface, in build/docs/index.html
docs: set-up
	$(BIN)/python -m pip install --quiet --constraint constraints.txt furo myst-parser sphinx  # the extra [docs]
	$(BIN)/python docs/factors.py
	$(BIN)/python -m sphinx --fail-on-warning --quiet --builder html docs build/docs

set-up: $(VENV)/done

# constraints.txt pins what was tested; the native kernel is compiled for this machine
$(VENV)/done: setup.py pyproject.toml constraints.txt $(wildcard kernels/native/*.cpp kernels/native/*.h)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[test]"
	touch $@

clean:
	rm -rf $(VENV) build *.egg-info kernels/native/_native*.so
