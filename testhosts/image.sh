#!/usr/bin/env bash
# Build the images of bare servers that demo and tests run on; prints the tag of each.
#
#   testhosts/image.sh [RELEASE...]
#
#   RELEASE  debian:12, debian:13 (the default), debian:14, debian:13-as-ubuntu-24.04 (Debian that
#            claims to be Ubuntu, to see what roles choose), or an image to pull and derive from, like ubuntu:24.04
#
# Debian comes from the mirror in this machine's apt sources, by mmdebstrap; where that cannot be,
# the release is pulled. An image is built again only when its recipe has changed.
. "$(dirname "$0")/../bin/lib.sh"

recipe=$HOMEPORT/testhosts/image
pretend_suffix=-as-ubuntu-24.04

# "URI SUITE" for each Debian archive in this machine's apt sources, in either format.
apt_sources() {
    local file files=()
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources}; do
        [ ! -r "$file" ] || files+=("$file")
    done
    [ ${#files[@]} -gt 0 ] || return 0
    awk '
        function flush(   i, j, u, s) {
            if (types ~ /(^| )deb( |$)/ && enabled != "no")
                for (i = split(uris, u, " "); i > 0; i--)
                    for (j = split(suites, s, " "); j > 0; j--) print u[i], s[j]
            types = uris = suites = enabled = ""
        }
        FNR == 1 { flush() }
        FILENAME ~ /\.list$/ {
            sub(/^deb +\[[^]]*\]/, "deb")
            if ($1 == "deb") print $2, $3
            next
        }
        /^[ \t]*$/ { flush() }
        /^Types:/ { sub(/^[^:]*: */, ""); types = $0 }
        /^URIs:/ { sub(/^[^:]*: */, ""); uris = $0 }
        /^Suites:/ { sub(/^[^:]*: */, ""); suites = $0 }
        /^Enabled:/ { sub(/^[^:]*: */, ""); enabled = $0 }
        END { flush() }
    ' "${files[@]}"
}

# The mirror whose suite matches; a machine has one for the release and one for its security updates.
mirror_of() {
    local codename
    codename=$(. /etc/os-release && [ "$ID" = debian ] && echo "$VERSION_CODENAME") || return 0
    apt_sources | awk -v suite="$codename$1" '$2 == suite { print $1; exit }'
}

# Certificate authorities that this machine trusts beside Mozilla's: a company's, or a proxy's.
local_authorities() {
    local bundle=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt} mozilla=/usr/share/ca-certificates
    if [ -d "$mozilla" ] && [ -f "$bundle" ]; then
        find "$mozilla" -name '*.crt' -exec cat {} + | awk '
            /-----BEGIN CERTIFICATE-----/ { body = ""; inside = 1; next }
            /-----END CERTIFICATE-----/ {
                inside = 0
                if (FILENAME == "-") known[body] = 1
                else if (!(body in known)) {
                    known[body] = 1
                    gsub(/.{64}/, "&\n", body); sub(/\n$/, "", body)
                    printf "-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n", body
                }
                next
            }
            inside { sub(/\r$/, ""); body = body $0 }
        ' - "$bundle"
    else
        cat /etc/pki/ca-trust/source/anchors/*.{crt,pem} \
            /etc/ca-certificates/trust-source/anchors/*.{crt,pem} 2>/dev/null || true
    fi
}

# The packages of a server as a cloud provider delivers it, and not one more.
packages() { grep -v '^#' "$recipe/packages" | paste -sd,; }

# A root file system from the machine's own mirror, imported as the image to derive from.
bootstrap() {
    local codename=$1 base=$2 mirror security archive options=()
    mirror=$(mirror_of '') security=$(mirror_of -security)
    archive=$(mktemp -d)
    # shellcheck disable=SC2064  # the folder as it is now
    trap "rm -rf '$archive'" RETURN
    {
        echo "deb $mirror $codename main"
        echo "deb $mirror $codename-updates main"
        [ -z "$security" ] || echo "deb $security $codename-security main"
    } >"$archive/sources.list"
    # A mirror of a release in development may be a few weeks old.
    [ "$codename" != forky ] || options=(--aptopt='Acquire::Check-Valid-Until "false"')
    say "Bootstrapping Debian $codename from $mirror"
    as_root mmdebstrap --quiet --variant=minbase --mode=root --include="$(packages)" "${options[@]}" \
        "$codename" "$archive/root.tar" "$archive/sources.list" >"$(log_file "image-$codename")" 2>&1 ||
        { tail -n 30 "$(log_file "image-$codename")" >&2; die "mmdebstrap failed"; }
    docker import - "$base" <"$archive/root.tar" >/dev/null
}

base_image() {
    local release=$1 codename
    case $release in
        debian:12) codename=bookworm ;;
        debian:13) codename=trixie ;;
        debian:14) codename=forky ;;
        *) codename='' ;;
    esac
    if [ -n "$codename" ] && [ -n "$(mirror_of '')" ] && can_be_root; then
        apt_install mmdebstrap
        bootstrap "$codename" "homeport/base:$codename"
        base=homeport/base:$codename
    else
        # A release in development has no tag with its number.
        base=${codename:+debian:$codename}
        base=${base:-$release}
        say "Pulling $base"
        docker pull --quiet "$base" >/dev/null || docker image inspect "$base" >/dev/null 2>&1 ||
            die "cannot pull $base"
    fi
}

build() {
    local release=$1 tag=homeport/$1 from='' pretend='' hash context base
    if [ "$release" != "${release%"$pretend_suffix"}" ]; then
        from=${release%"$pretend_suffix"} pretend=ubuntu-24.04
        with_lock "image-${from//[:\/]/-}" build "$from" >/dev/null
    fi
    hash=$({
        cat "$0" "$recipe"/*
        local_authorities
        mirror_of ''
        [ -z "$from" ] || docker image inspect --format '{{.Id}}' "homeport/$from"
    } | sha256sum | cut -c1-16)
    if [ "$(docker image inspect --format '{{index .Config.Labels "homeport.recipe"}}' "$tag" 2>/dev/null)" = "$hash" ]; then
        echo "$tag"
        return 0
    fi
    if [ -n "$from" ]; then base=homeport/$from; else base_image "$release"; fi
    say "Building $tag"
    context=$(mktemp -d)
    cp "$recipe"/* "$context"
    local_authorities >"$context/authorities.pem"
    docker build --quiet --tag "$tag" --label "homeport.recipe=$hash" --label homeport=1 \
        --build-arg "BASE=$base" --build-arg "PRETEND=$pretend" "$context" \
        >"$(log_file "image-${release//[:\/]/-}")" 2>&1 ||
        { tail -n 40 "$(log_file "image-${release//[:\/]/-}")" >&2; rm -rf "$context"; die "building $tag failed"; }
    rm -rf "$context"
    # The base was only a step: what it shares with the image stays, the name goes.
    case $base in homeport/base:*) docker rmi --no-prune "$base" >/dev/null ;; esac
    docker image prune --force --filter label=homeport=1 >/dev/null
    echo "$tag"
}

case ${1:-} in -h | --help) usage "$0"; exit 0 ;; esac
"$HOMEPORT/testhosts/engine.sh" up
for release in "${@:-debian:13}"; do
    release=${release#homeport/}
    with_lock "image-${release//[:\/]/-}" build "$release"
done
