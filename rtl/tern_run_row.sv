// MUL, MAC, SIG, SILU, SCAN and STAT of whole vectors: reads slices, passes them through tern_row and writes the
// results. `go` starts the instruction i, which holds until `done`, as do its operands; with `follows` only so many of
// their slices are there. `done` comes in the cycle after that of the last result.
module tern_run_row #(
  parameter int P = 16,
  parameter int SLICES = 64
) (
  input  logic clk,
  input  logic rst_n,
  input  logic go,
  input  tern_pkg::instruction_t i,
  input  logic [tern_pkg::kColumnBits-1:0] length,
  input  logic later,  // the loop is not in its first pass, when it goes
  input  tern_pkg::scalar_t g,
  input  logic follows,
  input  logic [$clog2(SLICES):0] written,
  output logic done,
  // operands, four cycles behind their address
  output logic [$clog2(SLICES)-1:0] address,
  input  logic [P*32-1:0] a,  // va, of SCAN vd
  input  logic [P*32-1:0] b,  // vb, of SCAN va
  input  logic [P*32-1:0] vb,
  input  logic [P*16-1:0] pa,
  input  logic [P*16-1:0] pb,
  // results
  output logic [P-1:0] write,
  output logic [$clog2(SLICES)-1:0] write_address,
  output logic [P*32-1:0] write_data,
  output logic statistics_done,
  output logic [tern_pkg::kLargestBits-1:0] largest,
  output logic [tern_pkg::kLargestInputBits-1:0] largest_y,
  output logic convert_valid,  // the sum of squares, until the scalar unit has it
  output logic [tern_pkg::kSquaresBits-1:0] convert,
  input  logic convert_done,
  input  logic clear_saturated,
  output logic saturated
);
`include "tern_bug.svh"
  localparam int A = $clog2(SLICES);
  logic is_mul, is_mac, is_stat, scaled, statistics, squares;
  tern_pkg::row_op_e op;
  assign is_mul = i.op == tern_pkg::kOpMul;
  assign is_mac = i.op == tern_pkg::kOpMac;
  assign is_stat = i.op == tern_pkg::kOpStat;
  assign scaled = i.op == tern_pkg::kOpSig | i.op == tern_pkg::kOpSilu;
  assign statistics = is_stat | ((is_mul | is_mac) & i.flags[3]);
  assign squares = is_mul & i.imm[16];
  always_comb
    unique case (i.op)
      tern_pkg::kOpMul: op = tern_pkg::kRowMultiply;
      tern_pkg::kOpMac: op = tern_pkg::kRowAccumulate;
      tern_pkg::kOpSig: op = tern_pkg::kRowGate;
      tern_pkg::kOpSilu: op = tern_pkg::kRowSilu;
      tern_pkg::kOpScan: op = tern_pkg::kRowScan;
      default: op = tern_pkg::kRowStatistics;
    endcase

  // ---- what is not done yet ----
  logic running, results, of_statistics, of_squares, bounded, squares_done;
  logic results_left, statistics_left, squares_left;
  logic out_valid, out_last;
  logic [P-1:0] out_active;
  assign results_left = results & ~(out_valid & out_last);
  assign statistics_left = of_statistics & ~statistics_done;
  assign squares_left = of_squares & ~convert_done;
  wire ends = running & ~(results_left | statistics_left | squares_left);
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      running <= 1'b0;
      convert_valid <= 1'b0;
      done <= 1'b0;
    end else begin
      done <= ends;
      running <= go | (running & ~ends);
      convert_valid <= squares_done | (convert_valid & ~convert_done);
    end
    results <= go ? ~is_stat : results_left;
    of_statistics <= go ? statistics : statistics_left;
    of_squares <= go ? squares : squares_left;
    if (go) bounded <= i.flags[2] & (later | ~i.flags[3]);
    if (go) write_address <= '0;
    else if (out_valid) write_address <= write_address + A'(1);
  end
  assign write = {P{out_valid}} & out_active;

  logic [2:0] marks;
  logic [P-1:0] active;
  logic in_ready;
  logic [6:0] offset;  // in time: slices come cycles behind `go`
  always_ff @(posedge clk) offset <= (scaled ? 7'd11 : 7'(i.imm[5:0])) + 7'(i.imm[11:8]);
  wire there = ~follows | {1'b0, address} < written | bug == 25;
  tern_walk #(.P(P), .SLICES(SLICES)) walk (.clk, .rst_n, .start(go), .length, .address, .there, .marks, .active);
  tern_row #(.P(P)) row (
    .clk, .rst_n, .in_valid(marks[2]), .in_ready, .in_first(marks[1]), .in_last(marks[0]), .active, .op,
    .with_weight(i.flags[2]), .from_state(i.flags[2]), .bounded, .statistics, .squares,
    .narrow(i.imm[11:8]), .shift(i.imm[5:0]), .g, .offset,
    .a, .b, .c(vb), .weight(pa), .norm(pb),
    .out_valid, .out_last, .out_active, .y(write_data), .statistics_done, .largest, .largest_y,
    .squares_done, .sum_of_squares(convert), .clear_saturated, .saturated);

`ifdef VERILATOR
  wire refused = marks[2] & ~in_ready;  // the unit was empty
  a_taken: assert property (@(posedge clk) disable iff (!rst_n) !refused);
`else
  wire unused_ready = in_ready;
`endif
  wire unused_bits = ^{i.vd, i.va, i.vb, i.pa, i.pb, i.sd, i.sa, i.flags[1:0], i.imm[31:17], i.imm[15:12], i.imm[7:6]};
endmodule
