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

`ifdef FORMAL
  // A word that the solver chooses comes out behind those that were inside, as it was.
  (* anyseq *) logic choose;
  logic past_reset = 1'b0, tracked;
  logic ahead;  // words in front of it
  logic [WIDTH-1:0] word;
  wire leaves = out_valid & out_ready;
  always_ff @(posedge clk) begin
    past_reset <= 1'b1;
    if (!rst_n) tracked <= 1'b0;
    else if (~tracked & choose & in_valid & in_ready) begin
      tracked <= 1'b1;
      word <= in_data;
      ahead <= out_valid & ~leaves;
    end else if (tracked & leaves) begin
      ahead <= 1'b0;
      tracked <= ahead;
    end
  end
  always_comb begin
    if (!past_reset) assume (!rst_n);
    if (past_reset) begin
      assert (out_valid | ~full);
      if (tracked) assert (ahead ? full && spare == word : out_valid && out_data == word);
    end
  end
`endif
endmodule
