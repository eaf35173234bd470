# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation site: `make docs` builds it in docs/site."""

project = "v6ops.transition"
author = "v6ops"
project_copyright = "2026, v6ops"
extensions = ["myst_parser", "sphinx_antsibull_ext"]
exclude_patterns = ["site"]
myst_heading_anchors = 3
html_theme = "sphinx_rtd_theme"
html_show_sphinx = False
html_title = "v6ops.transition"
