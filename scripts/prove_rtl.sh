#!/usr/bin/env bash
# Proves small SystemVerilog units for every input and all time, by k-induction (yosys-smtbmc, z3), and
# checks that a proof fails where a bug is planted.     scripts/prove_rtl.sh [UNIT...]
set -euo pipefail
cd "$(dirname "$0")/../rtl"
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT

proofs=( # module, steps, its parameters
  "tern_round 4 IN 8 SHIFT 4"
  "tern_saturate 1 IN 12 OUT 5"
  "tern_saturate 1 IN 12 OUT 5 SYMMETRIC 1"
  "tern_skid 2 WIDTH 4"
  "tern_fifo 2 WIDTH 4 DEPTH 4"
  "tern_divider 2 BITS 8"
  "tern_root 2 BITS 8"
  "tern_burst_splitter 2 ADDRESS 8 LENGTH 6 BURST 4"
)

# solve FILE STEPS: holds from the reset on, and from any state that it held in before
solve() {
  timeout 900 yosys-smtbmc --noprogress -s z3 -t "$2" "$1" >"$1.base" &&
    timeout 900 yosys-smtbmc --noprogress -s z3 -i -t "$2" "$1" >"$1.induction"
}

# translate FILE BUG MODULE [PARAMETER VALUE]...
translate() {
  local file=$1 bug=$2 module=$3
  shift 3
  local set=""
  while [ $# -gt 0 ]; do set+=" -set $1 $2" && shift 2; done
  yosys -q -p "read_verilog -sv -formal -DTERN_BUG=$bug tern_pkg.sv $module.sv;
    ${set:+chparam$set $module;} prep -flatten -top $module; write_smt2 -wires $file"
}

# scoreboard BUG: the core's scoreboard, for three registers (a memory, a flip-flop, memory with tiles) and any
# instructions. It is too large for z3 and small for the solver in yosys.
scoreboard() {
  timeout 500 yosys -p "read_verilog -sv -formal -DTERN_BUG=$1 tern_pkg.sv tern_queue.sv tern_scoreboard.sv;
    chparam -set R 3 -set ONE_PORT 1 tern_scoreboard; prep -flatten -top tern_scoreboard; opt -full;
    sat -tempinduct -prove-asserts -set-assumes -seq 1 -maxsteps 12 -verify" >"$room/scoreboard" 2>&1
}

for unit in "$@"; do
  if ! printf '%s\n' "${proofs[@]}" tern_scoreboard' ' | grep -q "^$unit "; then
    echo "prove_rtl: $unit: expected one of" \
      "$(printf '%s\n' "${proofs[@]}" tern_scoreboard | cut -d' ' -f1 | sort -u | xargs)" >&2
    exit 2
  fi
done
for proof in "${proofs[@]}"; do
  read -r module steps parameters <<<"$proof"
  [ $# = 0 ] || [[ " $* " = *" $module "* ]] || continue
  # shellcheck disable=SC2086
  translate "$room/$module.smt2" 0 "$module" $parameters
  started=$SECONDS
  if ! solve "$room/$module.smt2" "$steps"; then
    tail -n 20 "$room/$module.smt2".{base,induction} 2>/dev/null || true
    echo "prove_rtl: $module ($parameters): the proof failed" >&2
    exit 1
  fi
  printf 'proved %s (%s) in %d s\n' "$module" "$parameters" $((SECONDS - started))
done

for planted in "1 tern_round 4 IN 8 SHIFT 4" "2 tern_skid 2 WIDTH 4" "3 tern_fifo 2 WIDTH 4 DEPTH 4" \
  "13 tern_burst_splitter 2 ADDRESS 8 LENGTH 6 BURST 4"; do
  read -r bug module steps parameters <<<"$planted"
  [ $# = 0 ] || [[ " $* " = *" $module "* ]] || continue
  # shellcheck disable=SC2086
  translate "$room/planted.smt2" "$bug" "$module" $parameters
  solve "$room/planted.smt2" "$((steps + 6))" || true
  if ! grep -q 'Status: FAILED' "$room/planted.smt2.base"; then
    echo "prove_rtl: $module with planted bug $bug: expected a counterexample" >&2
    exit 1
  fi
  echo "planted bug $bug in $module: found"
done

if [ $# = 0 ] || [[ " $* " = *" tern_scoreboard "* ]]; then
  started=$SECONDS
  if ! scoreboard 0; then
    tail -n 20 "$room/scoreboard"
    echo "prove_rtl: tern_scoreboard: the proof failed" >&2
    exit 1
  fi
  printf 'proved tern_scoreboard in %d s\n' $((SECONDS - started))
  for bug in 17 18 23; do
    scoreboard $bug || true
    if ! grep -q 'model found for base case' "$room/scoreboard"; then
      echo "prove_rtl: tern_scoreboard with planted bug $bug: expected a counterexample" >&2
      exit 1
    fi
    echo "planted bug $bug in tern_scoreboard: found"
  done
fi
