#!/bin/sh
# Runs inside the image while it is built: a bare server, plus what only a container needs.
# usage: provision.sh [ubuntu-24.04]   with the argument, only make the system claim to be Ubuntu
set -eu
here=$(dirname "$0")
export DEBIAN_FRONTEND=noninteractive

if [ "${1:-}" = ubuntu-24.04 ]; then
    cat >/usr/lib/os-release <<'END'
PRETTY_NAME="Ubuntu 24.04.3 LTS"
NAME="Ubuntu"
VERSION_ID="24.04"
VERSION="24.04.3 LTS (Noble Numbat)"
VERSION_CODENAME=noble
ID=ubuntu
ID_LIKE=debian
UBUNTU_CODENAME=noble
END
    [ -L /etc/os-release ] || cp /usr/lib/os-release /etc/os-release
    printf '%s\n' DISTRIB_ID=Ubuntu DISTRIB_RELEASE=24.04 DISTRIB_CODENAME=noble \
        'DISTRIB_DESCRIPTION="Ubuntu 24.04.3 LTS"' >/etc/lsb-release
    exit 0
fi

# --- What makes a pulled container image a server again -------------------------------------------
rm -f /usr/sbin/policy-rc.d /etc/apt/apt.conf.d/docker-* /etc/dpkg/dpkg.cfg.d/excludes \
    /etc/dpkg/dpkg.cfg.d/docker* /etc/dpkg/dpkg.cfg.d/01_nodoc
missing=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' 2>/dev/null |
    awk 'NR == FNR { if ($2 == "installed") have[$1] = 1; next } !/^#/ && !($1 in have)' - "$here/packages")
if [ -n "$missing" ]; then
    apt-get -qq update
    # shellcheck disable=SC2086  # a list of names
    apt-get -qq install -y --no-install-recommends $missing
fi

# The login of a cloud image: sudo without a password.
getent group admin >/dev/null || groupadd admin
useradd --create-home --shell /bin/bash --gid admin admin
printf 'admin ALL=(ALL) NOPASSWD:ALL\n' >/etc/sudoers.d/90-cloud-init-users
chmod 0440 /etc/sudoers.d/90-cloud-init-users

# --- Certificate authorities of the machine that runs the tests -----------------------------------
# One file each, through the system's own tool, so that an upgrade of ca-certificates keeps them.
if [ -s "$here/authorities.pem" ]; then
    awk '/BEGIN CERT/ { n++ } { print > sprintf("/usr/local/share/ca-certificates/test-machine-%02d.crt", n) }' \
        "$here/authorities.pem"
    update-ca-certificates >/dev/null 2>&1
    # pip and uv bring certificates of their own unless told.
    printf '[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n' >/etc/pip.conf
    mkdir -p /etc/uv
    printf 'system-certs = true\n' >/etc/uv/uv.toml
fi

# --- What cannot work inside a container ----------------------------------------------------------
# No user namespaces here: redis and others ask for them in their units and would not start.
mkdir -p /etc/systemd/system/service.d
printf '[Service]\nPrivateUsers=no\n' >/etc/systemd/system/service.d/test-host.conf
# Hardware, consoles and the machine's own mounts belong to the machine.
for unit in console-getty.service getty.target systemd-udevd.service \
    systemd-udevd-control.socket systemd-udevd-kernel.socket systemd-modules-load.service \
    systemd-remount-fs.service systemd-firstboot.service systemd-update-utmp.service \
    dev-hugepages.mount sys-fs-fuse-connections.mount sys-kernel-config.mount \
    sys-kernel-debug.mount sys-kernel-tracing.mount proc-sys-fs-binfmt_misc.automount \
    systemd-networkd-wait-online.service systemd-resolved.service systemd-tpm2-setup.service \
    systemd-tpm2-setup-early.service systemd-pcrmachine.service; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done

# cgroup v2 is mounted read-only in a container that is not privileged; systemd needs to write. systemd 258 and
# later do not know v1: on a machine with v1 they get the container's place in v2, where no limit is enforced.
cat >/usr/local/sbin/homeport-init <<'END'
#!/bin/sh
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    mount -o remount,rw /sys/fs/cgroup
elif [ "$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')" -ge 258 ]; then
    umount -R /sys/fs/cgroup
    mount -t cgroup2 none /sys/fs/cgroup
fi
# settings of the network are the container's own, and those of the machine's kernel stay read-only
mount --bind /proc/sys/net /proc/sys/net && mount -o remount,rw,bind /proc/sys/net
ssh-keygen -A >/dev/null
exec /sbin/init
END
chmod 0755 /usr/local/sbin/homeport-init

# A host lives for minutes: dpkg need not wait for a disk that may lose power. A third of an installation was that.
echo force-unsafe-io >/etc/dpkg/dpkg.cfg.d/test-host

# --- Each host gets an identity of its own when it starts (host keys: homeport-init) ---------------
rm -f /etc/ssh/ssh_host_*
: >/etc/machine-id
rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb /var/log/*.log /var/log/apt/*
systemctl enable ssh.service >/dev/null 2>&1 || true
