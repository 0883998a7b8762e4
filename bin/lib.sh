# shellcheck shell=bash
# What the commands of bin/ and testhosts/ share: where things are, how to speak, how to become root.
set -euo pipefail

HOMEPORT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=$HOMEPORT/.cache
export HOMEPORT CACHE

# Messages go to stderr: what a command answers (an address, an image) stays alone on stdout.
if [ -t 2 ]; then _bold=$'\e[1m' _red=$'\e[31m' _plain=$'\e[0m'; else _bold='' _red='' _plain=''; fi
say() { printf '%s==> %s%s\n' "$_bold" "$*" "$_plain" >&2; }
note() { printf '    %s\n' "$*" >&2; }
die() {
    printf '%sError:%s %s\n' "$_red" "$_plain" "$*" >&2
    exit 1
}
# Programs only: "docker" is also a function here.
have() { type -P "$1" >/dev/null; }

# The comment block at the top of a script is its help text.
usage() { sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$1"; }

can_be_root() { [ "$(id -u)" = 0 ] || have sudo; }
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi
}

# Debian packages, installed only when missing and never silently.
apt_install() {
    local package missing=()
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    have apt-get || die "please install with your package manager: ${missing[*]}"
    can_be_root || die "these packages are missing, and neither root nor sudo is at hand: ${missing[*]}"
    say "Installing packages on this machine: ${missing[*]}"
    local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600)
    as_root "${apt[@]}" update >&2
    as_root "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null >"$(log_file apt)" 2>&1 ||
        { cat "$(log_file apt)" >&2; die "apt-get install failed"; }
}

# The same for a server whose program is wanted and whose service is not: it is neither started nor enabled.
apt_install_idle() {
    local package wanted=() policy=/usr/sbin/policy-rc.d ours=''
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || wanted+=("$package")
    done
    [ ${#wanted[@]} -gt 0 ] || return 0
    can_be_root || die "these packages are missing, and neither root nor sudo is at hand: ${wanted[*]}"
    if [ ! -e "$policy" ]; then
        ours=yes
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 0755 "$policy"
    fi
    (apt_install "${wanted[@]}") || {
        [ -z "$ours" ] || as_root rm -f "$policy"
        exit 1
    }
    [ -z "$ours" ] || as_root rm -f "$policy"
    if [ -d /run/systemd/system ]; then as_root systemctl --quiet disable "$1" || true; fi
}

log_file() {
    mkdir -p "$CACHE/logs"
    echo "$CACHE/logs/$1.log"
}

# A user outside the docker group reaches the engine through sudo.
docker() {
    if [ -z "${_docker_by_sudo:-}" ] && [ "$(id -u)" != 0 ]; then
        if command docker info >/dev/null 2>&1; then
            _docker_by_sudo=no
        elif have sudo && sudo -n env docker info >/dev/null 2>&1; then
            _docker_by_sudo=yes
        fi
    fi
    if [ "${_docker_by_sudo:-no}" = yes ]; then sudo env docker "$@"; else command docker "$@"; fi
}

# One at a time, over all clones on this machine: with_lock NAME COMMAND...
with_lock() {
    local folder=/tmp/homeport-lock-$UID name=$1
    shift
    [ -d "$folder" ] || mkdir -m 0700 "$folder" 2>/dev/null || [ -O "$folder" ] || die "$folder belongs to someone else"
    (
        flock 9
        "$@" 9>&-
    ) 9>"$folder/$name"
}
