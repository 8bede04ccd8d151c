# What a person types, and CI too. Every environment is made here, from pinned and hashed requirements alone.

SHELL := bash
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

# One more than there are processors: many tests wait for a clock, a broker or a process.
WORKERS ?= $(shell echo $$(( $$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2) + 1 )))
PYTEST_ARGS ?=

ifdef MAKE_TERMOUT
ifndef NO_COLOR
BOLD := $(shell printf '\033[1m')
FAINT := $(shell printf '\033[2m')
RED := $(shell printf '\033[31m')
PLAIN := $(shell printf '\033[0m')
endif
endif
say = printf '\n$(BOLD)▸ %s$(PLAIN)\n'
fail = printf '\n$(RED)$(BOLD)✗ %s$(PLAIN)\n' >&2

.PHONY: help
help:
	@printf '\n$(BOLD)fluss-gateway$(PLAIN): the list of who may open the gate, on a small board beside it\n\n'
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  $(BOLD)make \1$(PLAIN)\t\2/p' $(MAKEFILE_LIST) | expand -t 24
	@printf '\n$(FAINT)  It takes Python 3.11 or newer (PYTHON=… to choose one) and a network, and stays in this folder.$(PLAIN)\n\n'

# ── For everybody ──────────────────────────────────────────────────────────────────────────────────────────────────────

.PHONY: demo
demo: .venv-demo/.ready  ## the whole thing on this machine: import a list, watch it land at the gate
	@.venv-demo/bin/fluss-simulator demo

.PHONY: test
test: counterparts lint  ## everything that must hold: style, types, the direction of imports, the tests
	@$(say) 'Tests'
	@.venv/bin/python -m pytest --numprocesses $(WORKERS) --dist worksteal $(PYTEST_ARGS)

# A failing seed or state is printed with what repeats it; SOAK=400 goes on for a night.
SOAK ?= 40
SOAKED = $(shell grep -rl 'counterparts.soak import' tests --include='test_*.py')
.PHONY: soak
soak: counterparts .venv/.ready  ## power cuts, kills, sick disks, bit rot, simulated days: the same as in the tests, for hours
	@$(say) 'Everything that could go on for ever, $(SOAK) times as long as in the tests'
	@SOAK=$(SOAK) .venv/bin/python -m pytest --numprocesses $(WORKERS) --dist worksteal --timeout 0 $(PYTEST_ARGS) $(SOAKED)
	@cp build/tried.json docs/reliability/soak.json && .venv/bin/python -m docs.generate

# Debian 12 in an emulator, a whole machine for each of two workers; SOAK=10 cuts its power ten times as often.
MACHINE := build/machine
.PHONY: machine
machine: SOAK := $(if $(filter file,$(origin SOAK)),1,$(SOAK))
machine: counterparts emulator .venv/.ready $(MACHINE)/disk.img  ## a machine that boots: its power cut, its sandbox probed, its daemon hung; needs root
	@$(say) 'A booted machine: a quarter of an hour and more'
	@MACHINE=1 SOAK=$(SOAK) .venv/bin/python -m pytest --numprocesses 2 --dist loadfile --timeout 0 $(PYTEST_ARGS) tests/machine
	@cp build/tried.json docs/reliability/machine.json && .venv/bin/python -m docs.generate

.PHONY: emulator
emulator:
	@export PATH="$$PATH:/usr/sbin:/sbin" DEBIAN_FRONTEND=noninteractive; \
	missing() { for name in debootstrap qemu-system-x86_64 qemu-img; do command -v $$name >/dev/null || printf '%s ' $$name; done; }; \
	[ "$$(id -u)" = 0 ] || { $(fail) 'It takes root: a Debian is made in a folder of its own'; exit 1; }; \
	[ -z "$$(missing)" ] && exit; \
	$(say) "Getting $$(missing)from this system's packages"; \
	apt-get -qq update && apt-get -qq install --no-install-recommends debootstrap qemu-system-x86 qemu-utils </dev/null >/dev/null; \
	[ -z "$$(missing)" ] || { $(fail) "Not there: $$(missing)"; exit 1; }

$(MACHINE)/base/.ready: tests/machine/base.sh $(wildcard tests/machine/guest/bench*)
	@$(say) 'Making a Debian that boots: some minutes, once'
	@mkdir -p $(MACHINE) && PATH="$$PATH:/usr/sbin:/sbin" nice tests/machine/base.sh $(MACHINE)/base >$(MACHINE)/base.log 2>&1 \
		|| { tail -20 $(MACHINE)/base.log; $(fail) "Not made: all of it is in $(MACHINE)/base.log"; exit 1; }

$(MACHINE)/disk.img: $(MACHINE)/base/.ready tests/machine/image.sh requirements/gateway.txt pyproject.toml README.md \
		$(shell find agent protocol storage simulator systemd -type f -not -path '*/__pycache__/*')
	@$(say) 'Installing the gateway on it, as README.md says'
	@PATH="$$PATH:/usr/sbin:/sbin" nice tests/machine/image.sh $(MACHINE)/base $@

.PHONY: bench
bench: counterparts .venv/.ready  ## speed and memory, each figure beside its floor
	@.venv/bin/python -m benchmarks

# ── For those who change it ────────────────────────────────────────────────────────────────────────────────────────────

.PHONY: lint
lint: .venv/.ready  ## style, types and the direction of imports alone
	@$(say) 'Style'
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@$(say) 'Types'
	@.venv/bin/mypy
	@$(say) 'Direction of imports'
	@.venv/bin/lint-imports --no-logo

.PHONY: mutants
mutants: .venv/.ready  ## put small mistakes into the code that lets people in, one by one: do the tests notice?
	@$(say) 'Mutants: every small mistake in the modules that verify, decide, keep time and synchronise'
	@.venv/bin/python -m tests.mutation --workers $(WORKERS)
	@.venv/bin/python -m docs.generate

