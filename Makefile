# Every target prepares what it needs. UV may name a uv of your own; else one is taken from PATH, else from PyPI.
UV := $(or $(shell command -v uv 2>/dev/null),.venv/bin/uv)
# An installed product has compiled modules. Without them, each process that a test or a benchmark starts compiles its own.
export PYTHONDONTWRITEBYTECODE :=
PYTHON ?= python3
RUN := .venv/bin
WORKERS ?= 2
FUZZ_SECONDS ?= 600
HELM = $(or $(shell command -v helm 2>/dev/null),$(RUN)/helm)
READY := .venv/.ready
PYTEST := $(RUN)/python -m pytest
JUDGED := tests/chart/test_score.py tests/chart/test_alerts.py tests/chart/test_queries.py
COG := $(RUN)/cog -I . -p "import cog; from tools import tables" --verbosity=1
PAGES := CONTRIBUTING.md charts/pull-secret-webhook/README.md docs/*.md

.DEFAULT_GOAL := help
.PHONY: help run test unit coverage installed check fix docs audit fuzz bench bench-admission bench-sync bench-start bench-renewing bench-page screenshots image e2e e2e-setup package cluster clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z0-9-]+):.*## /\1\t/' | awk -F '\t' '{printf "  make %-16s %s\n", $$1, $$2}'

run: $(READY) ## run the main scenario on a real API server; ONCE=1 exits with the result
	@$(RUN)/python -m tests.demo $(if $(ONCE),--once)

test: $(READY) ## run unit, chart and integration tests in parallel (WORKERS=2)
	$(RUN)/python -m tests.cluster build >/dev/null
	$(PYTEST) -n $(WORKERS) --dist loadgroup $(JUDGED:%=--ignore=%) tests/unit tests/chart tests/integration

unit: $(READY) ## run only the unit tests, without a cluster
	$(PYTEST) -n $(WORKERS) tests/unit

coverage: $(READY) ## measure branch coverage of the unit and chart tests; less than the floor in pyproject.toml is an error
	$(PYTEST) -q -n $(WORKERS) --dist loadgroup --cov --cov-report=term:skip-covered tests/unit tests/chart

installed: $(READY) ## run the unit tests with the built wheel installed, on each of VERSIONS="3.11 3.12 3.13" that is there
	$(RUN)/python -m tools.installed --uv=$(UV) --workers=$(WORKERS) $(VERSIONS)

check: $(READY) ## check format, lint, types, import contracts, generated tables and the chart, without changing files
	$(RUN)/ruff format --check .
	$(RUN)/ruff check --no-fix .
	$(RUN)/mypy
	$(RUN)/lint-imports --no-cache
	$(RUN)/yamllint --strict .
	$(HELM) lint --strict --quiet --set image.registry=localhost,allowNoPullSecrets=true charts/pull-secret-webhook
	$(COG) --check --diff --check-fail-msg="run 'make fix'" $(PAGES)
	test -z "$$(gofmt -l tests/cluster/binary tests/e2e/certmanager tests/bench/baselines tests/oracle 2>/dev/null)"
	$(PYTEST) -q $(JUDGED)

fix: $(READY) ## format, fix lint findings, and regenerate tables, the chart's files and the screenshots
	$(RUN)/ruff check --fix .
	$(RUN)/ruff format .
	$(COG) -r $(PAGES)
	$(RUN)/python -m tools.chart.dashboard
	$(RUN)/python -m tools.chart.values_schema
	$(RUN)/python -m tests.chart.snapshots
	$(RUN)/python -m tools.docs.screenshots >/dev/null

docs: $(READY) ## build the documentation site in site/; broken links are errors
	@$(UV) sync --quiet --frozen --inexact --group docs
	@$(RUN)/python -m tools.site

audit: $(READY) ## look up known vulnerabilities of the locked dependencies, if a database is reachable
	$(RUN)/python -m tools.audit --uv=$(UV)

fuzz: $(READY) ## fuzz the readers of untrusted input, guided by coverage; FUZZ_SECONDS=600 for each target
	$(UV) sync --quiet --frozen --inexact --group fuzz
	for target in $(notdir $(wildcard tests/fuzz/corpus/*)); do \
	  nice $(RUN)/python -m tests.fuzz $$target --seconds=$(FUZZ_SECONDS) || exit 1; \
	done
	HOSTILE_SECONDS=$(FUZZ_SECONDS) $(PYTEST) -q -s tests/integration/test_hostile_http.py -k mixture

bench: bench-admission bench-sync ## run all benchmarks; writes JSON and plots to tests/bench/results
	$(UV) sync --quiet --frozen --inexact --group bench
	$(RUN)/python -m tests.bench.plots

bench-admission: $(READY) ## measure reviews and Pods per second, CPU and memory, beside two webhooks in Go (needs Go and wrk)
	$(RUN)/python -m tests.bench.load
	$(RUN)/python -m tests.bench.creates
	$(RUN)/python -m tests.bench.flood
	$(RUN)/python -m tests.bench.beside
	$(RUN)/python -m tests.bench.replicas
	$(RUN)/python -m tests.bench.footprint

bench-sync: $(READY) ## measure sync with NAMESPACES=500, or several numbers separated by commas, beside the same writes by client-go; needs Go
	$(RUN)/python -m compileall -q webhook certs  # as an image has them
	$(RUN)/python -m tests.bench.sync

bench-start: $(READY) ## measure the CPU time of commands from start to end
	$(RUN)/python -m compileall -q webhook certs  # as an image has them
	$(RUN)/python -m tests.bench.start

bench-renewing: $(READY) ## measure memory and CPU of sync for ten sources that renew themselves
	$(RUN)/python -m compileall -q webhook certs  # as an image has them
	$(RUN)/python -m tests.bench.renewing

bench-page: $(READY) ## measure size and time of the status page with 10, 2,000 and 10,000 namespaces, or NAMESPACES=10,500
	$(RUN)/python -m tests.bench.page

screenshots: $(READY) ## take the pictures of rotations and of the status page for the documentation, with a real cluster and Chromium
	$(RUN)/python -m tools.docs.screenshots rotations
	$(RUN)/python -m tools.docs.screenshots pages

image: $(READY) ## build the container image with docker, podman or buildah; IMAGE=name BASE_IMAGE=base, ARCHIVE=file to save it, PROVIDERS=folder to add programs
	@$(RUN)/python -m tools.image

e2e: $(READY) ## run scenarios on a real node with a private registry (root on Linux), or on the cluster of E2E_KUBECONFIG
	@$(RUN)/python -m tests.e2e

e2e-setup: $(READY) ## install the packages for e2e and a few other tests with apt-get
	@$(RUN)/python -m tests.e2e setup

package: $(READY) ## write the published artifacts to dist: chart, wheel, image, bill of materials, checksums
	rm -rf dist
	$(UV) build --quiet --wheel --out-dir dist
	$(HELM) package --destination dist charts/pull-secret-webhook
	$(UV) export --quiet --frozen --no-default-groups --preview-features sbom-export --format cyclonedx1.5 \
		--output-file dist/pull-secret-webhook.cdx.json
	ARCHIVE=dist/pull-secret-webhook-image.tar $(RUN)/python -m tools.image
	cd dist && { sha256sum *.* || shasum -a 256 *.*; } > SHA256SUMS

cluster: $(READY) ## start a local control plane for experiments, until Ctrl-C
	@$(RUN)/python -m tests.cluster up

clean: ## remove build results; the cluster's binary stays in the user's cache
	rm -rf .venv dist build site .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage

$(READY): pyproject.toml uv.lock
	@test -x "$(UV)" || { $(PYTHON) -m venv .venv && .venv/bin/python -m pip install --quiet --require-hashes -r .ci/uv.txt; }
	$(UV) sync --quiet --frozen --inexact --compile-bytecode
	@touch $@
