#!/bin/sh
# Takes what a build needs and a running program does not out of a root file system and a virtual environment, and
# byte-compiles the file system's Python. Usage: strip.sh ROOT ENVIRONMENT
set -eu
root=$1
environment=$2

for python in "$root"/usr/lib/python3* "$root"/usr/local/lib/python3*; do
    [ -d "$python" ] || continue
    for unused in ensurepip idlelib lib2to3 test tkinter turtledemo config-3*; do
        rm -rf "$python"/$unused
    done
    for installer in pip setuptools wheel pkg_resources _distutils_hack; do
        rm -rf "$python"/*-packages/$installer "$python"/*-packages/$installer-*.dist-info
    done
    # -s: the paths in tracebacks are those in the image. One version of Python at a time: another's would be no use.
    python3 -m compileall -q -s "$root" "$python" || true
done
rm -rf "$root"/usr/local/bin/pip* "$root"/usr/local/bin/idle* "$root"/usr/share/python-wheels
rm -rf "$root"/var/cache/* "$root"/var/lib/apt/lists/* "$root"/var/log/* "$root"/usr/share/man "$root"/usr/share/locale
rm -rf "$root"/tmp/* "$root"/root/.cache
# No program in the image can change its user.
find "$root" -xdev -type f -perm /6000 -exec chmod a-s {} +

find "$environment"/lib -type d -name tests -prune -exec rm -rf {} +
rm -f "$environment"/bin/activate* "$environment"/bin/*.bat
# 50 MB for a package that is read only where a kubeconfig has an exec plugin or OIDC: never in a cluster.
find "$environment"/lib -path '*/site-packages/kubernetes/*' -name __pycache__ -prune -exec rm -rf {} +
