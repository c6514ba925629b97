#!/usr/bin/env bash
# One machine: a Ray cluster that outlives single runs, so that several share it and none waits for its start.
#
#   clusters/local.sh                   holds the cluster in this terminal; Ctrl-C ends it, and nothing else
#   RAY_AUTH_MODE=token tts-bench run quickstart --address 127.0.0.1:6379         in any other terminal
#
# It takes all CPUs and GPUs that it finds; give it less with more options of 'ray start': clusters/local.sh --num-gpus=1

set -euo pipefail

ENVIRONMENT=$(dirname "$0")/../.venv    # EDIT: where tts-bench is installed
PORT=6379                               # EDIT: another one where it is taken, but none from 10002 to 19999: those are Ray's own

export PATH=$ENVIRONMENT/bin:$PATH
export RAY_AUTH_MODE=token

# Ray listens on all addresses of the machine: the token is what keeps others out. Ray finds it here by itself.
token=$HOME/.ray/auth_token
mkdir -p "$HOME/.ray"
[[ -s $token ]] || (umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$token")
chmod 600 "$token"

exec ray start --head --block "--port=$PORT" --dashboard-host=127.0.0.1 \
  --object-store-memory=200000000 --disable-usage-stats "$@"
