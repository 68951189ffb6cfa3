#!/usr/bin/env bash
# Runs every block of README.md that is marked `bash`, in order, in a fresh clone: what a newcomer
# pastes works. Takes as long as `make train` and `make test` together.
#   scripts/check_readme.sh                  a clone of HEAD, with everything
#   scripts/check_readme.sh --quick BUILD    that build, no `make`, very small models: for a test
# A few files stand for the reader's own texts.
set -euo pipefail
cd "$(dirname "$0")/.."
source=$PWD
quick=0
[ "${1-}" = --quick ] && quick=1 && build=$(realpath "$2")

room=$(mktemp -d)
chmod 755 "$room"  # tests run programs in it as another user
trap 'rm -rf "$room"' EXIT
if [ $quick = 1 ]; then
  mkdir "$room/tern" "$room/tern/build"
  ln -s "$source/configs" "$room/tern/configs"
  ln -s "$build/bin" "$room/tern/build/bin"
else
  git clone -q "$source" "$room/tern"
fi
cd "$room/tern"
mkdir texts
head -c 400000 "$source/configs/demo/tinyshakespeare.txt" >texts/a.txt
head -n 2000 "$source/configs/demo/tinyshakespeare.txt" | sed 's/.*/{"text": "&"}/' | gzip >more.jsonl.gz

# tern COMMAND...: in quick mode with a model and a run that take a second
small=(--set run.tokens=512 --set batch.tokens=256 --set batch.context=64 --set model.hidden_size=32
  --set model.num_hidden_layers=1)
tern() {
  echo "\$ tern $*"
  if [ $quick = 1 ] && [[ $1 == train || $1 == plan ]]; then set -- "$@" "${small[@]}"; fi
  command tern "$@"
}

awk '/^```bash$/ { on = 1; next } /^```/ { on = 0 } on' "$source/README.md" >"$room/commands"
if [ $quick = 1 ]; then sed -i '/^make /d' "$room/commands"; fi
# shellcheck disable=SC1091
source "$room/commands"
echo "every command of README.md works"
