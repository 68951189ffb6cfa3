// Cuts a request for `beats` beats from an address on into bursts that end at multiples of BURST beats, which
// divide 4 KB: no burst crosses 4 KB, and each beat is in one of them. Addresses count beats.
// Handshake: in_* and out_* ready/valid. A burst follows its predecessor after 2 cycles, the first one its request.
module tern_burst_splitter #(
  parameter int ADDRESS = 32,  // bits
  parameter int LENGTH = 24,   // bits of a request's length
  parameter int BURST = 64     // beats, a power of two: the least of 256 and what fits in 4 KB
) (
  input  logic clk,
  input  logic rst_n,
  input  logic in_valid,
  output logic in_ready,
  input  logic [ADDRESS-1:0] in_address,
  input  logic [LENGTH-1:0] in_beats,  // > 0
  output logic out_valid,
  input  logic out_ready,
  output logic [ADDRESS-1:0] out_address,
  output logic [$clog2(BURST):0] out_beats,
  output logic out_last
);
`include "tern_bug.svh"
  localparam int B = $clog2(BURST);
  if ((1 << B) != BURST) $error("BURST: expected a power of two");
  logic running;
  logic [LENGTH-1:0] left;
  logic [B:0] room;  // beats to the next multiple of BURST
  logic fits;

  assign in_ready = ~running;
  assign room = (B + 1)'(BURST) - (bug == 13 ? '0 : {1'b0, out_address[B-1:0]});
  assign fits = left <= LENGTH'(room);

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      running <= 1'b0;
      out_valid <= 1'b0;
    end else begin
      if (in_valid & in_ready) running <= 1'b1;
      else if (out_valid & out_ready & out_last) running <= 1'b0;
      out_valid <= running & ~(out_valid & out_ready);
    end
    if (in_valid & in_ready) begin
      out_address <= in_address;
      left <= in_beats;
    end else if (out_valid & out_ready) begin
      out_address <= out_address + ADDRESS'(out_beats);
      left <= left - LENGTH'(out_beats);
    end
    if (~out_valid) begin
      out_beats <= fits ? left[B:0] : room;
      out_last <= fits;
    end
  end

`ifdef VERILATOR
  a_hold: assert property (@(posedge clk) disable iff (!rst_n)
    out_valid && !out_ready |=> out_valid && $stable(out_address) && $stable(out_beats) && $stable(out_last));
`endif
`ifdef FORMAL
  // A beat that the solver chooses is asked for once if the request has it, else never.
  (* anyconst *) logic [ADDRESS-1:0] chosen;
  logic past_reset = 1'b0, asked, twice;
  logic [ADDRESS-1:0] start;
  logic [LENGTH-1:0] length;
  wire [ADDRESS-1:0] from_start = chosen - start;
  wire [ADDRESS-1:0] from_burst = chosen - out_address;
  wire [ADDRESS-1:0] done_beats = out_address - start;
  always_ff @(posedge clk) begin
    past_reset <= 1'b1;
    if (in_valid & in_ready) begin
      start <= in_address;
      length <= in_beats;
      asked <= 1'b0;
      twice <= 1'b0;
    end else if (out_valid & out_ready & from_burst < ADDRESS'(out_beats)) begin
      asked <= 1'b1;
      twice <= asked;
    end
  end
  always_comb begin
    if (!past_reset) assume (!rst_n);
    if (in_valid) assume (in_beats != '0);
    if (past_reset & running) begin
      assert (length != '0 && left != '0 && left <= length);
      assert (done_beats == ADDRESS'(length - left));
      assert (asked == (from_start < done_beats));
      assert (!twice);
    end
    if (past_reset & out_valid) begin
      assert (running);
      assert (out_beats != '0 && LENGTH'(out_beats) <= left);
      assert (out_last == (LENGTH'(out_beats) == left));
      assert ({1'b0, out_address[B-1:0]} + out_beats <= (B + 1)'(BURST));
      if (out_last) assert (asked | from_burst < ADDRESS'(out_beats) | from_start >= ADDRESS'(length));
    end
  end
`endif
endmodule
