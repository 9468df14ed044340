#!/usr/bin/env bash
# Every figure of a GPU in under eight minutes, for whoever has one at hand for a quarter of an hour: encoding, training,
# and how far the GPU and the CPU agree. Installs nothing and needs no DVC. Figures go to the folder named, or gpu/.
set -euo pipefail
cd "$(dirname "$0")/.."
exec timeout 470 "${PYTHON:-python3}" -m benchmarks.gpu --out "${1:-gpu}"
