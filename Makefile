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

.PHONY: cluster
cluster: ## Build and start a real Kubernetes API server for tests (needs Go; minutes the first time)
	@hack/cluster/cluster up

.PHONY: cluster-down
cluster-down: ## End what `make cluster` started
	@hack/cluster/cluster down

.PHONY: test-cluster
test-cluster: setup ## Run the controllers' tests against the API server of `make cluster`
	@KUBEOPENCODE_TEST_KUBECONFIG=$${KUBEOPENCODE_TEST_KUBECONFIG:-.cache/cluster/run/kubeconfig} \
	  $(BIN)/pytest tests/plane/controllers -W default::pytest.PytestUnraisableExceptionWarning

.PHONY: lint
lint: ## Formatting, lint, types, layers
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-cache

.PHONY: generate
generate: ## Write the generated files: CRDs
	@$(BIN)/python -m kubeopencode.api.crds charts/kubeopencode/crds
