# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo: the white paper's ISATAP intranet and its 6to4 Internet, set up by playbooks, measured.

``python -m tests.demo`` runs it. ``acts`` has the networks and what is expected of them, ``demo``
the stages, ``reach`` finds out who reaches whom and how, ``output`` prints, ``playbook`` runs
ansible-playbook against a lab.
"""
