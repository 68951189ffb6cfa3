// TMM of whole matrices. `fetch` asks for the tiles of an instruction, as many as there is room for, which come in the
// order of these; `go` starts the sums of one whose tiles are asked for or will be next. Both for a cycle, while the unit is
// ready for them; the sums of the next may go while the last ones of the one before are still written. `done` with the last.
module tern_run_product #(
  parameter int W = 512,  // bits of the memory port: 2 ROWS COLUMNS
  parameter int ROWS = 16,
  parameter int COLUMNS = 16,
  parameter int P = 16,
  parameter int SLICES = 64,
  parameter int BURST = 32,  // beats
  parameter int QUEUE = 512,  // beats that may be under way or wait
  parameter int UNDER_WAY = 4 * BURST  // of them: hides a latency of 3 bursts
) (
  input  logic clk,
  input  logic rst_n,
  input  logic fetch,
  output logic fetch_ready,
  input  tern_pkg::work_t fetched,
  input  logic [tern_pkg::kColumnBits-1:0] fetched_rows,
  input  logic [tern_pkg::kColumnBits-1:0] fetched_columns,
  input  logic go,
  output logic go_ready,
  input  logic code_buffer,  // the settings of what goes
  input  logic [tern_pkg::kColumnBits-1:0] rows,
  input  logic [tern_pkg::kColumnBits-1:0] columns,
  output logic done,
  output logic ask_valid,
  input  logic ask_ready,
  output logic [31:0] ask_address,  // counts beats
  output logic [8:0] ask_beats,
  input  logic beat_valid,
  output logic beat_ready,
  input  logic [W-1:0] beat,
  output logic code_buffer_now,
  output logic [tern_pkg::kColumnBits-1:0] code_address,
  input  logic [COLUMNS*8-1:0] codes,
  input  logic follows,  // only so many slices of codes are written
  input  logic [$clog2(SLICES):0] written_codes,
  output logic [P-1:0] write,
  output logic [$clog2(SLICES)-1:0] write_address,
  output logic [31:0] write_word,
  output logic [$clog2(SLICES):0] written,  // whole slices of sums
  output logic [tern_pkg::kArrayStates-1:0] array,
  output logic illegal
);
`include "tern_bug.svh"
  localparam int C = tern_pkg::kColumnBits;
  localparam int N = 24;  // bits of a number of tiles
  localparam int Q = $clog2(QUEUE) + 1;
  localparam int SHIFT = $clog2(W / 8);
  localparam int LP = $clog2(P);
  localparam int LC = $clog2(COLUMNS);
  localparam int A = $clog2(SLICES);

  // ---- sizes in tiles ----
  logic fetch_0, fetch_1, ask, split_ready;
  logic [C-1:0] fetched_rows_0, fetched_columns_0;
  logic [31:0] address_0, layer_0;
  logic [C:0] row_blocks, column_blocks;
  logic [2*C+3:0] tiles;
  logic [31:0] address;
  assign fetch_ready = ~fetch_0 & ~fetch_1 & ~ask;
  always_ff @(posedge clk) begin
    fetch_0 <= rst_n & fetch;
    fetch_1 <= rst_n & fetch_0;
    ask <= rst_n & (fetch_1 | (ask & ~split_ready));
    fetched_rows_0 <= fetched_rows;
    fetched_columns_0 <= fetched_columns;
    address_0 <= fetched.i.imm;
    layer_0 <= fetched.i.flags[2] ? fetched.layer : '0;
    if (fetch_0) begin
      row_blocks <= ((C + 1)'(fetched_rows_0) + (C + 1)'(ROWS - 1)) >> $clog2(ROWS);
      column_blocks <= ((C + 1)'(fetched_columns_0) + (C + 1)'(COLUMNS - 1)) >> LC;
      address <= (address_0 + layer_0) >> SHIFT;
    end
  end
  tern_multiplier #(.A(C + 2), .B(C + 2)) count (
    .clk, .a({1'b0, row_blocks}), .b({1'b0, column_blocks}), .product(tiles));

  // ---- bursts, while the queue has room for what they bring; few under way, as loads come behind them ----
  logic burst_valid, room, pop, unused_last;
  logic [$clog2(BURST):0] burst_beats;
  logic [Q-1:0] reserved, under_way;
  tern_burst_splitter #(.BURST(BURST), .LENGTH(N)) splitter (
    .clk, .rst_n, .in_valid(ask), .in_ready(split_ready), .in_address(address), .in_beats(N'(tiles)),
    .out_valid(burst_valid), .out_ready(ask_ready & room), .out_address(ask_address), .out_beats(burst_beats),
    .out_last(unused_last));
  assign ask_valid = burst_valid & room;
  assign ask_beats = 9'(burst_beats);
  // A burst is counted in the second cycle behind it, and there is room for the next one in the third.
  logic [Q-1:0] more;
  always_ff @(posedge clk) room <= more == '0 & reserved <= Q'(QUEUE - BURST) & under_way <= Q'(UNDER_WAY - BURST);
  always_ff @(posedge clk)
    if (!rst_n) begin
      more <= '0;
      reserved <= '0;
      under_way <= '0;
    end else begin
      more <= ask_valid & ask_ready ? Q'(burst_beats) : '0;
      reserved <= reserved + more - Q'(pop);
      under_way <= under_way + more - Q'(beat_valid);
    end

  // ---- the product ----
  logic queued, tile_ready, tile_valid, array_ready, there, starts, tmm_ready, sum_valid, sum_last;
  logic [C-1:0] rows_now;
  logic [W-1:0] next_tile, tile;
  logic [$clog2(QUEUE)+1:0] unused_count;
  logic [tern_pkg::kRowBits-1:0] sum_row;
  logic signed [tern_pkg::kSumBits-1:0] sum;
  logic [C-1:0] blocks;
  assign go_ready = tmm_ready & ~starts;
  // A register says whether the codes of the next tile are there: of this block, or of the one behind it.
  logic [C-1:0] written_blocks, last_written;
  logic any_written;
  wire [C-1:0] blocks_now = C'((C + 1)'(written_codes) >> (LC - LP));
  always_ff @(posedge clk) begin
    written_blocks <= blocks_now;
    last_written <= blocks_now - 1'b1;
    any_written <= blocks_now != '0;
  end
  wire this_there = code_address < written_blocks;
  wire next_there = any_written & code_address < last_written;
  always_ff @(posedge clk) there <= ~starts & (~follows | (pop ? next_there : this_there) | bug == 26);
  assign pop = tile_valid & there & array_ready;
  always_ff @(posedge clk) array <= {array_ready & ~there, array_ready & there & ~tile_valid, pop};
  // Codes behind the row are those of an older one: they count as 0, whatever weights they meet.
  logic in_last;
  logic [C-1:0] last_block;
  logic [LC-1:0] last_column;
  logic [COLUMNS-1:0] last_columns;
  logic [COLUMNS*8-1:0] codes_in;
  always_ff @(posedge clk) begin
    starts <= rst_n & go;
    if (go) begin
      code_buffer_now <= code_buffer;
      rows_now <= rows;
      blocks <= C'(((C + 1)'(columns) + (C + 1)'(COLUMNS - 1)) >> LC);
      last_column <= LC'(columns) - 1'b1;
    end
    last_block <= blocks - 1'b1;
    in_last <= code_address == last_block;
    for (int c = 0; c < COLUMNS; c++) last_columns[c] <= LC'(c) <= last_column;
  end
  always_comb
    for (int c = 0; c < COLUMNS; c++) codes_in[c*8+:8] = codes[c*8+:8] & {8{~in_last | last_columns[c] | bug == 22}};
  tern_fifo #(.WIDTH(W), .DEPTH(QUEUE)) queue (
    .clk, .rst_n, .in_valid(beat_valid), .in_ready(beat_ready), .in_data(beat), .out_valid(queued),
    .out_ready(tile_ready), .out_data(next_tile), .count(unused_count));
  tern_skid #(.WIDTH(W)) at_array (
    .clk, .rst_n, .in_valid(queued), .in_ready(tile_ready), .in_data(next_tile), .out_valid(tile_valid),
    .out_ready(array_ready & there), .out_data(tile));
  tern_tmm #(.ROWS(ROWS), .COLUMNS(COLUMNS)) tmm (
    .clk, .rst_n, .start_valid(starts), .start_ready(tmm_ready), .start_rows((tern_pkg::kRowBits)'(rows_now)),
    .start_blocks(blocks), .weight_valid(tile_valid & there), .weight_ready(array_ready), .weights(tile),
    .code_address, .codes(codes_in), .sum_valid, .sum_last, .sum_row, .sum, .illegal);
  wire [tern_pkg::kRowBits-1:0] sum_lane = sum_row & (tern_pkg::kRowBits)'(P - 1);
  always_ff @(posedge clk) begin
    write <= P'(sum_valid) << sum_lane;
    write_address <= A'(sum_row >> LP);
    write_word <= 32'(sum);
    done <= rst_n & sum_valid & sum_last;
  end
  always_ff @(posedge clk)
    if (!rst_n | sum_valid & sum_last) written <= '0;
    else if (sum_valid & sum_lane == (tern_pkg::kRowBits)'(P - 1)) written <= written + 1'b1;

`ifdef VERILATOR
  wire overrun = beat_valid & ~beat_ready;  // room is reserved
  a_room: assert property (@(posedge clk) disable iff (!rst_n) !overrun);
`endif
  wire unused_bits = ^{tiles[2*C+3:N], fetched.i.op, fetched.i.vd, fetched.i.va, fetched.i.vb, fetched.i.pa, fetched.i.pb, fetched.i.sd,
    fetched.i.sa, fetched.i.flags[3], fetched.i.flags[1:0], fetched.pass};
endmodule