.PHONY: reliability
reliability: .venv/.ready  ## write docs/RELIABILITY.md anew, from what the last `make test` has tried
	@cp build/tried.json docs/reliability/ci.json && .venv/bin/python -m docs.generate

.PHONY: docs
docs: .venv/.ready  ## write the generated reference anew: docs/asyncapi.json and the tables of docs/PROTOCOL.md
	@.venv/bin/python -m docs.generate

# Compiled by the oldest Python supported, which needs the most. Only the public index is asked, whatever this machine's
# pip is told: a hash of a wheel that lies on one machine alone is of no use to another.
COMPILE := env -u PIP_FIND_LINKS -u PIP_EXTRA_INDEX_URL PIP_CONFIG_FILE=/dev/null CUSTOM_COMPILE_COMMAND='make lock' \
	.venv-lock/bin/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras $(if $(UPGRADE),--upgrade) \
	--no-emit-options --no-emit-index-url --no-emit-find-links --no-emit-trusted-host --output-file

.PHONY: lock
lock: .venv-lock/.requirements  ## write requirements/*.txt anew (UPGRADE=1 for newer versions)
	@$(say) 'Pinning, with the hashes of every file of every release: some minutes'
	@$(COMPILE) requirements/dev.txt --extra simulator pyproject.toml requirements/gpio.in requirements/dev.in
	@$(COMPILE) requirements/simulator.txt --extra simulator --constraint requirements/dev.txt pyproject.toml
	@$(COMPILE) requirements/gateway.txt --constraint requirements/dev.txt pyproject.toml requirements/gpio.in
	@$(COMPILE) requirements/build.txt --constraint requirements/dev.txt requirements/build.in
	@$(COMPILE) requirements/lock.txt --constraint requirements/dev.txt requirements/lock.in

.PHONY: clean
clean:  ## remove the environments and what tools left behind
	@rm -rf .venv .venv-* .counterparts .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# ── The counterparts: a real broker to talk to, a tracer to kill at a chosen system call, a clock to set wrong ─────────

# Installed where that takes no password. Without them a person's run skips what needs them; in CI that is a failure.
# chronyd is unpacked beside the tests and not installed: it would take over the clock of this machine.
.PHONY: counterparts
counterparts:
	@export PATH="$$PATH:/usr/sbin:/sbin:$(CURDIR)/.counterparts/usr/sbin" DEBIAN_FRONTEND=noninteractive; \
	missing() { for name in mosquitto strace faketime systemd-analyze chronyd; do command -v $$name >/dev/null || printf '%s ' $$name; done; }; \
	[ -z "$$(missing)" ] && exit; \
	if [ "$$(id -u)" = 0 ]; then root=(); else root=(sudo -n); fi; \
	if command -v apt-get >/dev/null && "$${root[@]}" true 2>/dev/null; then \
		$(say) "Getting $$(missing)from this system's packages"; \
		"$${root[@]}" apt-get -qq update || true; \
		install="$$(missing)"; install="$${install/chronyd /}"; install="$${install/systemd-analyze/systemd}"; \
		[ -z "$$install" ] || "$${root[@]}" apt-get -qq install --no-install-recommends $$install </dev/null >/dev/null || true; \
		command -v chronyd >/dev/null || { mkdir -p .counterparts && cd .counterparts && apt-get -qq download chrony \
			&& dpkg-deb -x chrony_*.deb . && rm -f chrony_*.deb; } 2>/dev/null || true; \
	fi; \
	[ -z "$$(missing)" ] && exit; \
	$(fail) "Not there: $$(missing)"; \
	[ -z "$${CI:-}" ] || exit 1; \
	printf '  What needs it is SKIPPED. To have it run too: sudo apt-get install mosquitto strace faketime systemd,\n' >&2; \
	printf '  and for chronyd: apt-get download chrony && dpkg-deb -x chrony_*.deb .counterparts\n' >&2

# ── The environments ───────────────────────────────────────────────────────────────────────────────────────────────────

# The first Python that is new enough and able to make an environment. Debian packs the second apart from the first.
USABLE := -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
PYTHON ?= $(firstword $(foreach name,python3.13 python3.12 python3.11 python3,$(shell $(name) $(USABLE) && echo $(name))))
NO_PYTHON := is not a Python of 3.11 or newer that can make an environment.

# $(1): the folder, $(2): the requirements. Made anew when those change, and only then.
define environment
$(1)/.requirements: requirements/$(2).txt requirements/build.txt
	@$$(or $$(PYTHON),false) $$(USABLE) || { $$(fail) "$$(or $$(PYTHON),python3) $$(NO_PYTHON)"; \
		printf '  On Debian, Ubuntu and Raspberry Pi OS: sudo apt-get install python3 python3-venv\n' >&2; exit 1; }
	@$$(say) "Making $(1) from requirements/$(2).txt, with $$$$($$(PYTHON) --version): a minute or so, once"
	@$$(PYTHON) -m venv --clear $(1)
	@$(1)/bin/python -m pip --disable-pip-version-check install -qq --require-hashes $$(foreach file,$$^,-r $$(file)) \
		|| { $$(fail) 'Not installed: what pip says is above. It needs a network.'; exit 1; }
	@touch $$@

$(1)/.ready: $(1)/.requirements pyproject.toml
	@$(1)/bin/python -m pip --disable-pip-version-check install -qq --no-deps --no-build-isolation --editable .
	@touch $$@
endef

$(eval $(call environment,.venv,dev))
$(eval $(call environment,.venv-demo,simulator))
$(eval $(call environment,.venv-lock,lock))

.venv-lock/.requirements: PYTHON = python3.11
