// value / 2^shift to the nearest integer, halves to even: round_shift of rtl/model/fixed_point.h, and
// the only rounding here. Any shift; from IN on the result is 0.
// Latency 2, one value a cycle, no handshake.
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
  logic signed [IN:0] shifted;  // a bit behind the point
  logic [IN-1:0] below;         // the bits behind that one
  logic rest;
  logic signed [IN-1:0] whole;
  logic up;

  assign shifted = $signed({value, 1'b0}) >>> shift;
  assign below = ~({IN{1'b1}} << shift) >> 1;
  assign rest = |(value & below);

  always_ff @(posedge clk) begin
    whole <= shifted[IN:1];
    up <= shifted[0] & (rest | shifted[1] | (bug == 1));
    rounded <= whole + IN'({1'b0, up});
  end

`ifdef FORMAL
  // The distance to the result is at most a half, and the result is even where it is a half.
  localparam int W = IN + (1 << SHIFT) + 1;
  logic [1:0] age = 2'd0;
  logic signed [IN-1:0] value_1, value_2;
  logic [SHIFT-1:0] shift_1, shift_2;
  wire signed [W-1:0] twice = (W'(value_2) - (W'(rounded) <<< shift_2)) <<< 1;
  wire signed [W-1:0] one = $signed(W'(1)) <<< shift_2;
  always_ff @(posedge clk) begin
    if (age != 2'd2) age <= age + 1'b1;
    value_1 <= value;
    value_2 <= value_1;
    shift_1 <= shift;
    shift_2 <= shift_1;
  end
  always_comb
    if (age == 2'd2) begin
      assert (twice <= one && twice >= -one);
      if (twice == one || twice == -one) assert (!rounded[0]);
      if (shift_2 == '0) assert (rounded == value_2);
    end
`endif
endmodule
