# make check   lint, types, unit tests (under 2 minutes)
# make test    everything
.PHONY: check test
check:
	tools/dev-setup.sh
	.venv/bin/ruff check agent plugins tests
	.venv/bin/mypy
	.venv/bin/pytest -q -n 2 -m "not lab and not interop" tests/unit

test: check
