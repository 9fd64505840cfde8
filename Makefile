# Everything runs in .venv. Each goal makes it if it is missing.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
PIP := pip install --quiet --disable-pip-version-check
SAMPLES := $(wildcard manifests/images/*.jpg manifests/images/*.png)
ALL := --constraint constraints.txt --editable '.[dev,heic]'

.PHONY: install demo demo-s3 serve test test-all check format reference chaos crowd power-loss mutations fuzz audit bench-cpu bench-gpu clean

install: $(INSTALLED)

# uv installs in a third of the time of pip. It does not read the configuration of pip, so pip tries where uv fails.
$(INSTALLED): pyproject.toml constraints.txt
	@echo "Installing into .venv; the first time this downloads PyTorch and takes a few minutes."
	@$(PYTHON) -m venv .venv
	@{ $(BIN)/python -m $(PIP) --constraint constraints.txt uv \
		&& $(BIN)/uv pip install --quiet --python $(BIN)/python $(ALL); } || $(BIN)/python -m $(PIP) $(ALL)
	@touch $(INSTALLED)

demo: install
	@$(BIN)/nst-pipeline run manifests/demo.json --outbox outbox
	@echo "Open outbox/demo/index.html in a browser to see the pictures."

demo-s3: install
	@$(BIN)/python -m manifests.demo_s3

# The name differs from that of the demo, because `make demo` refuses to write to results of an inbox.
serve: install
	@mkdir -p inbox/images
	@cp $(SAMPLES) inbox/images/
	@cp manifests/demo.json inbox/samples.json
	@echo "Open http://localhost:5002/ in a browser. Ctrl-C stops the server."
	@$(BIN)/nst-pipeline serve --inbox inbox --outbox outbox

test: install
	@$(BIN)/python -m pytest --numprocesses 4 --dist worksteal

# Also the tests that take longest: tiles of large pictures, Ray, and all mutations.
test-all: install
	@$(BIN)/python -m pytest --numprocesses 4 --dist worksteal -m 'long or not long'

check: install
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy

format: install
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

# Writes the tables of docs/manifest.md from the models.
reference: install
	@$(BIN)/python -m pipeline.manifest.reference docs/manifest.md

chaos: install
	@$(BIN)/python -m tests.chaos
	@$(BIN)/python -m tests.chaos_shards
	@$(BIN)/python -m tests.chaos_ray

# Kills an HTTP door while 200 clients use it; see tests/crowd.py.
crowd: install
	@$(BIN)/python -m tests.crowd

# Replays a power loss after every step on disk; see tests/power_loss.py.
power-loss: install
	@$(BIN)/python -m tests.power_loss

# Breaks one promise after the other in a copy, and expects its test to fail.
mutations: install
	@$(BIN)/python -m pytest --numprocesses 2 -m 'long or not long' tests/test_mutations.py

# Each of the two runs takes ten minutes.
fuzz: install
	@$(BIN)/python -m $(PIP) atheris
	@$(BIN)/python -m tests.fuzz image .fuzz/image -max_total_time=600
	@$(BIN)/python -m tests.fuzz manifest .fuzz/manifest -max_total_time=600

# Reports known vulnerabilities of the dependencies, and lists all installed packages as CycloneDX.
audit: install
	@$(PYTHON) -m venv .audit
	@.audit/bin/python -m $(PIP) pip-audit cyclonedx-bom
	@.audit/bin/pip-audit --progress-spinner off --requirement constraints.txt --no-deps --disable-pip
	@.audit/bin/cyclonedx-py environment --output-file sbom.json $(BIN)/python

bench-cpu: install
	@$(BIN)/python -m benchmarks.baseline
	@$(BIN)/python -m benchmarks.shape
	@$(BIN)/python -m benchmarks.overhead
	@$(BIN)/python -m benchmarks.regions

bench-gpu: install
	@$(BIN)/python -m benchmarks.gpu

clean:
	rm -rf .venv .audit .fuzz outbox/demo outbox/samples sbom.json
	rm -rf inbox/samples.json inbox/*/samples.json
	for image in $(SAMPLES:manifests/%=%); do ! cmp -s manifests/$$image inbox/$$image || rm inbox/$$image; done
