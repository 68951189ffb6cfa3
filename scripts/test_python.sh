#!/usr/bin/env bash
# Tests python/hgrn_bit and the folders that `tern export` writes, on the CPU, in transformers 4 and 5.
#   scripts/test_python.sh BUILD_DIRECTORY [PYTEST_ARGUMENT...]
# Virtual environments are made on first use, outside the clone, 7 GB in all, in TERN_PYTHON_HOME or
# ~/.cache/tern/python: one holds torch, one for each version reads it. Their names carry a hash of
# their pins, and a file `complete`, written last, says that they are whole. They may be deleted.
# PYTHON: the interpreter, python3 by default.
set -euo pipefail
build=$(realpath "$1")
shift
cd "$(dirname "$0")/.."
python=${PYTHON:-python3}
home=${TERN_PYTHON_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/tern/python}
pins=tests/python
export TERN=$build/bin/tern CUDA_VISIBLE_DEVICES="" PYTHONNOUSERSITE=1
export PYTHONPYCACHEPREFIX=$home/bytecode  # the clone stays clean; compiled once, when first imported
unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
[ -x "$TERN" ] || { echo "python: expected the program $TERN: build first" >&2; exit 2; }

has_venv() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }
has_venv || scripts/install_packages.sh python3-venv
has_venv || { echo "python: $python: expected its modules venv and ensurepip (Debian: python3-venv)" >&2; exit 2; }

# hash of files, of the interpreter and of this script's layout
hash_of() { { cat "$@"; "$python" -VV; uname -m; echo 1; } | sha256sum | cut -c1-12; }
site_of() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

# make_environment DIRECTORY PINS [BASE]: what BASE holds is visible, too
make_environment() {
  local at=$1 file=$2 base=${3-} try
  [ -e "$at/complete" ] && return
  echo "python: installing $file into $at"
  rm -rf "$at"
  "$python" -m venv "$at"
  [ -z "$base" ] || site_of "$base" >"$(site_of "$at")/base.pth"
  for try in 1 2 3; do
    "$at/bin/python" -m pip install -q --no-input --disable-pip-version-check --no-cache-dir \
      --no-compile -r "$file" && break
    [ $try != 3 ] || { echo "python: pip failed three times: $file" >&2; exit 1; }
    sleep $((10 * try))
  done
  touch "$at/complete"
}

mkdir -p "$home"
exec 9>"$home/lock"  # one maker at a time
flock 9
torch=$home/torch-$(hash_of $pins/requirements-torch.txt)
declare -A environment
started=$SECONDS
make_environment "$torch" $pins/requirements-torch.txt
for version in 4 5; do
  environment[$version]=$home/transformers-$version-$(hash_of $pins/requirements-{torch,$version}.txt)
  make_environment "${environment[$version]}" $pins/requirements-$version.txt "$torch"
done
flock -u 9
echo "python: environments ready after $((SECONDS - started)) s"

code=0
for version in 4 5; do
  echo "python: transformers $(sed -n 's/^transformers==//p' $pins/requirements-$version.txt)"
  "${environment[$version]}/bin/python" -m pytest -q -p no:cacheprovider $pins "$@" || code=1
done
exit $code
