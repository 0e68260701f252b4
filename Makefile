# One entry for people, CI and tests: `make` says what there is.

SHELL := /bin/sh
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
RUN := $(VENV)/bin/python
SERVICES := $(RUN) -m tests.services
# Nobody's .env or exported settings have a say in what is not theirs.
ALONE := ENV_FILE= DATABASE_URL= RABBITMQ_URL=
PRODUCTION := ENV_FILE= DEBUG= INSECURE_HTTP= \
	SECRET_KEY=0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ \
	DATABASE_URL=postgresql://push@db.example.org/push RABBITMQ_URL=amqps://push:secret@mq.example.org/ \
	USER_SERVICE_URL=https://users.example.org TEMPLATE_SERVICE_URL=https://templates.example.org \
	API_GATEWAY_URL=https://gateway.example.org ALLOWED_HOSTS=push.example.org

.DEFAULT_GOAL := help
.PHONY: help demo test test-faults test-a-to-e test-f-to-z chaos check check-console screenshots bench lock settings clean

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime ## run everything on this machine, with the sandbox, until Ctrl-C
	@$(ALONE) $(RUN) manage.py demo

test: $(VENV)/.dev ## run every test, beside a RabbitMQ and a PostgreSQL of its own (ARGS="-k words")
ifdef ARGS
	$(SERVICES) $(RUN) -m pytest $(ARGS)
else
	@$(MAKE) --no-print-directory -j3 --output-sync=target test-faults test-a-to-e test-f-to-z
endif

# Most of the time is waited: so there are three lanes, each beside servers of its own.
test-faults:
	@$(SERVICES) $(RUN) -m pytest tests/chaos

test-a-to-e:
	@$(SERVICES) $(RUN) -m pytest tests/test_[a-e]*.py

test-f-to-z:
	@$(SERVICES) $(RUN) -m pytest tests/sandbox tests/test_[!a-e]*.py

chaos: $(VENV)/.dev ## make every fault on purpose, the soak included (SOAK_SEED="1 2 3"); see docs/chaos.md
	$(SERVICES) $(RUN) -m pytest tests/chaos -m "fault or long" $(ARGS)
	$(SERVICES) $(RUN) -m pytest tests/test_ledger_machine.py --hypothesis-profile chaos

check: $(VENV)/.dev ## lint, format, types, migrations, deployment
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(ALONE) $(VENV)/bin/mypy
	$(ALONE) $(RUN) manage.py makemigrations --check --dry-run
	$(PRODUCTION) $(RUN) manage.py check --deploy --fail-level WARNING

check-console: $(VENV)/.dev ## the delivery console in a real browser: every page, every action, accessibility
	@$(RUN) -m tests.browser.chromium
	@$(SERVICES) $(RUN) -m pytest tests/browser -m browser $(ARGS)

screenshots: $(VENV)/.dev ## take a picture of every page of the console, into docs/console/
	@$(RUN) -m tests.browser.chromium
	@$(SERVICES) $(RUN) -m pytest tests/browser/screenshots.py -m browser $(ARGS)

bench: $(VENV)/.dev ## measure, end to end, beside firebase-admin (ARGS="--runs 5")
	$(SERVICES) $(RUN) -m bench $(ARGS)

lock: ## compile requirements*.txt anew from requirements*.in (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet \
		--upgrade -o requirements.txt requirements.in
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --quiet \
		--upgrade -o requirements-dev.txt requirements-dev.in

settings: $(VENV)/.runtime ## write .env.example, docs/settings.md, docs/providers.md
	$(RUN) -m pushproject.environment_docs
	$(RUN) -m providers.verdict_docs

clean: ## remove the virtual environment, the caches, and the demo's data
	rm -rf $(VENV) var .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A virtual environment that is already there is used if its Python will do, and made anew if not.
$(VENV)/bin/python:
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or newer is needed, and none is on PATH." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make virtual environments: install python3-venv." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)

$(VENV)/.python: $(VENV)/bin/python
	@$(RUN) -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ rm -rf $(VENV) && $(MAKE) --no-print-directory $(VENV)/bin/python; }
	@touch $@

$(VENV)/.runtime: requirements.txt $(VENV)/.python
	@echo "Installing what the service needs (a minute, the first time) …"
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.python
	@echo "Installing what the service and its tests need (a minute or two, the first time) …"
	@$(RUN) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@ $(VENV)/.runtime
