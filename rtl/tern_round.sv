// value / 2^shift to the nearest integer, halves to even: round_shift of rtl/model/fixed_point.h, and
// the only rounding here. Any shift; from IN on the result is 0.
// Latency 3, one value a cycle, no handshake: the shift's upper bits, its lower ones, and the increment.
module tern_round #(
  parameter int IN = 34,
  parameter int SHIFT = 6  // bits of shift
) (
  input  logic clk,
  input  logic signed [IN-1:0] value,
  input  logic [SHIFT-1:0] shift,
  output logic signed [IN-1:0] rounded
);
`include "tern_bug.svh"
  localparam int FINE = SHIFT / 2;
  localparam logic [IN:0] ONES = {(IN + 1) {1'b1}};
  logic signed [IN:0] exact, coarse, fine;  // a bit behind the point
  logic [SHIFT-1:0] by;                     // the upper bits alone
  logic [FINE-1:0] by_1;
  logic lost, rest;  // a bit behind that one is set
  logic signed [IN-1:0] whole;
  logic up;

  assign exact = {value, 1'b0};
  assign by = {shift[SHIFT-1:FINE], FINE'(0)};
  assign fine = coarse >>> by_1;
  assign rest = lost | |(coarse & ~(ONES << by_1));

  always_ff @(posedge clk) begin
    coarse <= exact >>> by;
    lost <= |(exact & ~(ONES << by));
    by_1 <= shift[FINE-1:0];
    whole <= fine[IN:1];
    up <= fine[0] & (rest | fine[1] | (bug == 1));
    rounded <= whole + IN'({1'b0, up});
  end

`ifdef FORMAL
  // The distance to the result is at most a half, and the result is even where it is a half.
  localparam int W = IN + (1 << SHIFT) + 1;
  logic [1:0] age = 2'd0;
  logic signed [IN-1:0] value_1, value_2, value_3;
  logic [SHIFT-1:0] shift_1, shift_2, shift_3;
  wire signed [W-1:0] twice = (W'(value_3) - (W'(rounded) <<< shift_3)) <<< 1;
  wire signed [W-1:0] one = $signed(W'(1)) <<< shift_3;
  always_ff @(posedge clk) begin
    if (age != 2'd3) age <= age + 1'b1;
    value_1 <= value;
    value_2 <= value_1;
    value_3 <= value_2;
    shift_1 <= shift;
    shift_2 <= shift_1;
    shift_3 <= shift_2;
  end
  always_comb
    if (age == 2'd3) begin
      assert (twice <= one && twice >= -one);
      if (twice == one || twice == -one) assert (!rounded[0]);
      if (shift_3 == '0) assert (rounded == value_3);
    end
`endif
endmodule
