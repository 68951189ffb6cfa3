// A register in a ready/valid stream that cuts the paths of both directions: out_* and in_ready are
// registers. Latency 1, one word a cycle, holds two.
module tern_skid #(
  parameter int WIDTH = 32
) (
  input  logic clk,
  input  logic rst_n,
  input  logic in_valid,
  output logic in_ready,
  input  logic [WIDTH-1:0] in_data,
  output logic out_valid,
  input  logic out_ready,
  output logic [WIDTH-1:0] out_data
);
`include "tern_bug.svh"
  logic full;  // `spare` holds a word
  logic [WIDTH-1:0] spare;
  logic advance;

  assign in_ready = ~full;
  assign advance = out_ready | ~out_valid | (bug == 2);  // the output register takes a word

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      full <= 1'b0;
      out_valid <= 1'b0;
    end else begin
      full <= ~advance & (full | in_valid);
      if (advance) out_valid <= full | in_valid;
    end
    if (~full) spare <= in_data;
    if (advance) out_data <= full ? spare : in_data;
  end

`ifdef VERILATOR
  a_hold: assert property (@(posedge clk) disable iff (!rst_n)
    out_valid && !out_ready |=> out_valid && $stable(out_data));
  c_full: cover property (@(posedge clk) disable iff (!rst_n) full && out_ready);
`endif
endmodule
