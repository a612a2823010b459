#!/bin/sh
# Installs what the demo and the tests need and this machine lacks: Debian packages, uv, the locked Python environment.
# Safe to run again. As root it installs Debian packages itself; otherwise through sudo, or it says which are missing.
# Arguments are programs that must be there as well, each from the Debian package of its name.
set -eu
cd "$(dirname "$0")/.."

export UV_SYSTEM_CERTS="${UV_SYSTEM_CERTS:-true}" # as curl and git: a company's own certificates count
cache=${TANDEM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/tandem}

stop() {
    echo "install: $1" >&2
    exit 1
}

missing_packages() {
    command -v curl >/dev/null || echo curl
    command -v g++ >/dev/null || echo g++ # PyTorch compiles kernels for this CPU
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    PATH="$PATH:/sbin:/usr/sbin" ldconfig -p 2>/dev/null | grep -q 'libnuma\.so\.1 ' || echo libnuma1 # vLLM links to it
    [ -n "$(find_uv)" ] || python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv # to install uv into
    for program in "$@"; do command -v "$program" >/dev/null || echo "$program"; done
}

install_packages() {
    if [ "$(id -u)" -eq 0 ]; then root=""; elif sudo -n true 2>/dev/null; then root="sudo"; else root="none"; fi
    if [ "$root" = none ] || ! command -v apt-get >/dev/null; then
        stop "these packages are missing: $*. Install them (sudo apt-get install $*) and run this again."
    fi
    echo "Installing Debian packages: $*"
    $root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
    $root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

find_uv() {
    for place in "${UV:-}" "$(command -v uv || true)" "$HOME/.local/bin/uv" "$cache/uv/bin/uv"; do
        if [ -n "$place" ] && "$place" --version >/dev/null 2>&1; then
            echo "$place"
            return
        fi
    done
}

install_uv() {
    echo "Installing uv"
    if command -v pipx >/dev/null && pipx install --quiet uv >/dev/null 2>&1; then return; fi
    python3 -m venv "$cache/uv" && "$cache/uv/bin/python" -m pip install --quiet uv
}

# uv's own Pythons come from none of the package registries, so they are no way out on a machine behind a mirror.
python3 -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null ||
    stop "Python 3.11, 3.12 or 3.13 is needed as python3 (found: $(python3 -V 2>&1 || true)). Put one first in PATH and run this again."
packages=$(missing_packages "$@")
# shellcheck disable=SC2086  # one word per package
[ -z "$packages" ] || install_packages $packages
[ -n "$(find_uv)" ] || install_uv
uv=$(find_uv)
[ -n "$uv" ] || stop "uv could not be installed; see https://docs.astral.sh/uv/ and run this again."
echo "Preparing the Python environment (.venv, about 6 GB; seconds when the packages are in uv's cache)"
"$uv" sync --locked --quiet
