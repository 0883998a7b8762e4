# shellcheck shell=sh
# Written by Homeport (role host): nor does one that a shell starts which PAM knows nothing of.
# shellcheck disable=SC3045  # dash and bash have it
ulimit -c 0
