#!/usr/bin/env bash
# The demonstration behind `make train`: a small ternary language model learns Shakespeare's English
# in a few minutes on two cores. Prints every command before it runs it; each can be pasted into a
# shell in this directory.     scripts/demo.sh [BUILD_DIRECTORY]
set -euo pipefail
cd "$(dirname "$0")/.."
tern=${1:-build}/bin/tern
text=configs/demo/tinyshakespeare.txt
data=runs/demo-data

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() {
  printf '$'
  printf ' %q' "$@"
  printf '\n'
  "$@"
}
[ -t 1 ] && [ -z "${NO_COLOR:-}" ] || say() { printf '\n%s\n' "$*"; }

say "1. A tokenizer of 1024 pieces, trained on the text itself"
mkdir -p "$data"
[ -s "$data/tokenizer.model" ] ||
  run "$tern" tokenizer train --vocab-size 1024 --out "$data/tokenizer.model" "$text"

say "2. The text as token ids; its last tenth is kept for validation"
[ -s "$data/tokens/manifest.json" ] ||
  run "$tern" prepare --tokenizer "$data/tokenizer.model" --out "$data/tokens" --validation 0.1 "$text"

say "3. Training (Ctrl-C stops it and saves; run the same command again to resume)"
interrupted=0
trap interrupted=1 INT
code=0
run "$tern" train configs/demo.toml || code=$?
trap - INT
if [ $code = 75 ]; then
  say "Stopped and saved. \`make train\` or \`$tern train configs/demo.toml\` resumes."
  [ $interrupted = 0 ] || code=0  # Ctrl-C is not a failure of make's recipe
fi
[ $code = 0 ] && [ $interrupted = 0 ] || exit $code

say "4. How good is it? The model, and what counting n-grams reaches on the same text"
run "$tern" eval --checkpoint runs/demo --data "$data/tokens"
run "$tern" ngram --data "$data/tokens"

say "5. What it writes"
run "$tern" generate --checkpoint runs/demo --prompt $'ROMEO:\n' -n 200 --temperature 0.8 --top-k 50

say "The program is $tern, the loss curve runs/demo/loss.png. Try next:"
cat <<EOF
  $tern generate --checkpoint runs/demo --prompt "JULIET:" -n 300 --temperature 0.7
  $tern train configs/demo.toml --set run.name=hot --set optimizer.lr=8e-3
  $tern plot runs/demo runs/hot --out runs/both.png
  $tern inspect runs/demo
  $tern plan configs/370m.toml --without-data
  $tern help
EOF
