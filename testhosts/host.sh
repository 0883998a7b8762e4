#!/usr/bin/env bash
# Bare servers in containers, reached by ssh like real ones.
#
#   testhosts/host.sh up NAME [IMAGE]       start one and wait until it has booted; prints its address
#   testhosts/host.sh reach NAME...         wait until a started one has booted, and let us log in
#   testhosts/host.sh forget NAME...        end all logins, and forget its keys
#   testhosts/host.sh down NAME...          remove
#   testhosts/host.sh down --purpose WHAT   remove all with this purpose
#   testhosts/host.sh ip NAME               print its address
#   testhosts/host.sh vars NAME [USER]      print its Ansible connection variables, as YAML
#   testhosts/host.sh ssh NAME [COMMAND]    be root there, by way of admin and sudo
#   testhosts/host.sh list                  the hosts there are
#
# Logins: root, and admin with sudo as on a cloud server; the key is .cache/ssh/id_ed25519.
# IMAGE is what testhosts/image.sh takes (default: $IMAGE, else debian:13). From the environment:
#   PURPOSE=WHAT      labels the host (default: manual)
#   HOST_NAME=NAME    what the host calls itself (default: NAME)
#   NETWORK=NAME      a network, created when missing, in which hosts know each other by name
. "$(dirname "$0")/../bin/lib.sh"

key=$CACHE/ssh/id_ed25519

make_key() {
    [ -f "$key" ] && return 0
    have ssh-keygen || apt_install openssh-client
    mkdir -p "$CACHE/ssh"
    chmod 0700 "$CACHE/ssh"
    ssh-keygen -q -t ed25519 -N '' -C homeport-test-hosts -f "$key"
}

exists() { docker inspect --type container "$1" >/dev/null 2>&1; }

ip_of() {
    docker inspect --type container \
        --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{"\n"}}{{end}}' "$1" 2>/dev/null | head -n 1
}

wait_for_boot() {
    local name=$1 state=''
    for _ in $(seq 1200); do
        state=$(docker exec "$name" systemctl is-system-running 2>/dev/null) || true
        case $state in
            running) return 0 ;;
            degraded)
                docker exec "$name" systemctl --failed --no-legend >&2
                die "$name has booted, but with the failed units above"
                ;;
        esac
        [ "$(docker inspect --format '{{.State.Running}}' "$name")" = true ] || break
        sleep 0.25
    done
    docker logs --tail 20 "$name" >&2 || true
    die "$name does not boot (systemd says: ${state:-nothing})"
}

reach() {
    local name=$1 known
    with_lock ssh-key make_key  # scenarios begin side by side
    wait_for_boot "$name"
    docker exec --interactive "$name" sh -ec '
        key=$(cat)
        for user in root admin; do
            home=$(getent passwd $user | cut -d: -f6)
            install -d -m 0700 -o $user -g $user "$home/.ssh"
            echo "$key" >"$home/.ssh/authorized_keys"
            chown $user:$user "$home/.ssh/authorized_keys"
            chmod 0600 "$home/.ssh/authorized_keys"
        done' <"$key.pub"
    # The host's own keys are known from the start: no question at the first login, and no blind trust.
    known=$CACHE/ssh/known_hosts.$name
    docker exec "$name" sh -c 'cat /etc/ssh/ssh_host_*_key.pub' |
        awk -v ip="$(ip_of "$name")" '{ print ip, $1, $2 }' >"$known"
}

up() {
    local name=$1 image
    image=$("$HOMEPORT/testhosts/image.sh" "${2:-${IMAGE:-debian:13}}")
    if exists "$name"; then
        docker start "$name" >/dev/null
    else
        if [ -n "${NETWORK:-}" ] && ! docker network inspect "$NETWORK" >/dev/null 2>&1; then
            with_lock network docker network create --label homeport=1 \
                --label "homeport.purpose=${PURPOSE:-manual}" "$NETWORK" >/dev/null
        fi
        # As on a server: Docker lets everybody bind the ports below 1024.
        docker run --detach --name "$name" --hostname "${HOST_NAME:-$name}" \
            --label homeport=1 --label "homeport.purpose=${PURPOSE:-manual}" \
            ${NETWORK:+--network "$NETWORK" --network-alias "${HOST_NAME:-$name}"} \
            --cap-add SYS_ADMIN --cap-add NET_ADMIN \
            --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
            --sysctl net.ipv4.ip_unprivileged_port_start=1024 \
            --cgroupns=private --tmpfs /run --tmpfs /run/lock "$image" >/dev/null
    fi
    reach "$name"
    ip_of "$name"
}

# A lasting connection of Ansible's would wait for the next host with this address.
forget() {
    docker exec "$1" pkill '^sshd' >/dev/null 2>&1 || true
    rm -f "$CACHE/ssh/known_hosts.$1"
}

# Networks go with their last host. One without a host may be another scenario's, which is about to start its own.
down() {
    local names=("$@") name networks=''
    have docker || return 0
    if [ "${1:-}" = --purpose ]; then
        mapfile -t names < <(docker ps --all --format '{{.Names}}' \
            --filter label=homeport=1 --filter "label=homeport.purpose=$2")
        networks=$(docker network ls --format '{{.Name}}' --filter label=homeport=1 --filter "label=homeport.purpose=$2")
    fi
    for name in "${names[@]}"; do
        networks+=" $(docker inspect --type container --format '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}' \
            "$name" 2>/dev/null)" || true
        forget "$name"
        docker rm --force --volumes "$name" >/dev/null 2>&1 || true
    done
    for name in $networks; do
        # Refused for Docker's own, and while another host is in it.
        docker network rm "$name" >/dev/null 2>&1 || true
    done
}

vars() {
    cat <<END
ansible_host: $(ip_of "$1")
ansible_user: ${2:-root}
ansible_ssh_private_key_file: $key
ansible_ssh_common_args: -o 'UserKnownHostsFile="$CACHE/ssh/known_hosts.$1"' -o IdentitiesOnly=yes
END
}

command=${1:---help}
[ $# -eq 0 ] || shift
case $command in
    up) [ $# -ge 1 ] || die "which NAME?"; up "$@" ;;
    reach | forget)
        for name in "$@"; do "$command" "$name"; done
        ;;
    down) down "$@" ;;
    ip | vars)
        exists "${1:-}" || die "there is no host ${1:-}"
        if [ "$command" = ip ]; then ip_of "$1"; else vars "$@"; fi
        ;;
    ssh)
        name=$1
        shift
        login=(ssh -i "$key" -o IdentitiesOnly=yes -o "UserKnownHostsFile=\"$CACHE/ssh/known_hosts.$name\""
            "admin@$(ip_of "$name")")
        [ $# -gt 0 ] || exec "${login[@]}" -t sudo -i
        exec "${login[@]}" "sudo sh -c $(printf %q "$*")"
        ;;
    list)
        docker ps --all --filter label=homeport=1 \
            --format 'table {{.Names}}\t{{.Image}}\t{{.Status}}\t{{.Label "homeport.purpose"}}'
        ;;
    -h | --help | help) usage "$0" ;;
    *) usage "$0" >&2; exit 2 ;;
esac
