// A flag that stays set until it is cleared. An event in the cycle of `clear` counts for what follows.
// Latency 1.
module tern_sticky (
  input  logic clk,
  input  logic rst_n,
  input  logic clear,
  input  logic event_in,
  output logic flag
);
  always_ff @(posedge clk)
    if (!rst_n) flag <= 1'b0;
    else flag <= event_in | (flag & ~clear);
endmodule
