# Tandem: `make demo` shows everything on this machine, `make test` proves it.
PYTHON := .venv/bin/python
INSTALLED := .venv/.installed
# Files in their order, end to end first: otherwise the slowest would come last and alone.
PYTEST := $(PYTHON) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help install prepare demo test check format generate unit integration e2e campaigns

help: ## Show this list
	@awk -F':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Install what is missing: Debian packages, uv, the locked Python environment

$(INSTALLED): pyproject.toml uv.lock lab/install.sh
	@lab/install.sh
	@touch $@

prepare: install ## Build the test cluster and the small model, once; both are kept in the cache
	@$(PYTHON) -m tandem_lab.prepare

demo: prepare ## Run it all here and take the tour (ONCE=1: end after it, and tell whether each step held)
	@$(PYTHON) -m tandem_lab.demo $(if $(ONCE),--once)

test: check prepare ## Run every check and every tier of tests
	$(PYTEST)

unit: install ## Run the tests that need nothing but Python (seconds)
	$(PYTEST) tests/unit tests/golden

integration: prepare ## Run the tests with a real API server, Envoy and Ray
	$(PYTEST) tests/integration

e2e: prepare ## Run the tests with everything, vLLM and Gemma included
	$(PYTEST) tests/e2e

check: install ## Lint, types, layers, and that the generated files are up to date
	$(PYTHON) -m ruff check
	$(PYTHON) -m ruff format --check --quiet
	$(PYTHON) -m mypy
	.venv/bin/lint-imports --no-cache --no-logo
	$(PYTHON) -m tandem_operator.api.crd --check
	$(PYTHON) -m tandem_operator.api.reference --check

format: install ## Format the code and mend what ruff can mend
	$(PYTHON) -m ruff check --fix
	$(PYTHON) -m ruff format

generate: install ## Write the CRDs and the API's reference from its definition
	$(PYTHON) -m tandem_operator.api.crd --write
	$(PYTHON) -m tandem_operator.api.reference --write

# The gateway's needs a load generator; whoever may not install it still gets the others.
campaigns: prepare ## Measure again what campaigns/ reports (NAME=gateway: one of them)
	@$(if $(filter-out gateway,$(NAME)),:,lab/install.sh wrk || true)
	@failed=; for campaign in campaigns/$(or $(NAME),*)/run.py; do \
	  echo "$$campaign"; PYTHONPATH=tests $(PYTHON) "$$campaign" || failed="$$failed $$campaign"; done; \
	  [ -z "$$failed" ] || { echo "not measured:$$failed" >&2; exit 1; }
