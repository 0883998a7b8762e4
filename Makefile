# Names for what one types often; bin/demo and bin/test do their own set-up.
.DEFAULT_GOAL := help
BIN := .venv/bin
setup ?= typical
scenario ?= typical

.PHONY: help
help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  IMAGE=debian:12 (or ubuntu:24.04, ...) chooses the servers' system, JOBS=2 how many at a time."

.PHONY: demo
demo:  ## a server in a container with the photo album on it (setup=typical)
	bin/demo $(setup)

.PHONY: test lint unit templates
test:  ## all tests, as in CI
	bin/test
lint:  ## yamllint, ansible-lint, ruff, mypy, shellcheck
	bin/test lint
unit:  ## filters, schema, modules
	bin/test unit
templates:  ## rendered configurations, judged by the parsers that will read them
	bin/test templates

.PHONY: molecule converge verify destroy
molecule:  ## every scenario on fresh servers; make converge, verify, destroy (scenario=typical) for one
	bin/test molecule
converge: ; bin/molecule converge -s $(scenario)
verify: ; bin/molecule verify -s $(scenario)
destroy: ; bin/molecule destroy -s $(scenario)

.PHONY: bench bench-workers
bench: $(BIN)/ansible  ## measure what the project claims
	bench/run
bench-workers: $(BIN)/ansible  ## restart and kill the workers of task queues under load
	bench/run workers

.PHONY: docs
docs: $(BIN)/ansible  ## write the generated parts of the documentation anew
	PATH="$(CURDIR)/$(BIN):$$PATH" python docs/generate.py

.PHONY: golden
golden: $(BIN)/ansible  ## write down anew what would be put on hosts (tests/golden)
	PATH="$(CURDIR)/$(BIN):$$PATH" python -m tests.golden.record

.PHONY: format
format: $(BIN)/ansible  ## let ruff format the Python
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

# No address of a package index gets into the pins.
COMPILE := UV_SYSTEM_CERTS=1 $(BIN)/uv pip compile --quiet --universal --python-version 3.10 \
	--generate-hashes --no-emit-index-url --no-annotate --no-header
# Those that others must agree with come first.
DEMO_PINS := requirements requirements-s3 requirements-rq $(addprefix requirements-,django_q celery huey django_tasks redis memcached test)
.PHONY: lock
lock: $(BIN)/ansible  ## take newer versions into the pins, the demo's too (upgrade=--upgrade)
	cd requirements && for name in run oldest dev gixy-next; do \
		$(subst $(BIN),../$(BIN),$(COMPILE)) $(upgrade) $$name.in --output-file $$name.txt; done
	cd requirements && $(subst $(BIN),../$(BIN),$(COMPILE)) $(upgrade) certbot.in \
		--output-file ../roles/certificates/files/opt/homeport/certbot/requirements.txt
	cd examples/memories && for name in $(DEMO_PINS); do \
		$(subst $(BIN),../../$(BIN),$(COMPILE)) $(upgrade) $$name.in --output-file $$name.txt || exit; done

.PHONY: clean
clean:  ## remove servers, images, .venv and .cache
	bin/demo --clean --all

$(BIN)/ansible: requirements/dev.txt
	bin/setup
