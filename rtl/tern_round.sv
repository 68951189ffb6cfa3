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
endmodule
