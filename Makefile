# The two commands of the README are `make demo` and `make test`; each does its own set-up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# The SAM CLI and checkov pin versions that the SDKs do not agree with, so each has an environment of its own.
SAM := .venv-sam
CHECKOV := .venv-checkov

CHECKED := cloud_functions/template.yaml cloud_functions/fleet.yaml

PAGE := cloud_functions/dashboard

# Without the compiled files of the tests, each worker spends ten seconds on compiling them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install demo page docs test test-fast mutation check format bench clean

# The environment and the page, with which the commands of .venv/bin/strandline work. Tests and checks need more packages.
install: $(VENV)/.installed page

demo: install
	$(BIN)/strandline demo $(ARGS)

# Two workers more than two cores, because the tests of the whole system mostly wait.
test: $(VENV)/.ready page
	$(BIN)/python -m pytest --numprocesses 4 --dist loadgroup --no-loadscope-reorder $(ARGS)

# The built page is not in the repository. Node 20 comes from the machine, or else from PyPI.
page: $(PAGE)/dist/.inputs

$(PAGE)/dist/.inputs: $(wildcard $(PAGE)/package*.json $(PAGE)/*.mjs $(PAGE)/tsconfig.json $(PAGE)/build.py $(PAGE)/src/* $(PAGE)/src/*/*)
	@$(PYTHON) -m cloud_functions.dashboard.build
	@touch $@

# The documentation site in build/site, with links checked; a warning is an error.
docs: $(VENV)/.ready
	$(BIN)/python -m mkdocs build --strict $(ARGS)

# Tests without processes, brokers and long computations, with fewer examples of the property tests: about 80 seconds.
test-fast: $(VENV)/.ready
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal -p no:schemathesis --hypothesis-profile fast -m 'not slow' \
		tests/unit tests/property tests/contract tests/compat $(ARGS)

# Sampled mutants of the critical modules; not part of CI. make mutation ARGS="--only cloud_functions --seed 2"
mutation: $(VENV)/.ready
	$(BIN)/python -m tests.mutation.run $(ARGS)

check: $(VENV)/.ready $(SAM)/.ready $(CHECKOV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python docs/check_language.py
	$(BIN)/cfn-lint $(CHECKED)
	SAM_CLI_TELEMETRY=0 AWS_DEFAULT_REGION=us-east-1 $(SAM)/bin/sam validate --lint --template cloud_functions/template.yaml
	$(CHECKOV)/bin/checkov --config-file .checkov.yaml $(addprefix --file ,$(CHECKED))

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Nothing of make's own on stdout: `make bench ARGS=--json` is one JSON object.
bench: $(VENV)/.ready
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@$(BIN)/python -m benchmarks.wire $(ARGS)

$(VENV)/.installed: pyproject.toml
	@echo 'installing packages into $(VENV), 450 MB, which takes some minutes' >&2
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] if sys.version_info < (3, 11) else 0)'
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[sim,train,serial]'
	@touch $@

$(VENV)/.ready: $(VENV)/.installed
	@echo 'installing the packages of tests and checks into $(VENV), 800 MB' >&2
	@PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(SAM)/.ready:
	$(PYTHON) -m venv $(SAM)
	$(SAM)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(SAM)/bin/python -m pip install --quiet --disable-pip-version-check aws-sam-cli
	touch $@

$(CHECKOV)/.ready:
	$(PYTHON) -m venv $(CHECKOV)
	$(CHECKOV)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(CHECKOV)/bin/python -m pip install --quiet --disable-pip-version-check checkov
	touch $@

clean:
	rm -rf $(VENV) $(SAM) $(CHECKOV) .venv-node greengrass-build build .strandline $(PAGE)/dist $(PAGE)/node_modules
