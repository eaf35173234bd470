#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# tools/build-docs.sh: check the documentation, and build the site in docs/site.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH
antsibull-docs lint-collection-docs --plugin-docs --validate-collection-refs=all .
antsibull-changelog lint
rm -rf docs/reference docs/site
mkdir -p docs/reference
antsibull-docs collection --use-current --squash-hierarchy \
    --fail-on-error --dest-dir docs/reference v6ops.transition >/dev/null
sphinx-build --quiet --fail-on-warning -b html docs docs/site
echo "built docs/site/index.html"
