# make demo    an IPv4-only intranet, a playbook, and who reaches whom over IPv6 afterwards
#              (KEEP=1 leaves the lab up)
# make test    everything
# make check   the quick part: lint, types, unit tests (under 2 minutes, no root)
# make simulation  ten thousand Teredo clients in virtual time (a minute of one core, no root)
# make molecule  the roles on systemd containers
# make docs    the documentation site, in docs/site
# make build   the collection's tarball, with the agent inside, in dist/
# make bpf     compile the fast path (agent/bpf) to the object that the agent carries
# make bench   speed against peers; prints a table, writes build/bench.json
#
# Each sets up what it needs: Debian packages as root, the rest in .venv.
.PHONY: bpf bpf-is-current demo test check build bench docs lab interop collection molecule package simulation
.NOTPARALLEL:

PYTEST = .venv/bin/pytest -q
# Labs leave each other alone, and wait much: three of them for two processors. A module stays on one
# worker, for its tests share a lab (loadscope would part those that have :: of IPv6 addresses in
# their names); tests/lab/conftest.py says which modules begin.
LAB_WORKERS ?= 3
LAB_PYTEST = $(PYTEST) -n $(LAB_WORKERS) --dist loadfile --no-loadscope-reorder

demo:
	tools/install-packages.sh demo
	tools/dev-setup.sh
	.venv/bin/python -m tests.demo $(if $(KEEP),--keep)

check:
	tools/dev-setup.sh
	.venv/bin/ruff check agent plugins tests tools
	.venv/bin/ruff format --check --quiet agent plugins tests tools
	.venv/bin/mypy
	$(PYTEST) -n 2 tests/unit

bpf:
	tools/install-packages.sh bpf
	tools/build-bpf.sh

test: check simulation bpf-is-current lab interop collection package docs molecule

simulation:
	tools/dev-setup.sh
	$(PYTEST) -s -m simulation tests/simulation

bpf-is-current:
	tools/install-packages.sh bpf
	tools/build-bpf.sh --check

lab:
	tools/install-packages.sh test
	tools/dev-setup.sh
	$(LAB_PYTEST) -m "lab and not alone" tests/lab tests/interop
	$(PYTEST) -m "lab and alone" tests/lab

# A guest keeps a processor busy.
interop: LAB_WORKERS = 2
interop:
	tools/install-packages.sh test
	tools/dev-setup.sh
	tools/guest-image.sh
	$(LAB_PYTEST) -m interop tests/interop

collection:
	tools/dev-setup.sh
	.venv/bin/python tools/fetch_collections.py
	.venv/bin/ansible-lint --offline --profile production
	tools/ansible-test.sh sanity

bench:
	tools/install-packages.sh bench
	tools/dev-setup.sh
	.venv/bin/python -m tests.bench

package:
	tools/dev-setup.sh
	$(PYTEST) -m package tests/package

docs:
	tools/dev-setup.sh
	tools/build-docs.sh

build:
	tools/dev-setup.sh
	.venv/bin/python tools/build_collection.py

molecule:
	tools/install-packages.sh molecule
	tools/dev-setup.sh
	tools/molecule.sh
