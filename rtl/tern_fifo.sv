// A queue for beats of weights, in a memory with a registered read port (block RAM).
// in_ready and out_* are registers or depend on a counter. Latency 2, one word a cycle, holds DEPTH + 1 words.
module tern_fifo #(
  parameter int WIDTH = 512,
  parameter int DEPTH = 128  // a power of two
) (
  input  logic clk,
  input  logic rst_n,
  input  logic in_valid,
  output logic in_ready,
  input  logic [WIDTH-1:0] in_data,
  output logic out_valid,
  input  logic out_ready,
  output logic [WIDTH-1:0] out_data,
  output logic [$clog2(DEPTH)+1:0] count  // words inside
);
`include "tern_bug.svh"
  localparam int A = $clog2(DEPTH);
  if (DEPTH < 2 || (1 << A) != DEPTH) $error("DEPTH: expected a power of two");

  logic [WIDTH-1:0] memory[0:DEPTH-1];
  logic [A-1:0] write_at, read_at;
  logic [A:0] stored;  // words in `memory`
  logic push, fetch;

  assign in_ready = stored != (A + 1)'(DEPTH) | (bug == 3);
  assign push = in_valid & in_ready;
  assign fetch = stored != '0 & (out_ready | ~out_valid);
  assign count = (A + 2)'(stored) + (A + 2)'(out_valid);

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      write_at <= '0;
      read_at <= '0;
      stored <= '0;
      out_valid <= 1'b0;
    end else begin
      write_at <= write_at + A'(push);
      read_at <= read_at + A'(fetch);
      stored <= stored + (A + 1)'(push) - (A + 1)'(fetch);
      out_valid <= fetch | (out_valid & ~out_ready);
    end
    if (push) memory[write_at] <= in_data;
    if (fetch) out_data <= memory[read_at];
  end

`ifdef VERILATOR
  a_hold: assert property (@(posedge clk) disable iff (!rst_n)
    out_valid && !out_ready |=> out_valid && $stable(out_data));
  a_room: assert property (@(posedge clk) disable iff (!rst_n) stored <= (A + 1)'(DEPTH));
  c_full: cover property (@(posedge clk) disable iff (!rst_n) !in_ready);
`endif
endmodule
