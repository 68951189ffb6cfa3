// TMM: sums of codes times ternary weights, S = q . t, exact. ROWS x COLUMNS weights a cycle, without a
// multiplier: lanes of a row form a tree of adders, its sum goes to the row's accumulator.
//
// A beat has a tile of ROWS x COLUMNS weights. Tiles of a row block follow each other, then come those of the next
// one. They are those of rtl/model/tiles.h: each row of a tile has COLUMNS / 4 bytes, field p of byte b is the code of column
// p COLUMNS / 4 + b; with 16 x 16 also those of core/ternary_tiles.h. A code is w + 1; 3 raises `illegal`, which stays set.
//
// Handshake: start_*, weight_* ready/valid. Sums come in the order of rows, at most one a cycle, and
// must be taken. A beat is refused only while no product runs, or where a row block has fewer tiles than rows.
// code_address belongs to the beat that is taken; `codes` has those columns one cycle later.
// Latency from a row block's last beat to its first sum: $clog2(COLUMNS) + 5.
module tern_tmm #(
  parameter int ROWS = 16,
  parameter int COLUMNS = 16
) (
  input  logic clk,
  input  logic rst_n,
  input  logic start_valid,
  output logic start_ready,
  input  logic [tern_pkg::kRowBits-1:0] start_rows,       // > 0
  input  logic [tern_pkg::kColumnBits-1:0] start_blocks,  // of columns, > 0
  input  logic weight_valid,
  output logic weight_ready,
  input  logic [ROWS*COLUMNS*2-1:0] weights,
  output logic [tern_pkg::kColumnBits-1:0] code_address,
  input  logic [COLUMNS*8-1:0] codes,
  output logic sum_valid,
  output logic sum_last,
  output logic [tern_pkg::kRowBits-1:0] sum_row,
  output logic signed [tern_pkg::kSumBits-1:0] sum,
  output logic illegal
);
`include "tern_bug.svh"
  localparam int LEVELS = $clog2(COLUMNS);
  localparam int RB = $clog2(ROWS + 1);
  localparam int ROW_BYTES = COLUMNS / 4;
  localparam int TREE_BITS = 8 + LEVELS;
  if (COLUMNS < 4 || (1 << LEVELS) != COLUMNS) $error("COLUMNS: expected a power of two from 4 on");

  // ---- which beat this is ----
  logic running;
  logic [tern_pkg::kRowBits-1:0] rows_left;  // from the running row block on
  logic [tern_pkg::kColumnBits-1:0] before_last, block;
  logic one_block;
  logic bank;           // of accumulators: one sums while the other one is read
  logic [RB-1:0] busy;  // cycles in which the other bank is still read
  logic is_busy;        // these are more than 0
  logic ends_rows;      // `block` is the last one; a register, as weight_ready depends on it
  logic last_rows, take;

  assign last_rows = rows_left <= (tern_pkg::kRowBits)'(ROWS);
  assign weight_ready = running & ~(ends_rows & is_busy);
  assign start_ready = ~running;
  assign take = weight_valid & weight_ready;
  assign code_address = block;

  always_ff @(posedge clk) begin
    if (!rst_n) begin
      running <= 1'b0;
      busy <= '0;
      is_busy <= 1'b0;
      bank <= 1'b0;
    end else begin
      if (start_valid & start_ready) running <= 1'b1;
      else if (take & ends_rows & last_rows) running <= 1'b0;
      if (take & ends_rows) bank <= ~bank;
      busy <= take & ends_rows ? RB'(ROWS - 1) : busy - RB'(is_busy);
      is_busy <= take & ends_rows ? ROWS > 1 : (busy >> 1) != '0;
    end
    if (start_valid & start_ready) begin
      rows_left <= start_rows;
      before_last <= start_blocks - (tern_pkg::kColumnBits)'(2);
      one_block <= start_blocks == (tern_pkg::kColumnBits)'(1);
      block <= '0;
      ends_rows <= start_blocks == (tern_pkg::kColumnBits)'(1);
    end else if (take) begin
      block <= ends_rows ? '0 : block + 1'b1;
      ends_rows <= ends_rows ? one_block : block == before_last;
      if (ends_rows) rows_left <= rows_left - (tern_pkg::kRowBits)'(ROWS);
    end
  end

  // ---- the beat, and what it means, along the tree ----
  logic valid_at[0:LEVELS+2], first_at[0:LEVELS+2], ends_at[0:LEVELS+2], bank_at[0:LEVELS+2];
  logic last_at[0:LEVELS+2];
  logic [RB-1:0] rows_at[0:LEVELS+2];  // of the row block, those that are wanted
  logic [ROWS*COLUMNS*2-1:0] weights_1, weights_2;

  always_ff @(posedge clk) begin
    weights_1 <= weights;
    weights_2 <= weights_1;
    valid_at[0] <= rst_n & take & ~(bug == 5 & ends_rows);
    first_at[0] <= block == '0 & ~(bug == 4);
    ends_at[0] <= rst_n & take & ends_rows;
    last_at[0] <= last_rows;
    rows_at[0] <= last_rows ? RB'(rows_left) : RB'(ROWS);
    bank_at[0] <= bank;
  end
  for (genvar i = 1; i <= LEVELS + 2; i++) begin : g_along
    always_ff @(posedge clk) begin
      valid_at[i] <= rst_n & valid_at[i-1];
      ends_at[i] <= rst_n & ends_at[i-1];
      first_at[i] <= first_at[i-1];
      last_at[i] <= last_at[i-1];
      rows_at[i] <= rows_at[i-1];
      bank_at[i] <= bank_at[i-1];
    end
  end

  // ---- codes of this beat's columns, in the order of the weights' bits ----
  logic [COLUMNS*8-1:0] lane_codes;
  for (genvar b = 0; b < ROW_BYTES; b++) begin : g_byte
    for (genvar p = 0; p < 4; p++) begin : g_field
      always_ff @(posedge clk) lane_codes[(4*b+p)*8+:8] <= codes[(p*ROW_BYTES+b)*8+:8];
    end
  end

  // ---- a tree and accumulators for each row ----
  logic signed [tern_pkg::kSumBits-1:0] row_sum[0:ROWS-1];
  logic read_bank;
  for (genvar r = 0; r < ROWS; r++) begin : g_row
    for (genvar l = 0; l <= LEVELS; l++) begin : g_level
      localparam int N = COLUMNS >> l;
      localparam int B = 8 + l;
      logic signed [B-1:0] s[0:N-1];
      for (genvar c = 0; c < N; c++) begin : g_sum
        if (l == 0) begin : g_leaf
          // code 0: -q, 1: nothing, 2: q; |q| <= 127, so -q has 8 bits
          wire [1:0] code = weights_2[2*(r*COLUMNS+c)+:2];
          wire [7:0] q = lane_codes[8*c+:8];
          wire minus = ~code[1] ^ (bug == 6);
          always_ff @(posedge clk)
            s[c] <= ({8{~code[0]}} & (q ^ {8{minus}})) + 8'({1'b0, ~code[0] & minus});
        end else begin : g_add
          always_ff @(posedge clk)
            s[c] <= B'(g_level[l-1].s[2*c]) + B'(g_level[l-1].s[2*c+1]);
        end
      end
    end
    logic signed [tern_pkg::kSumBits-1:0] accumulator[0:1];
    logic signed [tern_pkg::kSumBits-1:0] previous;
    wire at = bank_at[LEVELS+2];
    assign previous = first_at[LEVELS+2] ? '0 : accumulator[at];
    always_ff @(posedge clk)
      if (valid_at[LEVELS+2])
        accumulator[at] <= previous + (tern_pkg::kSumBits)'(g_level[LEVELS].s[0]);
    assign row_sum[r] = accumulator[read_bank];
  end

  // ---- a row block's sums leave, one a cycle ----
  localparam int LB = ROWS > 1 ? $clog2(ROWS) : 1;
  logic [RB-1:0] to_read;  // rows that are left
  logic [LB-1:0] read_lane;
  logic last_of_all;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      to_read <= '0;
      sum_row <= '0;
      sum_valid <= 1'b0;
    end else begin
      to_read <= ends_at[LEVELS+2] ? rows_at[LEVELS+2] : to_read - RB'(to_read != '0);
      sum_valid <= to_read != '0;
      if (sum_valid) sum_row <= sum_last ? '0 : sum_row + 1'b1;
    end
    if (ends_at[LEVELS+2]) begin
      read_bank <= bank_at[LEVELS+2];
      last_of_all <= last_at[LEVELS+2];
      read_lane <= '0;
    end else if (to_read != '0) read_lane <= read_lane + 1'b1;
    sum <= row_sum[read_lane];
    sum_last <= last_of_all & to_read == RB'(1);
  end

  // ---- codes that do not exist ----
  logic [ROWS*COLUMNS-1:0] three;
  for (genvar i = 0; i < ROWS * COLUMNS; i++) begin : g_three
    assign three[i] = weights_1[2*i] & weights_1[2*i+1];
  end
  wire any_three = valid_at[0] & (|three);
  tern_sticky sticky (.clk, .rst_n, .clear(1'b0), .event_in(any_three), .flag(illegal));

`ifdef VERILATOR
  a_code: assert property (@(posedge clk) disable iff (!rst_n) !any_three);
  wire ends_now = ends_at[LEVELS+2];
  a_drained: assert property (@(posedge clk) disable iff (!rst_n) ends_now |-> (to_read >> 1) == '0);
  c_wait: cover property (@(posedge clk) disable iff (!rst_n) weight_valid && running && !weight_ready);
`endif
endmodule
