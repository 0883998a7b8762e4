#!/usr/bin/env bash
# A real browser for tests: headless Chromium in a container, driven over the WebDriver protocol.
#
#   testhosts/browser.sh up NAME [ADDRESS]   start it and wait until it answers; prints its URL. With the address
#                                            of a test host it is put into that host's network
#   testhosts/browser.sh put NAME FILE       keep what comes by standard input as FILE, to be uploaded; prints its path
#   testhosts/browser.sh down NAME...        remove
#   testhosts/browser.sh image               build the image if need be; prints its tag
#
# The image is Debian 13 with Debian's chromium, chromium-driver and one font. From the environment:
#   PURPOSE=WHAT   labels the container (default: manual); host.sh down --purpose WHAT removes it, too
. "$(dirname "$0")/../bin/lib.sh"

recipe=$HOMEPORT/testhosts/browser
tag=homeport/browser
port=9515

build() {
    local base hash log
    base=$("$HOMEPORT/testhosts/image.sh" debian:13)
    hash=$({ cat "$recipe"/*; docker image inspect --format '{{.Id}}' "$base"; } | sha256sum | cut -c1-16)
    if [ "$(docker image inspect --format '{{index .Config.Labels "homeport.recipe"}}' "$tag" 2>/dev/null)" != "$hash" ]; then
        say "Building $tag (about a minute)"
        log=$(log_file image-browser)
        docker build --quiet --tag "$tag" --label "homeport.recipe=$hash" --label homeport=1 \
            --build-arg "BASE=$base" "$recipe" >"$log" 2>&1 ||
            { tail -n 40 "$log" >&2; die "building $tag failed"; }
        docker image prune --force --filter label=homeport=1 >/dev/null
    fi
    echo "$tag"
}

# The network that holds a test host's address; Docker's own where no address is given.
network_of() {
    local address=$1 names
    [ -n "$address" ] || { echo bridge; return 0; }
    mapfile -t names < <(docker ps --quiet --filter label=homeport=1)
    # One of another scenario may have ended by now.
    [ ${#names[@]} -eq 0 ] || {
        docker inspect --format '{{range $name, $it := .NetworkSettings.Networks}}{{$it.IPAddress}} {{$name}}{{"\n"}}{{end}}' \
            "${names[@]}" 2>/dev/null || true
    } |
        awk -v address="$address" '$1 == address { print $2 }'
}

# In a shell of its own: a connection that is closed meanwhile ends it.
answers() (
    exec 2>/dev/null 3<>"/dev/tcp/$1/$port" || return 1
    printf 'GET /status HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$1:$port" >&3
    read -r -t 5 line <&3 || return 1
    [[ $line == *" 200 "* ]]
)

up() {
    local name=$1 network gateway address
    "$HOMEPORT/testhosts/engine.sh" up
    with_lock image-browser build >/dev/null
    network=$(network_of "${2:-}")
    [ -n "$network" ] || die "there is no test host with the address $2"
    gateway=$(docker network inspect --format '{{range .IPAM.Config}}{{.Gateway}}{{"\n"}}{{end}}' "$network" | head -n 1)
    if docker inspect --type container "$name" >/dev/null 2>&1; then
        docker start "$name" >/dev/null
    else
        # This machine alone may drive it. Chromium keeps its pages in shared memory, of which Docker gives 64 MB.
        docker run --detach --name "$name" --label homeport=1 --label "homeport.purpose=${PURPOSE:-manual}" \
            --network "$network" --shm-size 512m --security-opt no-new-privileges --cap-drop ALL \
            "$tag" "--allowed-ips=$gateway" "--allowed-origins=http://$gateway" >/dev/null
    fi
    address=$(docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{"\n"}}{{end}}' "$name" | head -n 1)
    for _ in $(seq 600); do
        if answers "$address"; then
            echo "http://$address:$port"
            return 0
        fi
        [ "$(docker inspect --format '{{.State.Running}}' "$name")" = true ] || break
        sleep 0.25
    done
    docker logs --tail 20 "$name" >&2 || true
    die "the browser in $name does not answer"
}

command=${1:---help}
[ $# -eq 0 ] || shift
case $command in
    up) [ $# -ge 1 ] || die "which NAME?"; up "$@" ;;
    put)
        [ $# -eq 2 ] || die "which NAME, which FILE?"
        # shellcheck disable=SC2016  # expanded in the container
        docker exec --interactive "$1" sh -ec 'cat >"$1"; echo "$PWD/$1"' sh "$(basename "$2")"
        ;;
    down) "$HOMEPORT/testhosts/host.sh" down "$@" ;;
    image) "$HOMEPORT/testhosts/engine.sh" up; with_lock image-browser build ;;
    -h | --help | help) usage "$0" ;;
    *) usage "$0" >&2; exit 2 ;;
esac
