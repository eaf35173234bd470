#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# tools/ansible-test.sh sanity [...]: ansible-test straight from this checkout, its own requirements
# from the package index that pip is configured for. Needs .venv (tools/dev-setup.sh).
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
python=$root/.venv/bin/python

# ansible-test makes a virtual environment for each Python and fills it with a get-pip.py from its
# own file server. Put a stand-in of that name into its cache, which runs pip out of pip's wheel.
version=$("$python" -c '
import inspect, re
from ansible_test._internal import python_requirements
print(re.search(r"pip=.([0-9.]+)", inspect.getsource(python_requirements)).group(1))
')
cache=$HOME/.ansible/test/cache
stand_in=$cache/get_pip_$(echo "$version" | tr . _).py
if [ ! -e "$stand_in" ]; then
    mkdir -p "$cache"
    "$python" -m pip download --quiet --no-deps --dest "$cache" "pip==$version"
    cat > "$stand_in" <<END
import os, sys
sys.path.insert(0, os.path.join(os.path.dirname(os.environ["GET_PIP"]), "pip-$version-py3-none-any.whl"))
sys.argv[1:] = ["install"] + [a for a in sys.argv[1:] if a not in ("--no-setuptools", "--no-wheel")]
from pip._internal.cli.main import main
sys.exit(main())
END
fi

# Of pyenv take the interpreters themselves: its shims do not work for all versions at once.
for directory in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.*/bin; do
    [ -d "$directory" ] && PATH=$directory:$PATH
done
PATH=$root/.venv/bin:$PATH

# The link by which the virtual environment sees this checkout as an installed collection.
ANSIBLE_TEST_CONTENT_ROOT=$("$python" -c '
import sysconfig
print(sysconfig.get_path("purelib"))
')/ansible_collections/v6ops/transition
export PATH ANSIBLE_TEST_CONTENT_ROOT
status=0
ansible-test "$@" || status=$?
rm -rf "$root/tests/output" # reports and caches, in the middle of the sources
exit "$status"
