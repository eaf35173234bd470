# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation site: `make docs` builds it in docs/site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pygments.lexers.special import TextLexer

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "v6ops.transition"
author = "v6ops"
project_copyright = "2026, v6ops"
extensions = ["myst_parser", "sphinx_antsibull_ext"]
exclude_patterns = ["site"]
myst_heading_anchors = 3
html_theme = "sphinx_rtd_theme"
html_show_sphinx = False
html_title = "v6ops.transition"


def setup(app: Sphinx) -> None:
    """Let code be of languages that pygments does not know, which it then leaves as it is."""
    for language in ("bird", "frr"):
        app.add_lexer(language, TextLexer)
