#!/usr/bin/env bash
# The demonstration behind `make train`: a small ternary language model learns Shakespeare's English
# in a few minutes on two cores. Every command is printed before it runs; all of them can be typed.
set -euo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/build/bin:$PATH"
text=configs/demo/tinyshakespeare.txt
data=runs/demo-data

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '$ %s\n' "$*"; "$@"; }
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n%s\n' "$*"; }

say "1. A tokenizer of 1024 pieces, trained on the text itself"
mkdir -p "$data"
[ -s "$data/tokenizer.model" ] ||
  run tern tokenizer train --vocab-size 1024 --out "$data/tokenizer.model" "$text"

say "2. The text as token ids; its last tenth is kept for validation"
[ -s "$data/tokens/manifest.json" ] ||
  run tern prepare --tokenizer "$data/tokenizer.model" --out "$data/tokens" --validation 0.1 "$text"

say "3. Training (stop it with Ctrl-C; the same command goes on)"
run tern train configs/demo.toml

say "4. How good is it? The model, and what counting n-grams reaches on the same text"
run tern eval --checkpoint runs/demo --data "$data/tokens"
run tern ngram --data "$data/tokens"

say "5. What it writes"
run tern generate --checkpoint runs/demo --prompt $'ROMEO:\n' -n 200 --temperature 0.8 --top-k 50

say "The loss curve is runs/demo/loss.png. Try next:"
cat <<'EOF'
  tern generate --checkpoint runs/demo --prompt "JULIET:" -n 300 --temperature 0.7
  tern train configs/demo.toml --set run.name=hot --set optimizer.lr=8e-3
  tern plot runs/demo runs/hot --out both.png
  tern inspect runs/demo
  tern plan configs/370m.toml --without-data
EOF
