# Everything that is needed lands in .venv and node_modules; the machine itself needs Python, make and bash.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules

caller_path := $(PATH)
export PATH := $(CURDIR)/.venv/bin:$(CURDIR)/node_modules/.bin:$(PATH)
export SOLCX_BINARY_PATH := $(CURDIR)/scripts/tooling/solcx

python := .venv/bin/python
pip := -m pip --disable-pip-version-check install -qq
uv_version := 0.13.9
supported := import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))

.PHONY: help setup demo devnet test check format abi gas mutants faults bench nightly prove lock clean clean-all

help: ## Show the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup: .venv/.complete ## Install everything into .venv and node_modules
	@:

demo: setup ## Rent, run, prove and pay on a local chain
	@gpgpu demo

devnet: setup ## Run a local chain with the contracts deployed
	@gpgpu devnet up

test: setup ## Run the tests of the contracts and of the Python packages
	forge test
	$(python) -m pytest

check: setup .venv-slither/.complete ## Check format, lint, types, imports, contracts and ABI files
	ruff format --check
	ruff check --no-cache
	pyright
	lint-imports
	forge fmt --check
	FOUNDRY_PROFILE=lint forge build
	FOUNDRY_PROFILE=lint .venv-slither/bin/slither . --filter-paths node_modules --fail-medium \
	    --exclude-informational --exclude-low --exclude-optimization
	forge build contracts
	$(python) -m scripts.export_abi --check

format: setup ## Format the Python and Solidity sources
	ruff format
	ruff check --no-cache --fix-only
	forge fmt

abi: setup ## Regenerate protocol/abi from the contracts
	forge build contracts
	$(python) -m scripts.export_abi

gas: setup ## Measure the gas of every call
	@$(python) -m tests.benchmarks.gas_figures

mutants: setup ## Change the contracts in small wrong ways and count what the tests notice (N= mutants a contract)
	@$(python) -m tests.mutation --count $(or $(N),0) LeaseMarket LeaseBook LeaseAmendments LeaseSuccession \
	    ComputeCourt CourtCommittee CourtJudgement

faults: setup ## Kill at every point, bad nodes, forks, bad requests (N= scales); the last line is one JSON object
	@forge build contracts >&2
	@$(python) -m tests.faults

bench: setup ## Run the benchmarks (N= scales the rounds); the last line is one JSON object
	@forge build contracts >&2
	@$(python) -m tests.benchmarks

nightly: setup ## Run the tests with many more random cases
	FOUNDRY_PROFILE=nightly forge test
	$(python) -m pytest --hypothesis-profile=nightly

prove: setup .venv-halmos/.complete ## Prove accrual and rounding for all inputs
	@.venv-halmos/bin/python tests/contracts/symbolic/prove.py

lock: .venv/.complete .venv-lock/.complete ## Renew the lock files (LOCK_FLAGS=--upgrade for newer versions)
	.venv-lock/bin/uv pip compile $(lock_flags) --all-extras --no-emit-package torch \
	    --override locks/overrides.in pyproject.toml locks/extra.in -o locks/requirements.lock
	.venv-lock/bin/uv pip compile $(lock_flags) -c locks/requirements.lock locks/build.in -o locks/build.lock
	.venv-lock/bin/uv pip compile $(lock_flags) locks/slither.in -o locks/slither.lock
	.venv-lock/bin/uv pip compile $(lock_flags) locks/halmos.in -o locks/halmos.lock
	npm install --package-lock-only --ignore-scripts

lock_flags = --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-index-url $(LOCK_FLAGS)

clean: ## Remove what builds and tests left behind
	rm -rf build dist .build .cache *.egg-info .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find protocol oracle worker scripts tests -name __pycache__ -prune -exec rm -rf {} + 2>/dev/null || true

clean-all: clean ## Remove what was installed too
	rm -rf .venv .venv-slither .venv-halmos .venv-lock node_modules

# A stamp is written last, so an interrupted step is repeated; it lies inside what it vouches for.

.venv/.created:
	@for candidate in $${PYTHON:-python3.12 python3.11 python3}; do \
	    candidate=$$(PATH="$(caller_path)" type -P "$$candidate") || continue; \
	    actual=$$("$$candidate" --version 2>/dev/null) || continue; \
	    seen="$${seen:+$$seen, }$$actual ($$candidate)"; \
	    "$$candidate" -c '$(supported)' || continue; \
	    echo "Creating .venv with $$actual"; \
	    "$$candidate" -m venv --clear .venv; \
	    touch $@; \
	    exit 0; \
	done; \
	echo "GPGPU needs Python 3.11 or 3.12; found: $${seen:-no Python}" >&2; \
	exit 1

.venv/.packages: .venv/.created locks/build.lock locks/requirements.lock locks/torch.txt
	@echo "Installing the Python packages"
	@$(python) $(pip) --require-hashes -r locks/build.lock
	@$(python) $(pip) --require-hashes --no-build-isolation -r locks/requirements.lock
	@echo "Installing PyTorch"
	@$(python) $(pip) -r locks/torch.txt
	@touch $@

.venv/.project: .venv/.packages pyproject.toml
	@$(python) $(pip) --no-build-isolation --no-deps --config-settings editable_mode=compat -e .
	@$(python) -m pip --disable-pip-version-check check >/dev/null
	@touch $@

node_modules/.complete: package-lock.json package.json .npmrc | .venv/.packages
	@echo "Installing the contracts' tools"
	@NODE_USE_SYSTEM_CA=1 npm ci --ignore-scripts --loglevel=error >/dev/null
	@touch $@

# The commands also go beside the interpreter, where Python code finds them without a PATH.
.venv/.complete: .venv/.project node_modules/.complete
	@for tool in anvil cast forge; do \
	    "node_modules/.bin/$$tool" --version >/dev/null || { \
	        echo "npm has no $$tool that runs on this machine ($$(uname -sm))" >&2; exit 1; }; \
	    ln -sfn "../../node_modules/.bin/$$tool" ".venv/bin/$$tool"; \
	done
	@touch $@
	@echo "Ready"

.venv-slither/.complete: locks/slither.lock | .venv/.created
	@echo "Installing slither"
	@$(python) -m venv --clear .venv-slither
	@.venv-slither/bin/python $(pip) --require-hashes -r locks/slither.lock
	@touch $@

.venv-halmos/.complete: locks/halmos.lock | .venv/.created
	@echo "Installing halmos"
	@$(python) -m venv --clear .venv-halmos
	@.venv-halmos/bin/python $(pip) --require-hashes -r locks/halmos.lock
	@touch $@

.venv-lock/.complete: | .venv/.created
	@$(python) -m venv --clear .venv-lock
	@.venv-lock/bin/python $(pip) uv==$(uv_version)
	@touch $@
