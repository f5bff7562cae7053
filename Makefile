# Needs Rust only; what a target needs beyond that it fetches itself.
.PHONY: build demo test test-long bench lint fmt generate table image

export CARGO_TARGET_DIR ?= $(CURDIR)/target
BIN = $(CARGO_TARGET_DIR)/release

build: ## release binaries in target/release
	cargo build --release --bins

demo: ## the whole story on this machine, within three minutes after the build; KEEP=1 stays up, HARM=1 tries a harmful candidate
	cargo build --release --bins
	$(BIN)/phoenix demo $(if $(KEEP),--keep) $(if $(HARM),--harm)

test: ## everything CI runs
	scripts/test

test-long: ## an hour and a half: 8 000 generated cases a property, simulated experiments (benches/results/judge.md), a flood of series, a soak beside fuzzing
	scripts/test-long

bench: ## whole processes beside a Collector, ratios, memory a series, instruction counts, the captures
	scripts/bench

lint:
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets -- -D warnings

fmt:
	cargo fmt --all

generate: ## regenerate checked-in generated files (protobuf code, OpenAPI, JSON Schema, docs/problems.md)
	UPDATE=1 cargo test -p phoenix-tests --test it tidy::generated
	UPDATE=1 cargo test -p phoenix-engine --test schema --test problems
	UPDATE=1 cargo test -p phoenix-control-plane --test it openapi
	UPDATE=1 cargo test -p phoenix-analysis --test it schema

table: ## tables from the captures: what each template cuts (README), what a Collector makes of them (docs/collector.md)
	cargo build --release --bin phoenix
	scripts/template-table --update README.md
	UPDATE=1 cargo test -p phoenix-tests --test it scenarios::same_work

image: ## the agent's container image (buildah)
	scripts/image
