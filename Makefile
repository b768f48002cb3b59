# Every target can be run again, also after an interruption; what is done already is not done twice.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory
# Hundreds of processes are started here. Where no bytecode may be kept, each compiles all that it imports: a third of the work of a node's start.
export PYTHONDONTWRITEBYTECODE :=

PYTHON ?= python3
SEEDS ?=
ROUNDS ?= 3
MINUTES ?= 1
INPUTS ?= 200000
TIMES ?= 20
ONLY ?=
FILES ?=
SUITE ?=
VERSION ?=
REGISTRY ?=
KEY ?=
URL ?=
CLUSTER := $(PYTHON) kind/local.py
# What is compiled where that is possible (node_image/compile.py). The mark in an environment is named after the content of all that goes in.
PYX := $(wildcard node_image/counter_node/*/*.pyx)
COMPILED := .compiled-from-$(shell cat $(PYX) node_image/compile.py requirements/compile.txt 2>/dev/null | cksum | cut -d' ' -f1)
PY := .venv/bin/python
# Named after the content of the lock file: another lock file makes another environment.
VENV := .venv/.made-from-$(shell cat requirements/dev.txt pyproject.toml 2>/dev/null | cksum | cut -d' ' -f1)
# Benchmarks run on the distribution's Python where there is one: it is built with profile and link-time optimization, as the image's is and as those
# that people build for themselves (pyenv) are not; a quarter of the interpreter's speed.
BENCH_PYTHON ?= $(firstword $(wildcard /usr/bin/python3) $(PYTHON))
BENCH := .venv/bench/.made-from-$(shell cat requirements/bench.txt 2>/dev/null | cksum | cut -d' ' -f1)
SCAN := .venv/scan/.made-from-$(shell cat requirements/scan.txt 2>/dev/null | cksum | cut -d' ' -f1)
IN_BENCH = PYTHONPATH=$(CURDIR)/node_image:$(CURDIR)/client:$(CURDIR) .venv/bench/bin/python3
IN_CLUSTER = eval "$$($(CLUSTER) env)" &&

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(VENV) ## .venv with everything that development needs, from the lock file; compiles what can be compiled
	@$(call compile,.venv)

$(VENV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed, this is " + sys.version)'
	@echo "setup: installing requirements/dev.txt into .venv"
	@$(PYTHON) -m venv .venv
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(PY) -c 'import pathlib, sysconfig; \
	  pathlib.Path(sysconfig.get_path("purelib"), "countercluster.pth").write_text( \
	    "".join(f"{pathlib.Path(name).resolve()}\n" for name in ("node_image", "operator", "client")))'
	@rm -f .venv/.made-from-* .venv/.compiled-from-*
	@touch $@

.PHONY: cluster
cluster: ## the local kind cluster, the project's images on it, the operator running
	@$(CLUSTER) up
	@$(MAKE) install

.PHONY: install
install: ## applies manifests/install.yaml to the local cluster and waits for the operator
	@$(IN_CLUSTER) kubectl apply --server-side -f manifests/install.yaml
	@# The image's tag stays when its content changes: its id in the pod template starts the operator again then, and only then.
	@$(IN_CLUSTER) kubectl -n countercluster-system patch deployment countercluster-operator --type merge -p "{\"spec\":{\"template\":{ \
	  \"metadata\":{\"annotations\":{\"countercluster.io/image-id\":\"$$(docker image inspect -f '{{.Id}}' countercluster/operator:dev)\"}}}}}"
	@$(IN_CLUSTER) kubectl -n countercluster-system rollout status deployment/countercluster-operator --timeout=120s

.PHONY: images
images: ## rebuilds the images and brings what changed to the running cluster
	@$(CLUSTER) load

.PHONY: demo
demo: setup cluster ## shows a cluster that counts through crashes, scaling and a roll
	@$(IN_CLUSTER) $(PY) examples/demo.py

.PHONY: lint
lint: setup ## ruff and mypy --strict
	@.venv/bin/ruff check . && .venv/bin/ruff format --check --quiet .
	@.venv/bin/mypy node_image operator client generators kind benchmarks

# A test that is skipped because a program is missing hides what it should show.
.PHONY: packages
packages: ## the Debian packages that tests call, where root can install them
	@$(CLUSTER) packages

.PHONY: unit
unit: setup packages ## tests of the pure rooms
	@$(call pytest,tests/unit -n 2 --dist loadfile)

.PHONY: sim
sim: setup ## simulated clusters; SEEDS=2000 runs more of them, SEEDS=17-17 one again
	@$(if $(SEEDS),PYTHONPATH=node_image:client:. $(PY) -m tests.simulation $(SEEDS),$(call pytest,tests/simulation))

.PHONY: integration
integration: setup packages clients s3-server ## real processes on loopback: crashes, partitions, disk errors, stock clients
	@$(call pytest,tests/integration tests/clients)
	@$(MAKE) integration-pure

# What a compiled module has a part in.
.PHONY: integration-pure
integration-pure: setup ## the tests of commands and replies once more, with nodes in pure Python
	@COUNTER_PURE=1 $(call pytest,$(addprefix tests/unit/test_,fast_lane.py client_slices.py client_replies.py) \
	  tests/integration/test_node.py $(addprefix tests/clients/test_,\
	  same_as_redis.py redis_py.py limits.py stock_clients.py))

.PHONY: faults
faults: setup ## real processes killed, paused and cut off under load, the books checked; MINUTES=30
	@PYTHONPATH=node_image:client:. $(PY) -m tests.faults --minutes $(MINUTES)

# End-to-end files need the cluster, and only then is it brought up.
.PHONY: flaky
flaky: setup packages clients s3-server $(if $(findstring e2e,$(or $(FILES)$(ONLY),e2e)),cluster) ## repeats test files, also under load and on one core: TIMES=20 ONLY=integration FILES=test_cache
	@$(if $(findstring apiserver,$(or $(ONLY),apiserver)),$(CLUSTER) programs >/dev/null)
	@$(if $(findstring e2e,$(or $(FILES)$(ONLY),e2e)),$(IN_CLUSTER)) PYTHONPATH=node_image:operator:client:. $(PY) -m tests.flaky \
	  --times $(TIMES) $(addprefix --only ,$(ONLY)) $(FILES)

.PHONY: mutations
mutations: setup ## breaks the node on purpose in every known way and shows what of the tests finds it
	@$(PY) -m tests.mutations

.PHONY: pictures
pictures: setup cluster ## makes docs/images again, from real output: the plugin at the local cluster, increments through failures
	@$(IN_CLUSTER) PYTHONPATH=node_image:client:. $(PY) generators/pictures.py

.PHONY: figures
figures: setup ## how long a killed, a silent, a leaving leader is missed, and what a rejoining follower costs
	@$(PY) -m tests.faults.measure

.PHONY: fuzz
fuzz: setup ## made-up connections against parser and commands; INPUTS=10000000 for the long run
	@PYTHONPATH=node_image:client:. $(PY) -m tests.fuzz --inputs $(INPUTS)

.PHONY: redis-suite
redis-suite: setup ## Redis's own test suite against our nodes; SUITE=a source tree of Redis
	@PYTHONPATH=node_image:client:. $(PY) -m tests.redis_suite $(or $(SUITE),$(error SUITE=DIR is missing: a source tree of Redis 7.2 or later))

.PHONY: apiserver
apiserver: setup ## the resource, its permissions and the operator against a real API server without nodes
	@$(CLUSTER) programs >/dev/null
	@$(call pytest,tests/apiserver)

.PHONY: manifests-check
manifests-check: setup ## kubeconform, kube-score and a real API server judge the manifests and all that the operator makes
	@$(CLUSTER) programs >/dev/null
	@$(CLUSTER) checks >/dev/null
	@$(call pytest,tests/manifests)

.PHONY: s3-server
s3-server: ## the S3 server of the tests, built into the cache
	@$(CLUSTER) s3 >/dev/null

.PHONY: clients
clients: setup ## programs of stock clients in Go, JavaScript and Java, built into the cache
	@$(PY) -m tests.clients.stock.build

.PHONY: e2e
e2e: setup packages cluster ## the real images on the local cluster, and a release of them
	@$(IN_CLUSTER) $(call pytest,tests/e2e tests/release -m "e2e and not slow")

.PHONY: e2e-all
e2e-all: setup packages cluster ## with the long ones: machines killed, cut off and drained, the operator dying at every write, a stranger's cluster
	@$(IN_CLUSTER) $(call pytest,tests/e2e tests/release -m e2e)

.PHONY: test-fast
test-fast: lint unit sim ## what needs no cluster and no network

.PHONY: test
test: setup lint unit sim integration cluster apiserver manifests-check e2e ## everything, from a bare machine

.PHONY: bench
bench: bench-setup ## throughput and latency beside etcd, Redis, hashicorp/raft and PySyncObj, on loopback; ROUNDS=1 for a first look
	@$(IN_BENCH) -m benchmarks --rounds $(ROUNDS)

.PHONY: bench-parts
bench-parts: bench-setup ## what each stage of a command costs, and a node with a million counters: memory, restart, pauses
	@$(IN_BENCH) -m benchmarks.stages
	@$(IN_BENCH) -m benchmarks.large

.PHONY: bench-setup
bench-setup: setup $(BENCH)
	@# Modules compiled for .venv serve another Python of the same version as well.
	@test "$$($(call abi,.venv))" = "$$($(call abi,.venv/bench))" || { $(call compile,.venv/bench); }

$(BENCH): $(VENV)
	@$(call environment,bench,$(BENCH_PYTHON))
	@touch $@

.PHONY: pin
pin: ## writes down the digests of the base images, where images can be pulled
	@$(CLUSTER) pin

# With KEY (cosign's) it is signed; with URL, where dist/ will be published, krew can fetch the plugin.
.PHONY: release
release: setup ## images pushed and dist/VERSION written, to install from: VERSION=0.2.0 REGISTRY=host/path [KEY=cosign.key] [URL=https://…]
	@$(PY) -m kind.release --version "$(VERSION)" --registry "$(REGISTRY)" --key "$(KEY)" --url "$(URL)"

# Exit code 1: something was found; 2: nothing, and a list or an image was not there.
.PHONY: scan
scan: $(SCAN) ## images and lock files against the lists of vulnerabilities that can be reached; for the release's notes
	@$(PY) -m kind.packaging.scan

$(SCAN): $(VENV)
	@$(call environment,scan,$(PYTHON))
	@touch $@

.PHONY: down
down: ## deletes the local cluster and ends the engine if it was started here; keeps the cache
	@$(CLUSTER) down

.PHONY: clean
clean: ## down, and removes the cache, .venv and what tools left
	@$(CLUSTER) clean
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find node_image -name '*.so' -delete

# environment NAME PYTHON: .venv/NAME, from requirements/NAME.txt.
environment = echo "setup: installing requirements/$(1).txt into .venv/$(1)"; rm -rf .venv/$(1); $(2) -m venv --without-pip .venv/$(1); \
  $(PY) -m pip --python .venv/$(1)/bin/python3 install --quiet --disable-pip-version-check --require-hashes -r requirements/$(1).txt

# compile ENVIRONMENT: once for each content of the sources, and again when a module does not fit its source. A machine that cannot compile (exit code 3) was told so and goes on.
compile = { test -e $(1)/$(COMPILED) && ls $(PYX:.pyx=.*.so) && $(1)/bin/python3 node_image/compile.py --check; } >/dev/null 2>&1 || { echo "setup: compiling $(PYX)"; code=0; \
  $(1)/bin/python3 node_image/compile.py || code=$$?; rm -f $(1)/.compiled-from-*; \
  test $$code -eq 3 || { test $$code -eq 0 && touch $(1)/$(COMPILED); }; }
abi = $(1)/bin/python3 -c 'import sysconfig; print(sysconfig.get_config_var("EXT_SUFFIX"))'

# A folder without tests yet is no failure (pytest's exit code 5).
pytest = $(PY) -m pytest $(1) || { code=$$?; test $$code -eq 5; }
