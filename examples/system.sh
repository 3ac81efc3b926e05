#!/bin/sh
# What the project needs beside Python packages. `sh examples/system.sh`: OpenBLAS on Linux, without which MLX is
# 30 to 50 times slower, and nothing on a Mac. `sh examples/system.sh tests`: for the tests a browser and curl, too.
set -eu
cd "$(dirname "$0")/.."
tests=${1-}

browser() { python3 tests/support/browser.py > /dev/null 2>&1; }

has() { /sbin/ldconfig -p | grep -q "$1"; }

if [ "$(uname)" = Linux ]; then
    wanted=""
    has 'libopenblas\.so\.0' || wanted="libopenblas0-pthread"
    if [ "$tests" = tests ]; then
        command -v curl > /dev/null || wanted="$wanted curl"
        has 'libatomic\.so\.1' || wanted="$wanted libatomic1" # for Playwright
        # Ubuntu has browsers as snaps only, which do not see the files of other programs.
        browser || grep -qi ubuntu /etc/os-release || wanted="$wanted chromium-headless-shell"
    fi
    if [ -n "$wanted" ]; then
        if ! command -v apt-get > /dev/null; then
            echo "no apt-get here: install with your system's own tool what Debian calls $wanted" >&2
            exit 1
        fi
        sudo=""
        [ "$(id -u)" = 0 ] || sudo=sudo
        $sudo apt-get update -q
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends $wanted # one word each
    fi
fi

if [ "$tests" = tests ] && ! browser; then
    python3 -m playwright install --with-deps chromium # its own, where the system has none
fi
