# `make book` builds the book, `make test` runs the tests, `make test-browser` those of the built pages in Chromium;
# each sets up .venv first, once, from constraints.txt.
# Variables: VAEDIS_PROFILE=laptop, PYTHON=/path/to/python3.11, BOOK_ARGS="--only 03_perceived_distance", PYTEST_ARGS="-k losses".

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
CANDIDATES := python3.11 python3.12 python3.13 python3 python
PYTHON ?=
BOOK_ARGS ?=
PYTEST_ARGS ?=

.PHONY: book test test-browser lint format notebooks nbval check-book check-figures pdf zip clean

book: $(STAMP)
	$(BIN)/vaedis book $(BOOK_ARGS)

# The tests, and the examples in the docstrings. Two processes; the tests of one file stay together,
# since some share what is slow to make.
test: $(STAMP)
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --ignore tests/browser $(PYTEST_ARGS)

# Every page of the book that is built, wide and on a phone, light and dark. Without Chromium or a book they are skipped.
test-browser: $(STAMP)
	$(BIN)/python -m pytest tests/browser -n 2 --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	rm -rf _build/lint
	$(BIN)/vaedis notebooks _build/lint
	$(BIN)/ruff check _build/lint/*.ipynb
	# narrower than the package, so that code on a page need not scroll
	$(BIN)/ruff format --check --line-length 84 _build/lint/*.ipynb

# The chapters too: their code, and the form that Jupytext gives them whenever they are saved as notebooks.
format: $(STAMP)
	$(BIN)/ruff check --fix --exit-zero .
	$(BIN)/ruff format .
	$(BIN)/jupytext --quiet --pipe '$(BIN)/ruff format --quiet --line-length 84 -' --pipe-fmt py:percent $$(grep -l '^kernelspec:' book/*.md)

# The chapters as .ipynb files without outputs, for tools that read nothing else.
notebooks: $(STAMP)
	$(BIN)/vaedis notebooks _build/ipynb

# Runs the notebooks with cells that are tagged nbval-check-output again, and compares these cells. In the others there is
# nothing to compare: they run when the book is built. The package's own rule, that a warning is an error, is for its tests:
# inside nbval it would strike the tools.
nbval: $(STAMP)
	$(BIN)/vaedis book --profile smoke --no-html
	rm -rf _build/nbval
	$(BIN)/vaedis notebooks --outputs smoke _build/nbval
	env -u MPLBACKEND VAEDIS_PROFILE=smoke OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadscope -o filterwarnings=default -o timeout=660 -p no:python \
	  --nbval-lax --nbval-current-env --nbval-cell-timeout=600 --nbval-sanitize-with=tests/nbval_sanitize.cfg $$(grep -l nbval-check-output _build/nbval/*.ipynb)

# Every page anew with warnings as errors, then the checks of the pages.
check-book: $(STAMP)
	$(BIN)/vaedis book --strict $(BOOK_ARGS)
	VAEDIS_BUILT_BOOK=required $(BIN)/python -m pytest tests/companion/test_book.py $(PYTEST_ARGS)

# The book that is built, as one PDF (Chromium prints it) and as a zip with its SHA-256.
pdf: $(STAMP)
	$(BIN)/python tools/offline.py pdf

zip: $(STAMP)
	$(BIN)/python tools/offline.py zip

# What the figures of the built book draw, against codecheck.yml.
check-figures: $(STAMP)
	$(BIN)/vaedis check --profile smoke

clean:
	rm -rf _build

# The search prefers the version that constraints.txt was made with. Modules are compiled on all cores, which
# pip would do on one; those that cannot be, as they need a newer Python, do not matter.
$(STAMP): pyproject.toml constraints.txt
	@python="$(PYTHON)"; \
	if [ -z "$$python" ]; then \
	  for name in $(CANDIDATES); do \
	    if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$name; break; fi; \
	  done; \
	fi; \
	if [ -z "$$python" ] || ! "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	  echo "make: Python 3.11 or newer is needed, but $${python:-every python on the PATH} is older or absent; install one, or name it: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; \
	fi; \
	[ -x $(BIN)/python ] || "$$python" -m venv $(VENV) || { \
	  rm -rf $(VENV); \
	  echo "make: $$python could not create $(VENV); install its venv module (on Debian: apt install python3-venv) and try again" >&2; exit 1; }
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: $(VENV) has a Python older than 3.11 or a broken one; remove it and try again: rm -rf $(VENV)" >&2; exit 1; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip >/dev/null 2>&1 || { \
	  echo "make: $(VENV) has no pip, as those that uv makes, and cannot get one; remove it and try again: rm -rf $(VENV)" >&2; exit 1; }
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-compile -c constraints.txt -e '.[test]'
	@$(BIN)/python -m compileall -qq -j 0 -x /tests/ $(VENV)/lib || true
	@touch $@

constraints.txt:
	@echo "make: constraints.txt is missing, and without it unpinned packages would be installed; restore it: git checkout constraints.txt" >&2; exit 1
