// TMM of whole matrices: asks for the tiles, as many as there is room for, and writes the sums. `go` starts the
// instruction i, which holds until `done`.
module tern_run_product #(
  parameter int W = 512,  // bits of the memory port: 2 ROWS COLUMNS
  parameter int ROWS = 16,
  parameter int COLUMNS = 16,
  parameter int P = 16,
  parameter int SLICES = 64,
  parameter int BURST = 32,      // beats
  parameter int QUEUE = 4 * 32   // beats that may be under way or wait
) (
  input  logic clk,
  input  logic rst_n,
  input  logic go,
  input  tern_pkg::instruction_t i,
  input  logic [tern_pkg::kColumnBits-1:0] rows,
  input  logic [tern_pkg::kColumnBits-1:0] columns,
  input  logic [31:0] layer,
  output logic done,
  output logic ask_valid,
  input  logic ask_ready,
  output logic [31:0] ask_address,  // counts beats
  output logic [8:0] ask_beats,
  input  logic beat_valid,
  output logic beat_ready,
  input  logic [W-1:0] beat,
  output logic [tern_pkg::kColumnBits-1:0] code_address,
  input  logic [COLUMNS*8-1:0] codes,
  output logic [P-1:0] write,
  output logic [$clog2(SLICES)-1:0] write_address,
  output logic [31:0] write_word,
  output logic illegal
);
`include "tern_bug.svh"
  localparam int C = tern_pkg::kColumnBits;
  localparam int N = 24;  // bits of a number of tiles
  localparam int Q = $clog2(QUEUE) + 1;
  localparam int SHIFT = $clog2(W / 8);
  localparam int LP = $clog2(P);

  // ---- sizes in tiles ----
  logic go_1, go_2, ask, starts;
  logic [C:0] row_blocks, column_blocks;
  logic [N-1:0] tiles;
  logic [31:0] address;
  logic split_ready, start_ready;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      go_1 <= 1'b0;
      go_2 <= 1'b0;
      ask <= 1'b0;
      starts <= 1'b0;
    end else begin
      go_1 <= go;
      go_2 <= go_1;
      ask <= go_2 | (ask & ~split_ready);
      starts <= go_2 | (starts & ~start_ready);
    end
    if (go) begin
      row_blocks <= ((C + 1)'(rows) + (C + 1)'(ROWS - 1)) >> $clog2(ROWS);
      column_blocks <= ((C + 1)'(columns) + (C + 1)'(COLUMNS - 1)) >> $clog2(COLUMNS);
      address <= (i.imm + (i.flags[2] ? layer : '0)) >> SHIFT;
    end
    tiles <= N'(row_blocks * N'(column_blocks));
  end

  // ---- bursts, while the queue has room for what they bring ----
  logic burst_valid, room, pop, unused_last;
  logic [$clog2(BURST):0] burst_beats;
  logic [Q-1:0] reserved;
  tern_burst_splitter #(.BURST(BURST), .LENGTH(N)) splitter (
    .clk, .rst_n, .in_valid(ask), .in_ready(split_ready), .in_address(address), .in_beats(tiles),
    .out_valid(burst_valid), .out_ready(ask_ready & room), .out_address(ask_address), .out_beats(burst_beats),
    .out_last(unused_last));
  assign room = reserved <= Q'(QUEUE - BURST);
  assign ask_valid = burst_valid & room;
  assign ask_beats = 9'(burst_beats);
  always_ff @(posedge clk)
    if (!rst_n) reserved <= '0;
    else reserved <= reserved + (ask_valid & ask_ready ? Q'(burst_beats) : '0) - Q'(pop);

  // ---- the product ----
  logic tile_valid, tile_ready, sum_valid, sum_last;
  logic [W-1:0] tile;
  logic [$clog2(QUEUE)+1:0] unused_count;
  logic [tern_pkg::kRowBits-1:0] sum_row;
  logic signed [tern_pkg::kSumBits-1:0] sum;
  assign pop = tile_valid & tile_ready;
  // Codes behind the row are those of an older one: they count as 0, whatever weights they meet.
  logic in_last;
  logic [COLUMNS-1:0] last_columns;
  logic [COLUMNS*8-1:0] codes_in;
  always_ff @(posedge clk) begin
    in_last <= (C + 1)'(code_address) == column_blocks - 1'b1;
    for (int c = 0; c < COLUMNS; c++) last_columns[c] <= C'(c) <= ((columns - 1'b1) & C'(COLUMNS - 1));
  end
  always_comb
    for (int c = 0; c < COLUMNS; c++) codes_in[c*8+:8] = codes[c*8+:8] & {8{~in_last | last_columns[c] | bug == 22}};
  tern_fifo #(.WIDTH(W), .DEPTH(QUEUE)) queue (
    .clk, .rst_n, .in_valid(beat_valid), .in_ready(beat_ready), .in_data(beat), .out_valid(tile_valid),
    .out_ready(tile_ready), .out_data(tile), .count(unused_count));
  tern_tmm #(.ROWS(ROWS), .COLUMNS(COLUMNS)) tmm (
    .clk, .rst_n, .start_valid(starts), .start_ready, .start_rows((tern_pkg::kRowBits)'(rows)),
    .start_blocks(C'(column_blocks)), .weight_valid(tile_valid), .weight_ready(tile_ready), .weights(tile),
    .code_address, .codes(codes_in), .sum_valid, .sum_last, .sum_row, .sum, .illegal);
  assign write = P'(sum_valid) << (sum_row & (tern_pkg::kRowBits)'(P - 1));
  assign write_address = ($clog2(SLICES))'(sum_row >> LP);
  assign write_word = 32'(sum);
  always_ff @(posedge clk) done <= rst_n & sum_valid & sum_last;

`ifdef VERILATOR
  wire overrun = beat_valid & ~beat_ready;  // room was reserved
  a_room: assert property (@(posedge clk) disable iff (!rst_n) !overrun);
`endif
  wire unused_bits = ^{i.op, i.vd, i.va, i.vb, i.pa, i.pb, i.sd, i.sa, i.flags[3], i.flags[1:0]};
endmodule
