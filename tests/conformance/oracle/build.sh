#!/bin/sh
# Build the oracle: build.sh OUTPUT. About 6 minutes of CPU the first time (it compiles Istio), seconds after.
set -eu
out=$(realpath -m "${1:?usage: build.sh OUTPUT}")
cd "$(dirname "$0")"
GOFLAGS=-mod=mod exec go build -trimpath -ldflags '-s -w' -o "$out" .
