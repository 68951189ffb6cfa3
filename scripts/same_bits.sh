#!/usr/bin/env bash
# Compares what two builds of tern compute: golden files, and 30-step runs in f32 and f64, whole and
# resumed, also by AFTER from a checkpoint of BEFORE, alone and on 2 and 4 ranks with and without
# owners. Each run's last checkpoint must hold the same tensors. BEFORE prepares the data of all.
#   scripts/same_bits.sh BEFORE/bin/tern AFTER/bin/tern [DEVICE]
# Runs on several ranks may differ in the last bits (SAME=1e-6) where the order of additions over
# ranks changed; all others must agree in every bit. Data is read in file order.
set -euo pipefail
[ $# -ge 2 ] || { sed -n '2,8s/^# //p' "$0" >&2; exit 2; }
before=$(realpath "$1") after=$(realpath "$2") device=${3:-cpu}
cd "$(dirname "$0")/.."
export OMP_WAIT_POLICY=passive
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
text=configs/demo/tinyshakespeare.txt
"$before" tokenizer train --vocab-size 512 --out "$work/tok.model" "$text" >"$work/log" 2>&1
"$before" prepare --tokenizer "$work/tok.model" --out "$work/data" --validation 0.1 "$text" >"$work/log" 2>&1
failed=0

cat >"$work/small.toml" <<EOF
[run]
steps = 30
[model]
hidden_size = 64
num_hidden_layers = 3
vocab_size = 512
[data]
order = "sequential"
[[data.source]]
path = "$work/data"
[optimizer]
lr = 3e-3
[batch]
tokens = 512
context = 64
[logging]
interval = 1
validation_interval = 15
[checkpoint]
interval = 10
keep_last = 10
EOF

# train WHICH RUN ARGUMENT...
train() {
  local tern=$1 run=$2
  shift 2
  "$tern" train "$work/small.toml" --device "$device" --set run.directory="$work" --set run.name="$run" "$@" \
    >"$work/log" 2>&1 || { echo "$run: exit $?"; tail -5 "$work/log"; failed=1; }
}

# compare RUN TOLERANCE: the largest difference of losses, and whether the shards hold the same bytes
compare() {
  python3 - "$work/before-$1" "$work/after-$1" "$1" "$2" <<'PY' || failed=1
import glob, json, sys
old, new, name, tolerance = sys.argv[1:]
def losses(run):
    lines = map(json.loads, open(run + "/metrics.jsonl"))
    return {(l["t"], l["step"]): l["loss"] for l in lines if l["t"] in ("train", "val")}
a, b = losses(old), losses(new)
missing = set(a) ^ set(b)
worst = max((abs(a[k] - b[k]) / abs(a[k]) for k in a if k in b), default=float("nan"))
def hashes(run):  # of each piece of each tensor
    path = max(glob.glob(run + "/checkpoints/step-*[0-9]")) + "/manifest.json"
    tensors = json.load(open(path))["tensors"]
    return {(t["name"], p["first_row"]): p["hash"] for t in tensors for p in t["pieces"]}
h, g = hashes(old), hashes(new)
same = bool(h) and h == g
good = not missing and worst <= float(tolerance) and (same or float(tolerance) > 0)
print(f"{name:24} {len(a)} losses, largest relative difference {worst:.1e}, "
      f"{len(h)} tensors {'the same' if same else 'differ'}{'' if good else '   FAILED'}")
sys.exit(not good)
PY
}

golden=$([ "$device" = cpu ] || echo --dtype f32)
for which in before after; do
  # shellcheck disable=SC2086
  "${!which}" golden --device "$device" $golden tests/golden/*.safetensors >"$work/golden-$which" 2>&1 || failed=1
done
if cmp -s "$work/golden-before" "$work/golden-after"; then
  echo "golden                   the same report"
else
  diff "$work/golden-before" "$work/golden-after" || failed=1
fi

types="f32 f64"
[ "$device" = cpu ] || types="f32"
for type in $types; do
  for which in before after; do
    train "${!which}" "$which-$type" --set precision.dtype="$type"
    cp -r "$work/$which-$type" "$work/$which-$type-resumed"
    rm -rf "$work/$which-$type-resumed/checkpoints/step-000000"[23]0
    train "${!which}" "$which-$type-resumed" --set precision.dtype="$type" --resume auto
  done
  compare "$type" 0
  compare "$type-resumed" 0
  # the later build goes on from the earlier one's checkpoint
  cp -r "$work/before-$type-resumed" "$work/before-$type-taken-over"
  cp -r "$work/before-$type" "$work/after-$type-taken-over"
  rm -rf "$work/after-$type-taken-over/checkpoints/step-000000"[23]0
  train "$after" "after-$type-taken-over" --set precision.dtype="$type" --resume auto
  compare "$type-taken-over" 0
  [ "$device" = cpu ] || continue
  for ranks in 2 4; do
    for zero in 0 1; do
      for which in before after; do
        train "${!which}" "$which-$type-$ranks-ranks-zero-$zero" --set precision.dtype="$type" \
          --set parallel.zero=$zero --ranks $ranks
      done
      compare "$type-$ranks-ranks-zero-$zero" "${SAME:-1e-6}"
    done
  done
done
exit $failed
