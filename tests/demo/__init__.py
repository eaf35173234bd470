# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: the white paper's ISATAP intranet, set up by a playbook and measured.

``python -m tests.demo`` runs it. ``demo`` has the stages, ``reach`` finds out who reaches whom and
how, ``output`` prints, ``playbook`` runs ansible-playbook against a lab.
"""
