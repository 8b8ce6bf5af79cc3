#!/usr/bin/env bash
# Training, ours and the Python stack's in turn, on the same work and threads; prints every round and the ratios.
#   bench_train_rounds.sh [ROUNDS] [THREADS] [STEPS]     needs torch, transformers, peft in $STRATOS_PEERS_PYTHON (default python3)
# Quiet machine: under load PyTorch's threads fall far behind, which flatters us.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds="${1:-3}" threads="${2:-2}" steps="${3:-5}"
python="${STRATOS_PEERS_PYTHON:-python3}" stratos="${STRATOS_BIN:-target/release/stratos}"
for _ in $(seq "$rounds"); do
  "$stratos" bench train --steps "$steps" --threads "$threads"
  for variant in --selected --stock; do
    "$python" .ci/peers/bench_train.py "$variant" --threads "$threads" --steps "$((steps + 1))" 2>/dev/null
  done
done
