# Friday. `make` alone says what there is to do. Needs Go and GNU make 4.3; `make test` also a C
# compiler (the race detector), `make run` and `make interop` a Python 3 with venv.
.DEFAULT_GOAL := help
SHELL         := bash
.SHELLFLAGS   := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS     += --no-builtin-rules

GO         ?= go
BIN        ?= bin
FUZZTIME   ?= 10s
BENCHTIME  ?= 0.3s
IMAGE      ?= friday:$(VERSION)
UPSTREAM   ?=
BENCHREAL  ?=
BENCHPEERS ?=

VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# grpcnotrace leaves out a page of grpc's that nobody serves here, and with it html/template, which
# makes a program a quarter larger.
GOTAGS  := grpcnotrace
LDFLAGS := -s -w -X github.com/fridaymesh/friday/cmd/internal/version.release=$(VERSION)

# Tools are built once for each state of their go.sum files and each Go, outside the repository.
CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/friday
TOOLS := $(CACHE)/tools-$(shell { $(GO) env GOVERSION; cat .ci/tools/go.sum .ci/tools/*/go.sum; } | cksum | cut -d' ' -f1)

.PHONY: help
help: ## Say what there is to do.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build the programs into ./bin.
	CGO_ENABLED=0 $(GO) build -trimpath -tags $(GOTAGS) -ldflags '$(LDFLAGS)' -o $(BIN)/ ./cmd/... ./bench/cmd/...

.PHONY: run
run: build ## Friday before a real model server, measured; UPSTREAM=host:port for your own.
	$(BIN)/demo $(if $(UPSTREAM),--upstream $(UPSTREAM))

.PHONY: test
test: ## All tests, with the race detector.
	$(GO) test -race ./...

.PHONY: interop
interop: build ## Real clients against real servers through Friday, and jobs in a real PostgreSQL.
	$(GO) test -tags interop -count=1 -timeout 60m -v ./bench/interop/... ./bench/differential/... ./filters/jobs/...

# The first time kube-apiserver, etcd and helm are built from source.
.PHONY: e2e
e2e: build ## The webhook, policies and the chart at a real Kubernetes API server.
	FRIDAY_BIN=$(abspath $(BIN)) $(GO) test -tags e2e -count=1 -timeout 60m -v ./bench/e2e

.PHONY: bench
bench: build ## Go benchmarks, the scheduler in virtual time, then Friday beside a direct connection.
	$(GO) test -run '^$$' -bench . -benchmem -benchtime $(BENCHTIME) ./...
	$(BIN)/simulate
	$(BIN)/batchbench

# Needs root for some of the faults; what is not there is said and passed over.
.PHONY: chaos
chaos: build ## Faults under load, one after the other; then each alert, fired by its fault.
	$(BIN)/chaosbench
	$(BIN)/chaosbench --alerts

MINUTES ?= 30
.PHONY: soak
soak: build ## MINUTES (30) at 70% of what a server can do: does anything grow?
	$(BIN)/soakbench --minutes $(MINUTES) --plot $(BIN)/soak.svg --csv $(BIN)/soak.csv

.PHONY: bench-upgrade
bench-upgrade: build ## Friday replaced ten times under load; nothing may fail.
	$(BIN)/upgradebench

.PHONY: bench-peers
bench-peers: build ## Friday beside Envoy, nginx and HAProxy, as far as they are there.
	$(BIN)/peers $(BENCHPEERS)

# What is not there is said and passed over: exit code 3.
.PHONY: bench-real
bench-real: build ## Real model servers with and without Friday, each about five minutes.
	@for what in '--server mlserver' '--server mlserver --model digits-rf-ab' '--server mlserver --form grpc' \
		'--server triton' '--server triton --form binary' '--server triton --form grpc' '--server llama'; do \
		echo; echo "== realbench $$what"; code=0; \
		$(BIN)/realbench $$what $(BENCHREAL) || code=$$?; \
		[ $$code -eq 0 ] || [ $$code -eq 3 ] || failed="$${failed-}; $$what"; \
	done; \
	[ -z "$${failed-}" ] || { echo "failed$$failed" >&2; exit 1; }

.PHONY: lint
lint: $(TOOLS)/golangci-lint $(TOOLS)/gosec ## Static checks: golangci-lint, go vet, gosec.
	$(TOOLS)/golangci-lint run ./...
	$(GO) vet ./...
	$(TOOLS)/gosec -quiet -exclude-generated -exclude-dir=testdata ./...

.PHONY: fmt
fmt: $(TOOLS)/golangci-lint ## Format the code.
	$(TOOLS)/golangci-lint fmt

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME (10s) each.
	GO=$(GO) .ci/fuzz $(FUZZTIME)

.PHONY: generate
generate: $(TOOLS)/buf ## Write the Go code of xds/api's protos again.
	$(GO) build -o $(TOOLS)/protoc-gen-go google.golang.org/protobuf/cmd/protoc-gen-go
	cd xds/api && PATH="$(TOOLS):$$PATH" buf generate

.PHONY: image
image: ## Build the container image with docker or buildah.
	@if command -v docker >/dev/null; then build='docker build'; \
	elif command -v buildah >/dev/null; then build='buildah build'; \
	else echo 'make image: neither docker nor buildah is installed' >&2; exit 1; fi; \
	echo "$$build --build-arg VERSION=$(VERSION) -t $(IMAGE) ."; \
	$$build --build-arg VERSION=$(VERSION) -t $(IMAGE) .

.PHONY: release
release: ## What a release is made of, into dist/; VERSION=v1.2.3.
	.ci/release $(VERSION)

.PHONY: reproduce
reproduce: ## Builds the commit twice, in two folders, and compares.
	.ci/release --reproduce

.PHONY: clean
clean: ## Remove what was built here; the cache stays.
	rm -rf $(BIN)

.PHONY: tools
tools: ## Build every tool (benchstat, too) and say where it is.
	@for module in .ci/tools .ci/tools/lint .ci/tools/check; do (cd $$module && GOBIN=$(TOOLS) $(GO) install tool); done
	@ls -d $(TOOLS)/*

$(TOOLS)/golangci-lint:
	cd .ci/tools/lint && GOBIN=$(TOOLS) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint

$(TOOLS)/gosec:
	cd .ci/tools/check && GOBIN=$(TOOLS) $(GO) install github.com/securego/gosec/v2/cmd/gosec

$(TOOLS)/buf:
	cd .ci/tools && GOBIN=$(TOOLS) $(GO) install github.com/bufbuild/buf/cmd/buf
