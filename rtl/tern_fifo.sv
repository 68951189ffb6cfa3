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

  (* no_rw_check *) logic [WIDTH-1:0] memory[0:DEPTH-1];
  logic [A-1:0] write_at, read_at;
  logic [A:0] stored;  // words in `memory`
  logic push, fetch;
  logic some;  // `stored` is above 0

  assign in_ready = ~stored[A] | (bug == 3);
  assign push = in_valid & in_ready;
  assign fetch = some & (out_ready | ~out_valid);
  assign count = (A + 2)'(stored) + (A + 2)'(out_valid);

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      write_at <= '0;
      read_at <= '0;
      stored <= '0;
      some <= 1'b0;
      out_valid <= 1'b0;
    end else begin
      write_at <= write_at + A'(push);
      read_at <= read_at + A'(fetch);
      if (push ^ fetch) stored <= stored + {{A{fetch}}, 1'b1};
      some <= push | (fetch ? stored != (A + 1)'(1) : some);
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

`ifdef FORMAL
  // A word that the solver chooses comes out behind those that were inside, as it was.
  (* anyseq *) logic choose;
  logic past_reset = 1'b0, tracked;
  logic [A+1:0] ahead;  // words in front of it
  logic [WIDTH-1:0] word;
  wire leaves = out_valid & out_ready;
  wire in_memory = ahead != '0 | ~out_valid;
  wire [A-1:0] place = read_at + A'(ahead) - A'(out_valid);
  always_ff @(posedge clk) begin
    past_reset <= 1'b1;
    if (!rst_n) tracked <= 1'b0;
    else if (~tracked & choose & push) begin
      tracked <= 1'b1;
      word <= in_data;
      ahead <= count - (A + 2)'(leaves);
    end else if (tracked & leaves) begin
      tracked <= ahead != '0;
      ahead <= ahead - 1'b1;
    end
  end
  always_comb begin
    if (!past_reset) assume (!rst_n);
    if (past_reset) begin
      assert (stored <= (A + 1)'(DEPTH));
      assert (some == (stored != '0));
      assert (A'(write_at - read_at) == A'(stored));
      if (tracked) begin
        assert (ahead < count);
        if (in_memory) assert (memory[place] == word);
        else assert (out_data == word);
      end
    end
  end
`endif
endmodule
