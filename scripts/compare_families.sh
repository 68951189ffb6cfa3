#!/usr/bin/env bash
# Both model families in both precisions on one recipe (configs/books-families-370m.toml), on a GPU.
#   scripts/compare_families.sh sweep TERN OUT [FORM=RATE...]   200 steps at each rate; prints the validation losses
#   scripts/compare_families.sh run TERN OUT FORM=RATE...       one epoch each; OUT/FORM gets metrics.jsonl
# FORM: matmulfree_ternary, transformer_ternary, matmulfree_dense, transformer_dense.
# The data are in corpora/books and corpora/books-val. BUDGET: seconds after which no further run is begun.
set -euo pipefail
usage() { sed -n '2,6s/^# *//p' "$0" >&2; exit 2; }
[ $# -ge 3 ] || usage
what=$1 tern=$2 out=$3
shift 3
case $what in sweep) ;; run) [ $# -gt 0 ] || usage ;; *) usage ;; esac
mkdir -p "$out"
config=configs/books-families-370m.toml
declare -A settings=(
  [matmulfree_ternary]="--set model.type=matmulfree --set model.quantize=ternary"
  [transformer_ternary]="--set model.type=transformer --set model.quantize=ternary"
  [matmulfree_dense]="--set model.type=matmulfree --set model.quantize=none"
  [transformer_dense]="--set model.type=transformer --set model.quantize=none"
)
declare -A rates=(
  [matmulfree_ternary]="1e-3 2e-3 4e-3 8e-3"
  [transformer_ternary]="5e-4 1e-3 2e-3 4e-3"
  [matmulfree_dense]="2.5e-4 5e-4 1e-3"
  [transformer_dense]="2e-4 4e-4 8e-4"
)

in_time() { [ $SECONDS -lt "${BUDGET:-100000}" ]; }

# train NAME FORM RATE [OPTION...]: prints a line of the table
train() {
  local name=$1 form=$2 rate=$3
  shift 3
  in_time || { echo "$form $rate: not begun, time is up"; return; }
  # shellcheck disable=SC2086  # words on purpose
  "$tern" train $config --device cuda ${settings[$form]} --set optimizer.lr="$rate" --set run.name="$name" \
    --set run.directory="$out" "$@" >"$out/$name.log" 2>&1 || { echo "$form $rate: exit code $?"; tail -2 "$out/$name.log"; return; }
  echo "$form $rate: $(grep -E 'best val|time |speed' "$out/$name.log" | tail -3 | tr -s ' ' | tr '\n' ';')"
}

if [ "$what" = sweep ] && [ $# = 0 ]; then
  for form in "${!rates[@]}"; do
    for rate in ${rates[$form]}; do set -- "$@" "$form=$rate"; done
  done
fi
for chosen in "$@"; do
  form=${chosen%=*} rate=${chosen#*=}
  [ -n "${settings[$form]:-}" ] || { echo "compare_families: expected FORM=RATE, got $chosen" >&2; exit 2; }
  if [ "$what" = sweep ]; then
    train "sweep_${form}_$rate" "$form" "$rate" --set run.tokens=0 --set run.steps=200 --set logging.validation_interval=200
  else
    train "$form" "$form" "$rate"
  fi
done
