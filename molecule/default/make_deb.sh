#!/bin/sh
# SPDX-License-Identifier: GPL-3.0-or-later
# Make /root/packages/v6ferry.deb out of the bundle.
set -eu
cd /root/packages
mkdir -p deb/DEBIAN deb/usr/bin
cat >deb/DEBIAN/control <<END
Package: v6ferry
Version: 0.1.0
Architecture: all
Maintainer: v6ops <v6ops@example.invalid>
Depends: python3 (>= 3.10)
Description: IPv6 transition stack
END
install -m 0755 v6ferry.pyz deb/usr/bin/v6ferry
dpkg-deb --build deb v6ferry.deb
rm -r deb
