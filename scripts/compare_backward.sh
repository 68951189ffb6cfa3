#!/usr/bin/env bash
# Runs that differ only in how the backward products are computed, on one epoch of the books, on a GPU.
#   scripts/compare_backward.sh TERN OUT SEED:BACKWARD...      for example 1:bf16 1:fp8; OUT/BACKWARD_SEED gets metrics.jsonl
# Prints each run's last validation loss, on a million tokens. The data are in corpora/books and corpora/books-val. The recipe is
# calm (rate, warm-up), so that pairs of a seed stay together.
set -euo pipefail
[ $# -ge 3 ] || { sed -n '2,5s/^# *//p' "$0" >&2; exit 2; }
tern=$1 out=$2
shift 2
mkdir -p "$out"
for pair in "$@"; do
  name=${pair#*:}_${pair%%:*}
  "$tern" train configs/books-370m.toml --device cuda --set run.seed="${pair%%:*}" --set precision.backward="${pair#*:}" \
    --set run.name="$name" --set run.directory="$out" --set run.tokens=38_000_000 \
    --set optimizer.lr=1e-3 --set schedule.warmup=40% --set data.source.0.validation=corpora/books-val \
    --set logging.sample_interval=0 --set logging.validation_interval=145 --set logging.validation_tokens=1_000_000 \
    --set checkpoint.interval=0 --set checkpoint.keep_best=false >"$out/$name.log" 2>&1 ||
    { echo "$name: exit code $?"; tail -n 2 "$out/$name.log"; continue; }
  echo "$name: $(grep '"t":"val"' "$out/$name/metrics.jsonl" | tail -n 1)"
done
