# SPDX-License-Identifier: GPL-3.0-or-later
"""How a name such as "isatap" becomes IPv4 addresses.

``resolve.Resolver`` asks one source after the other; ``source.NameSource`` is what a source must
do. Hosts file and DNS are here; LLMNR and NetBIOS will be further sources beside them.
"""
