# Everything a newcomer or CI types. `make help` lists it.
.DEFAULT_GOAL := help
BIN := .venv/bin

.PHONY: help
help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

.PHONY: setup
setup: ## Install what the project needs (system packages, Python, OpenCode)
	@hack/setup

.PHONY: demo
demo: setup ## Set up everything and run the main job: the real OpenCode mends a repository
	@$(BIN)/kubeoc demo

.PHONY: test
test: setup ## Set up everything and pass the tests
	@$(BIN)/pytest

.PHONY: check
check: setup lint ## All that CI runs
	@$(BIN)/pytest

.PHONY: lint
lint: ## Formatting, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-cache

.PHONY: generate
generate: ## Write the generated files: CRDs
	@$(BIN)/python -m kubeopencode.api.crds charts/kubeopencode/crds
