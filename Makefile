# soadns: `make demo` shows it, `make test` proves it. `make help` lists the rest.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
SECONDS_EACH ?= 60
# Thousands of modules of the Kubernetes client are never imported: what is gets compiled when it is.
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile

# Under sudo the virtual environment is made by whom sudo was asked by: what root leaves in a clone, its owner can neither
# change nor remove. What an earlier run left is given back.
SETPRIV := $(firstword $(wildcard /usr/bin/setpriv /bin/setpriv))
ifneq ($(and $(filter-out 0,$(SUDO_UID)),$(SETPRIV)),)
export PYTHONPYCACHEPREFIX := $(or $(SOADNS_PARTS),$(HOME)/.cache/soadns)/bytecode
OWNER_HOME := $(shell getent passwd $(SUDO_UID) | cut -d: -f6)
GIVEN_BACK := $(shell test ! -e $(VENV) || chown -R -h --from=0 $(SUDO_UID):$(SUDO_GID) $(VENV))
$(VENV)/.%: SHELL := $(SETPRIV)
$(VENV)/.%: .SHELLFLAGS = --reuid=$(SUDO_UID) --regid=$(SUDO_GID) --clear-groups env HOME=$(OWNER_HOME) /bin/sh -c
endif

# Where the environment forbids bytecode, as images of containers do, every process that is started would compile all
# that it imports: for soadns that is most of its start, two seconds of a core. Here it is kept beside what else
# `make clean` removes (or where it is kept under sudo).
ifneq ($(PYTHONDONTWRITEBYTECODE),)
STARTING := demo-real test-unit test-long test-scenarios bench-change bench-dns bench-sidecar bench-survey bench-workers soak
$(STARTING): export PYTHONDONTWRITEBYTECODE :=
ifeq ($(PYTHONPYCACHEPREFIX),)
$(STARTING): export PYTHONPYCACHEPREFIX := $(abspath $(VENV))/bytecode
endif
endif

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo demo-real test test-unit test-long test-scenarios namespaces lint parts parts-benches fuzz bench-change bench-dns bench-fuzz bench-sidecar bench-survey bench-workers chart clients-page soak clean again

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-24s%s\n", $$1, $$2}'

NEW_ENOUGH = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
  { echo "soadns needs Python 3.11 or newer as '$(PYTHON)': make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }

WRITABLE = mkdir -p $(VENV) 2>/dev/null && test -w $(VENV) || \
  { echo "$(VENV) can not be written: make VENV=/folder/of/your/own ..." >&2; exit 1; }

# The virtual environment is made again when its Python is gone or changed, and when this folder was moved or copied:
# what is installed in it holds the path, and so does `.made`. One that was made by hand is taken as it is.
HAS_PIP = $(BIN)/python -c 'import pip' 2>/dev/null
WHOLE  := $(shell test "$$(cat $(VENV)/.made 2>/dev/null)" = '$(CURDIR)' && $(HAS_PIP) && echo yes)

$(VENV)/.made: $(if $(WHOLE),,again)
	@test ! -e $@ && $(HAS_PIP) || { $(NEW_ENOUGH); $(WRITABLE); \
	  echo "setup: making a virtual environment in $(VENV)"; \
	  $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
	    echo "the venv module is missing or incomplete. On Debian, as root: apt-get install python3-venv" >&2; exit 1; }; }
	@echo '$(CURDIR)' > $@

$(VENV)/.installed: pyproject.toml $(VENV)/.made
	@echo "setup: installing soadns and what it needs to run"
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-ads: pyproject.toml $(VENV)/.made
	@echo "setup: installing soadns and what it tells sidecars by (grpcio, xds-protos)"
	@$(PIP) -e '.[ads]'
	@touch $(VENV)/.installed $@

$(VENV)/.installed-dev: pyproject.toml $(VENV)/.made
	@echo "setup: installing soadns and what its tests need"
	@$(PIP) -e '.[dev]'
	@touch $(VENV)/.installed $(VENV)/.installed-ads $@

$(VENV)/.installed-plots: $(VENV)/.installed-dev
	@echo "setup: installing what draws plots"
	@$(PIP) -e '.[dev,plots]'
	@touch $@

demo: $(VENV)/.installed ## Run on example files: no ZooKeeper, no cluster, no root (ARGS=--once ends by itself)
	@exec $(BIN)/soadns demo $(ARGS)

demo-real: $(VENV)/.installed-ads ## The same for real: Dubbo and SOFARPC in a small cluster of this machine's, in two minutes; as root (ARGS=--pause)
	@test "$$(id -u)" = 0 || { echo "make demo-real makes network namespaces, which takes root: sudo make demo-real" >&2; exit 2; }
	@$(BIN)/python -B tools/parts.py --demo
	@exec $(BIN)/python -m tests.demo $(ARGS)

