#!/usr/bin/env bash
# Servers as a scenario's playbook leaves them, kept as images from which other scenarios start.
#
#   testhosts/kept.sh up SCENARIO   print the tag of the image; makes it when missing
#   testhosts/kept.sh log SCENARIO  print the file with what Ansible said when it was made
#   testhosts/kept.sh down          remove all images that this clone has kept
#
# For scenarios with one server, web1. The tag names everything that went in, so that nothing old is taken. From the
# environment: IMAGE (default: debian:13).
. "$(dirname "$0")/../bin/lib.sh"

clone=$(printf %s "$HOMEPORT" | sha256sum | cut -c1-8)

# What the server is made from. Its secrets follow from the clone.
digest() {
    local scenario=$1 image=$2
    cd "$HOMEPORT"
    {
        docker image inspect --format '{{.Id}}' "$image"
        find playbooks roles plugins group_vars "inventories/$scenario" "molecule/$scenario" molecule/shared examples \
            tests/acceptance/sampler.py ansible.cfg requirements/dev.txt testhosts/kept.sh \
            -name __pycache__ -prune -o -type f -print0 | sort -z | xargs -0 sha256sum
    } | sha256sum | cut -c1-12
}

remove() {
    local id
    for id in $(docker image ls --quiet --filter "label=homeport.kept=$clone"); do
        # Refused while a host was made from it.
        docker rmi "$id" >/dev/null 2>&1 || true
    done
}

make() {
    local scenario=$1 tag=$2 name
    # The scenario that needs the image is none of the one that makes it.
    for name in $(compgen -e | grep -E '^(ANSIBLE|MOLECULE|PYTEST)' || true); do unset "$name"; done
    export MOLECULE_EPHEMERAL_DIRECTORY=$place MOLECULE_COMMAND_BORDERS=false
    remove
    say "Keeping a server of the scenario $scenario as $tag"
    trap '"$HOMEPORT/bin/molecule" destroy --scenario-name "$scenario" >>"$log" 2>&1' EXIT
    if ! "$HOMEPORT/bin/molecule" converge --scenario-name "$scenario" >"$log" 2>&1; then
        tail -n 60 "$log" >&2
        die "$scenario cannot be kept, see $log"
    fi
    name=$(sed -n 's/.*known_hosts\.\(homeport-[A-Za-z0-9_-]*\).*/\1/p' "$place/inventory/zz-test-hosts.yml" | head -n 1)
    # Host keys are each server's own. The machine's id stays: systemd takes a host without one for new, and enables
    # whatever its packages would have enabled.
    docker exec "$name" sh -c 'rm -f /etc/ssh/ssh_host_*'
    docker stop --time 60 "$name" >/dev/null
    docker commit --change "LABEL homeport.kept=$clone" "$name" "$tag" >/dev/null
    cp "$place/ansible.log" "$said"
}

up() {
    local scenario=$1 image tag
    image=$("$HOMEPORT/testhosts/image.sh" "${IMAGE:-debian:13}")
    tag=homeport/kept:$scenario-$clone-$(digest "$scenario" "$image")  # the secrets on it are those of the clone
    docker image inspect "$tag" >/dev/null 2>&1 || make "$scenario" "$tag"
    echo "$tag"
}

command=${1:---help} scenario=${2:-}
place=$CACHE/molecule/kept-$scenario-$(printf %s "${IMAGE:-debian:13}" | tr ':/' '--')
log=$CACHE/logs/kept-$scenario.log said=$place.log
case $command in
    up | log) [ -n "$scenario" ] || die "which SCENARIO?" ;;
esac
case $command in
    up)
        mkdir -p "$CACHE/logs" "$CACHE/molecule"
        with_lock "kept-$clone" up "$scenario"
        ;;
    log) echo "$said" ;;
    down) remove ;;
    -h | --help | help) usage "$0" ;;
    *) usage "$0" >&2; exit 2 ;;
esac
