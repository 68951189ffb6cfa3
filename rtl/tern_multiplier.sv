// a b, exact: what a chip's multiplier with a register at its output does. Latency 1, no handshake.
module tern_multiplier #(
  parameter int A = 18,  // bits, at most 18 for one multiplier of an ECP5
  parameter int B = 18
) (
  input  logic clk,
  input  logic signed [A-1:0] a,
  input  logic signed [B-1:0] b,
  output logic signed [A+B-1:0] product
);
  always_ff @(posedge clk) product <= a * b;
endmodule
