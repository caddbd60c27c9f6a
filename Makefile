# Everything a fresh machine needs is python3 with venv and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
JOBS ?= auto
CODE := src tests benchmarks examples tools

.PHONY: help install demo test test-slow test-all coverage check docs package locks format clean

help:
	@echo "make demo       train on procedural clips, evaluate, predict: three minutes on two cores"
	@echo "make test       the tests, about two minutes on two cores"
	@echo "make test-slow  the slow tests as well"
	@echo "make test-all   all tests, those of LiteRT and Core ML too: installs 1 GB more"
	@echo "make coverage   all tests, and how much of src they reach (at least 90 %)"
	@echo "make check      format, lint, types, spelling, import directions"
	@echo "make docs       the site, into site/; warnings are errors"
	@echo "make package    source archive and wheel, into dist/, checked; uploads nothing"
	@echo "make locks      the versions in constraints/ still go together; installs nothing"
	@echo "make format     mend what format and lint can mend"

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints/base.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints/base.txt -e '.[dev]'
	@touch $@

demo: $(INSTALLED)
	$(BIN)/vmf demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -n $(JOBS)

test-slow: $(INSTALLED)
	$(BIN)/python -m pytest -n $(JOBS) -m 'not gpu'

test-all: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints/all.txt \
		-e '.[dev,litert,coreml]'
	$(BIN)/python -m pytest -n $(JOBS) -m 'not gpu'

coverage: $(INSTALLED)
	$(BIN)/python -m pytest -n $(JOBS) -m 'not gpu' --cov --cov-report=term-missing:skip-covered \
		--cov-fail-under=90

check: $(INSTALLED)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/ruff check $(CODE)
	$(BIN)/pyright
	$(BIN)/codespell
	$(BIN)/lint-imports
	$(BIN)/python tools/import_circles.py

docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints/docs.txt \
		-e '.[docs]'
	rm -rf site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict
	$(BIN)/python tools/check_site.py site

package: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints/package.txt \
		-e '.[package]'
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist
	$(BIN)/twine check --strict dist/*

locks: $(INSTALLED)
	$(BIN)/python tools/lock.py

format: $(INSTALLED)
	$(BIN)/ruff check --fix $(CODE)
	$(BIN)/ruff format $(CODE)

clean:
	rm -rf $(VENV) site dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
