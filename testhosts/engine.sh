#!/usr/bin/env bash
# Make sure that a Docker engine answers.
#
#   testhosts/engine.sh [up]     use the engine that runs; else install and start one (needs root or sudo)
#   testhosts/engine.sh down     stop the engine if "up" started it by hand and nothing runs in it
#   testhosts/engine.sh status   say whether an engine answers, and who started it
#
# Where systemd runs, the engine is an ordinary service and "down" leaves it alone.
. "$(dirname "$0")/../bin/lib.sh"

state=/run/homeport-engine
log=/var/log/homeport-dockerd.log

answers() { have docker && docker info >/dev/null 2>&1; }
started_by_hand() { [ -f "$state/pid" ] && as_root kill -0 "$(cat "$state/pid")" 2>/dev/null; }

wait_for_answer() {
    local second
    for second in $(seq 60); do
        if as_root docker info >/dev/null 2>&1; then return 0; fi
        if [ "$second" -gt 3 ] && [ -f "$state/pid" ] && ! started_by_hand; then return 1; fi
        sleep 1
    done
    return 1
}

up() {
    answers && return 0
    [ "$(uname -s)" = Linux ] || die "test hosts need Linux: they are reached by their address in the engine's network"
    can_be_root || die "no Docker engine answers, and starting one needs root or sudo.
       Start Docker, or run this as root."
    if ! have dockerd || ! have docker; then
        have apt-get || die "no Docker engine answers. Install Docker for your distribution and start it."
        say "No Docker engine here: it comes from this machine's package sources"
        apt_install docker.io iptables
        # Newer releases keep the client apart.
        have docker || apt_install docker-cli
    fi
    # Installing the package starts the service where there is one.
    answers && return 0
    if [ -d /run/systemd/system ]; then
        say "Starting the docker service"
        as_root systemctl start docker || die "the docker service does not start: see journalctl -u docker"
    else
        say "Starting dockerd by hand (no systemd here); its log is $log, testhosts/engine.sh down stops it"
        as_root mkdir -p "$state"
        # shellcheck disable=SC2016  # expanded by the inner shell
        as_root sh -c 'setsid dockerd >"$1" 2>&1 </dev/null 9>&- & echo $! >"$2/pid"' sh "$log" "$state"
    fi
    wait_for_answer || {
        as_root tail -n 20 "$log" >&2 2>/dev/null || true
        die "the Docker engine does not answer"
    }
    answers || die "the engine runs, but $(id -un) may not use it: join the docker group, or allow sudo docker"
}

down() {
    started_by_hand || return 0
    if [ -n "$(docker ps -q)" ]; then
        note "The engine stays: containers run in it ($(docker ps --format '{{.Names}}' | paste -sd' '))"
        return 0
    fi
    local pid
    pid=$(cat "$state/pid")
    say "Stopping the engine that was started by hand"
    as_root kill "$pid"
    for _ in $(seq 30); do
        as_root kill -0 "$pid" 2>/dev/null || break
        sleep 1
    done
    as_root rm -rf "$state"
}

status() {
    if ! answers; then
        echo "no engine answers"
        return 1
    fi
    if started_by_hand; then echo "runs, started by hand"; else echo "runs"; fi
}

case ${1:-up} in
    up) with_lock engine up ;;
    down) with_lock engine down ;;
    status) status ;;
    -h | --help | help) usage "$0" ;;
    *) usage "$0" >&2; exit 2 ;;
esac
