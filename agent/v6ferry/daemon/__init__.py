# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon: desired state, the reconciler that brings the host to it, and the control API.

``resources`` names the kinds of resources, ``store`` keeps them in files, ``runner`` drives the
engine of one, ``supervisor`` all of them, ``control`` answers on the Unix socket, ``main`` puts
everything together. Imports from all layers below; nothing below imports from here.
"""
