#!/bin/sh
# Builds the image for CPUs and draws an image in it, where docker or podman works; tests/clusters/test_container.py
# reads the steps everywhere.
set -eu
for tool in docker podman; do
    command -v "$tool" >/dev/null 2>&1 && "$tool" info >/dev/null 2>&1 && break
    tool=
done
if [ -z "$tool" ]; then
    echo "container: neither docker nor podman works here, so that no image is built"
    exit 0
fi
"$tool" build --tag tts-bench .
"$tool" run --rm --init --network none tts-bench generate --class cat --search naive --reward brightness --threads 1 \
    --output cat.png
