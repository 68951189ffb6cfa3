#!/usr/bin/env bash
# Runs on the books on a GPU that differ only in the numbers of the backward products and of the optimizer's state.
#   scripts/compare_precision.sh TERN OUT MODEL SEED:BACKWARD[+state]...   for example 370m 1:bf16 1:fp8 1:fp8+state
# +state: moments and gradients in bf16. MODEL: 370m, one epoch; 1.3b, 300 steps. OUT/MODEL_BACKWARD_SEED gets metrics.jsonl. Prints each
# run's last validation loss, on a million tokens. The data are in corpora/books and corpora/books-val. The recipe is calm (rate,
# warm-up), so that pairs of a seed stay together.
set -euo pipefail
[ $# -ge 4 ] || { sed -n '2,6s/^# *//p' "$0" >&2; exit 2; }
tern=$1 out=$2 model=$3
shift 3
case $model in
  370m) tokens=38_000_000 rate=1e-3 interval=145 ;;
  1.3b) tokens=19_660_800 rate=5e-4 interval=100 ;;
  *) echo "MODEL: expected 370m or 1.3b, got '$model'" >&2; exit 2 ;;
esac
mkdir -p "$out"
for pair in "$@"; do
  numbers=${pair#*:}
  state=()
  [ "$numbers" = "${numbers%+state}" ] || state=(--set optimizer.moments=bf16 --set optimizer.gradients=bf16)
  name=${model}_${numbers/+/_}_${pair%%:*}
  "$tern" train configs/books-370m.toml --device cuda --set run.seed="${pair%%:*}" --set precision.backward="${numbers%+state}" \
    --set run.name="$name" --set run.directory="$out" --set model.size="$model" --set run.tokens="$tokens" \
    --set optimizer.lr="$rate" --set schedule.warmup=40% --set data.source.0.validation=corpora/books-val \
    --set logging.sample_interval=0 --set logging.validation_interval="$interval" --set logging.validation_tokens=1_000_000 \
    --set checkpoint.interval=0 --set checkpoint.keep_best=false "${state[@]}" >"$out/$name.log" 2>&1 ||
    { echo "$name: exit code $?"; tail -n 2 "$out/$name.log"; continue; }
  echo "$name: $(grep '"t":"val"' "$out/$name/metrics.jsonl" | tail -n 1)"
done
