#!/usr/bin/env bash
# The programs of a build tree with the libraries they need, in one small archive, for a GPU machine that has a
# driver and CUDA's libraries but no build. There:
#   mkdir tern && tar -C tern -xJf ARCHIVE && . tern/activate
#   scripts/pack_gpu.sh BUILD_DIRECTORY ARCHIVE.tar.xz
set -euo pipefail
build=$1
archive=$(realpath -m "$2")
cd "$(dirname "$0")/.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/bin" "$work/lib"

for program in tern cuda_tests product_check decode_benchmark compare_models; do
  [ ! -e "$build/bin/$program" ] || cp "$build/bin/$program" "$work/bin/"
done
find "$build" -maxdepth 2 -name 'lib*.so*' -exec cp -P {} "$work/lib/" \;
# CUDA's own libraries and the C library's are there
ldd "$work"/bin/* | awk -v there="$work" '$3 ~ /^\// && index($3, there) != 1 {print $3}' | sort -u |
  grep -Ev '/(libc|libm|libdl|librt|libpthread|libcu[a-zA-Z]*|libnccl)\.so' | xargs -I{} cp -L {} "$work/lib/"
find "$work/bin" "$work/lib" -type f -exec strip --strip-unneeded {} +
cp -r "$build/share" "$work/"

cat >"$work/activate" <<'END'
packed=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cudnn=$(python3 -c 'import nvidia.cudnn; print(list(nvidia.cudnn.__path__)[0] + "/lib")' 2>/dev/null || true)
export PATH=$packed/bin:$PATH LD_LIBRARY_PATH=$packed/lib:$cudnn:${LD_LIBRARY_PATH:-}
END
tar -C "$work" -cJf "$archive" .
du -h "$archive"