test: namespaces lint test-unit test-long test-scenarios ## Everything, with real servers; sets itself up

test-unit: $(VENV)/.installed-dev ## What needs nothing but Python; half a minute
	@echo "test: rules, situations and packets"
	@$(BIN)/python -m pytest -q -n 2 --dist worksteal -m 'not long' tests/unit tests/situations $(ARGS)

# Three at a time on two cores: a third of the time somebody waits for a process.
test-long: $(VENV)/.installed-dev ## The rest of that: processes, and rules over many orders of events; a minute
	@echo "test: processes, masses and orders of events"
	@$(BIN)/python -m pytest -q -n 3 --dist worksteal -m long tests/unit tests/situations $(ARGS)

namespaces:
	@unshare --net --mount --pid --fork true 2>/dev/null || { \
	  echo "the scenarios make network namespaces, which takes root with CAP_SYS_ADMIN; without it: make lint test-unit test-long" >&2; exit 2; }

# Two stories at a time: half of the time one waits for clocks, or for a process. A third one fills two cores, so that
# little is won by it, and callers wait for their turn.
test-scenarios: namespaces $(VENV)/.installed-dev parts ## Scenarios with real ZooKeeper, kube-apiserver, etcd, Knot, NSD ...
	@echo "test: scenarios with real servers, two stories at a time"
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --no-loadscope-reorder -m 'not alone' tests/scenarios $(ARGS); told=$$?; \
	  echo "test: scenarios under load, one at a time"; \
	  $(BIN)/python -m pytest -q -m alone tests/scenarios $(ARGS); more=$$?; \
	  test $$told$$more = 00 -o $$told$$more = 05 -o $$told$$more = 50  # 5: what ARGS selects is in the other half

lint: $(VENV)/.installed-dev ## ruff, mypy, import contracts
	@echo "lint: ruff, mypy, import contracts"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

parts: ## Get the real servers into $SOADNS_PARTS (default ~/.cache/soadns)
	@$(NEW_ENOUGH)
	@$(PYTHON) -B tools/parts.py

parts-benches: ## Those, and what benchmarks compare with
	@$(NEW_ENOUGH)
	@$(PYTHON) -B tools/parts.py --benches

fuzz: $(VENV)/.installed-dev ## Every fuzz target for SECONDS_EACH seconds
	@for target in $(filter-out running,$(basename $(notdir $(wildcard tests/fuzz/[a-z]*.py)))); do \
	  echo "fuzz: $$target for $(SECONDS_EACH) seconds"; \
	  $(BIN)/python -m tests.fuzz.$$target --seconds $(SECONDS_EACH) $(ARGS) || exit 1; \
	done

bench-change: $(VENV)/.installed-dev parts ## From znode write to changed answer, on real ZooKeeper
	@$(BIN)/python -m tests.bench.change $(ARGS)

bench-dns: $(VENV)/.installed-plots parts-benches ## Beside Knot, NSD, dnsmasq and CoreDNS: 10 minutes, two idle cores (FULL=1: every combination)
	@$(BIN)/python -m tests.bench.dns $(if $(FULL),--full) $(ARGS)

bench-fuzz: $(VENV)/.installed-dev ## A million damaged packets, and what became of them
	@$(BIN)/python -m tests.bench.fuzz $(ARGS)

bench-sidecar: namespaces $(VENV)/.installed-dev parts ## From znode write to what sidecars do, and what they take; as root (ARGS='--only drds mosn')
	@$(BIN)/python -m tests.bench.sidecar $(ARGS)

bench-survey: $(VENV)/.installed-dev parts ## A survey and an export of 20,000 interfaces, on real ZooKeeper
	@$(BIN)/python -m tests.bench.survey $(ARGS)

bench-workers: $(VENV)/.installed-dev parts-benches ## What callers notice while processes die; one worker and two (ARGS='--stopped 5' is shorter)
	@$(BIN)/python -m tests.bench.workers $(ARGS)

chart: $(VENV)/.installed-dev parts ## What of deploy follows from other files: the chart's schema of the configuration, the plain manifests
	@$(BIN)/python -B tools/chart.py

clients-page: $(VENV)/.installed-dev ## The tables of docs/clients.md, coredns.md and istio.md, from what the last test-scenarios measured
	@told=0; for page in tests.clients.page tests.scenarios.stage.corednspage tests.scenarios.stage.istiopage; do \
	  $(BIN)/python -m $$page || told=1; done; exit $$told

soak: $(VENV)/.installed-dev parts-benches ## Ten minutes of a thousand changes a second: memory, latencies, nothing lost (ARGS='--minutes 1')
	@$(BIN)/python -m tests.bench.soak $(ARGS)

clean: ## Remove what the other targets made in this folder
	rm -rf $(VENV) build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
