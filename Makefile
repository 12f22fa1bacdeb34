# Two commands: `make run` measures and reports, `make test` checks. Both set up .venv first; the second call installs nothing.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run test site clean

run: .venv/.installed
	$(BIN)/python -m bench run $(ARGS)
	$(BIN)/python -m bench report

test: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(ARGS)

# The documentation as pages that open from disk: site/index.html.
site: .venv/.installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

clean:
	rm -rf .venv

# uv, where it is installed, does the same faster.
.venv/bin/python:
	if command -v uv >/dev/null 2>&1; then uv venv --seed --python $(PYTHON) .venv; else $(PYTHON) -m venv .venv; fi

.venv/.installed: .venv/bin/python pyproject.toml
	if command -v uv >/dev/null 2>&1; then uv pip install --python $(BIN)/python -e .; else $(BIN)/python -m pip install --quiet -e .; fi
	touch $@

.venv/.installed-dev: .venv/.installed
	if command -v uv >/dev/null 2>&1; then uv pip install --python $(BIN)/python -e '.[dev]'; else $(BIN)/python -m pip install --quiet -e '.[dev]'; fi
	touch $@
