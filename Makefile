# `make demo` shows the main job, `make test` checks everything. Both work alone in a fresh clone.

PYTHON_SOURCES := python examples docs bench fuzz
VENV := .venv/bin
# How many reads `make torture` makes at least.
READS := 100000000

# For how long `make fuzz` tries each target.
FUZZ_SECONDS := 60

.PHONY: build demo test bench torture fuzz fmt check test-rust test-python clean

build: ## Builds the Python package and the `ads` program into .venv
	@scripts/prepare python/requirements-build.txt
	@VIRTUAL_ENV=$(CURDIR)/.venv $(VENV)/maturin develop --quiet --release --locked --manifest-path python/Cargo.toml

demo: build ## Two agents, one store, twice
	@examples/demo/demo.sh

test: check test-rust test-python ## Everything

check: ## Formatting and lints
	@scripts/prepare python/requirements-build.txt python/requirements-dev.txt
	cargo fmt --all --check
	cargo clippy --quiet --workspace --all-targets --locked -- --deny warnings
	$(VENV)/ruff check --quiet $(PYTHON_SOURCES)
	$(VENV)/ruff format --quiet --check $(PYTHON_SOURCES)

test-rust: ## Units, conformance of every engine, processes, the `ads` program, documentation
	@scripts/postgres
	cargo test --quiet --workspace --locked
	RUSTDOCFLAGS="--deny warnings" cargo doc --quiet --workspace --no-deps --locked

# Built like the Rust tests, with which it then shares nearly all that it depends on. What users get takes minutes more to
# compile: `make build` makes that, also where this has been before.
test-python: ## The package, its types and stubs, the examples, every block of the docs
	@scripts/prepare python/requirements-build.txt python/requirements-dev.txt
	@scripts/prepare-inspector
	@scripts/postgres
	@VIRTUAL_ENV=$(CURDIR)/.venv $(VENV)/maturin develop --quiet --locked --manifest-path python/Cargo.toml
	cargo build --quiet --locked --workspace --bin throwaway-postgres
	cd python && ../$(VENV)/mypy agent_data_store tests && ../$(VENV)/python -m mypy.stubtest agent_data_store
	$(VENV)/python -m pytest python examples docs

bench: ## Our engines against the peers; options in BENCH, for instance BENCH=--quick
	@bench/run $(BENCH)

torture: ## The long form of what looks for losses: the cache (READS=1000000000 for ten times as long), disks, histories
	@scripts/postgres
	ADS_TORTURE_READS=$(READS) cargo test --quiet --release --package agent-data-store --lib --locked stress
	ADS_TEST_LONG=1 cargo test --quiet --package agent-data-store --test storage --locked -- --nocapture
	ADS_TEST_LONG=1 cargo test --quiet --package agent-data-store-cli --test histories --locked -- --nocapture

fuzz: build ## Fuzzes each target for a minute: FUZZ_SECONDS=600 for ten; the JSON of the store against Python's, too
	FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz/run
	$(VENV)/python fuzz/against_python.py $(FUZZ_SECONDS)

fmt: ## Formats everything
	cargo fmt --all
	$(VENV)/ruff check --quiet --fix $(PYTHON_SOURCES)
	$(VENV)/ruff format --quiet $(PYTHON_SOURCES)

clean:
	rm -rf target .venv bench/.venv
