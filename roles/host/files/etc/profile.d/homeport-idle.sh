# shellcheck shell=sh
# Written by Homeport (role host): a shell that somebody has left ends by itself, after as many seconds.
TMOUT=900
readonly TMOUT
export TMOUT
