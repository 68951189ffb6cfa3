// LDV, STV, LDP and LDS: vectors and scalars between memory and registers. `go` starts the instruction i, which holds
// until `done`; a load is done when its last word is written, a store when memory has taken its last beat.
module tern_lsu #(
  parameter int W = 512,  // bits of the memory port
  parameter int P = 16,
  parameter int SLICES = 64,
  parameter int BURST = 64  // beats
) (
  input  logic clk,
  input  logic rst_n,
  input  logic go,
  input  tern_pkg::instruction_t i,
  input  logic [tern_pkg::kColumnBits-1:0] length,
  input  logic [31:0] layer,
  input  logic [tern_pkg::kPassBits-1:0] pass,
  input  logic [tern_pkg::kTokenBits-1:0] token,
  output logic done,
  // memory
  output logic ask_valid,
  input  logic ask_ready,
  output logic [31:0] ask_address,  // counts beats
  output logic [8:0] ask_beats,
  input  logic beat_valid,
  output logic beat_ready,
  input  logic [W-1:0] beat,
  output logic store_valid,
  input  logic store_ready,
  output logic [31:0] store_address,  // counts bytes
  output logic [W-1:0] store_data,
  output logic [W/8-1:0] store_strobe,
  // registers
  output logic [$clog2(SLICES)-1:0] address,  // of the slice that is stored
  input  logic [P*32-1:0] va,
  output logic [P-1:0] vector_write,
  output logic [P*32-1:0] vector_data,
  output logic [P-1:0] norm_write,
  output logic [P*16-1:0] norm_data,
  output logic [$clog2(SLICES)-1:0] write_address,
  output logic scalar_write,  // a cycle later than the rest
  output logic [3:0] scalar_to,
  output tern_pkg::scalar_t scalar,
  output logic overflow
);
`include "tern_bug.svh"
  localparam int C = tern_pkg::kColumnBits;
  localparam int A = $clog2(SLICES);
  localparam int BYTES = W / 8;
  localparam int SHIFT = $clog2(BYTES);
  localparam int LP = $clog2(P);
  localparam int N = 16;  // bits of a number of bytes, of beats
  logic is_store, is_norm, is_scalar;
  always_ff @(posedge clk) begin
    is_store <= i.op == tern_pkg::kOpStv;
    is_norm <= i.op == tern_pkg::kOpLdp;
    is_scalar <= i.op == tern_pkg::kOpLds;
  end

  // ---- sizes, and the address: `pass` and `token` count vectors of whole 64 bytes ----
  // In a cycle each: the length and what counts vectors; lines and beats; the product, and its sum; the address.
  logic [C-1:0] last;  // element
  logic [C-1:0] last_lane;
  logic [N-1:0] bytes, beats, left;
  logic [9:0] vector_lines;
  logic [tern_pkg::kTokenBits-1:0] vectors;
  logic [28:0] lines_low;
  logic [12:0] lines_high;
  logic [25:0] lines;
  logic [31:0] from_base, byte_address;
  logic [5:1] went;  // `go`, so many cycles ago
  logic ask, split_ready, unused_last;
  logic [$clog2(BURST):0] burst_beats;
  assign last_lane = last & C'(P - 1);
  assign from_base = i.flags[3] ? {lines, 6'd0} : i.flags[2] ? layer : '0;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      went <= '0;
      ask <= 1'b0;
    end else begin
      went <= {went[4:1], go};
      ask <= went[4] & ~is_store | (ask & ~split_ready);
    end
    last <= length - 1'b1;
    bytes <= is_scalar ? N'({i.va, 3'd0}) : is_norm ? N'({length, 1'b0}) : N'({length, 2'b00});
    vectors <= i.flags[2] ? token : (tern_pkg::kTokenBits)'(pass);
    vector_lines <= 10'((is_norm ? last >> 5 : last >> 4) + 1'b1);
    beats <= (bytes + N'(BYTES - 1)) >> SHIFT;
    lines_high <= 13'(vectors[tern_pkg::kTokenBits-1:17]) * 13'(vector_lines);
    lines <= 26'(lines_low) + {lines_high[8:0], 17'd0};
    byte_address <= i.imm + from_base;
  end
  tern_multiplier #(.A(18), .B(11)) multiply (
    .clk, .a({1'b0, vectors[16:0]}), .b({1'b0, vector_lines}), .product(lines_low));
  tern_burst_splitter #(.BURST(BURST), .LENGTH(N)) splitter (
    .clk, .rst_n, .in_valid(ask), .in_ready(split_ready), .in_address(byte_address >> SHIFT), .in_beats(beats),
    .out_valid(ask_valid), .out_ready(ask_ready), .out_address(ask_address), .out_beats(burst_beats),
    .out_last(unused_last));
  assign ask_beats = 9'(burst_beats);

  // ---- loads: each kind of register has slices of its own size ----
  localparam int VP = W > P * 32 ? $clog2(W / (P * 32)) : 1;
  localparam int NP = W > P * 16 ? $clog2(W / (P * 16)) : 1;
  localparam int SP = W > 64 ? $clog2(W / 64) : 1;
  logic last_beat, vector_ready, norm_ready, scalar_ready, got, taken_beat;
  logic [W-1:0] data;
  logic vector_valid, norm_valid, vector_last, norm_last, scalar_last;
  logic [63:0] word;
  logic word_valid;
  logic [3:0] word_to;
  logic [C-1:0] last_slice;
  logic [P-1:0] lanes, last_lanes;
  assign last_slice = last >> LP;
  assign last_beat = left == N'(1);
  assign taken_beat = is_scalar ? scalar_ready : is_norm ? norm_ready : vector_ready;
  tern_skid #(.WIDTH(W)) beats_in (
    .clk, .rst_n, .in_valid(beat_valid), .in_ready(beat_ready), .in_data(beat), .out_valid(got), .out_ready(taken_beat),
    .out_data(data));
  tern_resize #(.IN(W), .OUT(P * 32)) to_vector (
    .clk, .rst_n, .in_valid(got & ~is_scalar & ~is_norm), .in_ready(vector_ready), .in_last(last_beat),
    .in_parts(VP'(last_slice)), .in_data(data), .out_valid(vector_valid), .out_ready(1'b1), .out_last(vector_last),
    .out_data(vector_data));
  tern_resize #(.IN(W), .OUT(P * 16)) to_norm (
    .clk, .rst_n, .in_valid(got & is_norm), .in_ready(norm_ready), .in_last(last_beat),
    .in_parts(NP'(last_slice)), .in_data(data), .out_valid(norm_valid), .out_ready(1'b1), .out_last(norm_last),
    .out_data(norm_data));
  tern_resize #(.IN(W), .OUT(64)) to_scalar (
    .clk, .rst_n, .in_valid(got & is_scalar), .in_ready(scalar_ready), .in_last(last_beat),
    .in_parts(SP'(i.va - 4'd1)), .in_data(data), .out_valid(word_valid), .out_ready(1'b1), .out_last(scalar_last),
    .out_data(word));
  always_comb for (int l = 0; l < P; l++) last_lanes[l] = C'(l) <= last_lane;
  assign lanes = (vector_last & vector_valid | norm_last & norm_valid) & bug != 20 ? last_lanes : '1;
  assign vector_write = {P{vector_valid}} & lanes;
  assign norm_write = {P{norm_valid}} & lanes;
  always_ff @(posedge clk) begin
    if (went[3]) left <= beats;
    else if (got & taken_beat) left <= left - 1'b1;
    if (went[3]) write_address <= '0;
    else if (vector_valid | norm_valid) write_address <= write_address + A'(1);
    if (went[3]) word_to <= i.sd;
    else if (word_valid) word_to <= word_to + 4'd1;
  end

  // A mantissa that is not normal is zero; an exponent keeps its lowest bits.
  localparam int E = tern_pkg::kExponentBits;
  wire normal = word[23];
  always_ff @(posedge clk) begin
    scalar_write <= rst_n & word_valid;
    scalar_to <= word_to;
    scalar.mantissa <= normal ? word[23:0] : '0;
    scalar.exponent <= normal ? word[32+:E] : '0;
    overflow <= rst_n & word_valid & normal & ~(&word[63:31+E] | ~|word[63:31+E]);
  end
  wire unused_word = ^word[31:24];

  // ---- stores: a slice every fifth cycle ----
  localparam int KP = P * 32 > W ? $clog2(P * 32 / W) : 1;
  logic storing, slice_ready, at_end, store_last;
  logic [3:0] have;  // the address of the slice, so many cycles ago and one
  logic [C+1:0] last_bytes;  // of the last slice, less one
  assign at_end = C'(address) == last_slice;
  assign last_bytes = {last_lane, 2'b11};
  tern_resize #(.IN(P * 32), .OUT(W)) to_memory (
    .clk, .rst_n, .in_valid(have[3]), .in_ready(slice_ready), .in_last(at_end), .in_parts(KP'(last_bytes >> SHIFT)),
    .in_data(va), .out_valid(store_valid), .out_ready(store_ready), .out_last(store_last), .out_data(store_data));
  wire [N-1:0] last_byte = (bytes - 1'b1) & N'(BYTES - 1);
  always_comb
    for (int b = 0; b < BYTES; b++) store_strobe[b] = ~store_last | N'(b) <= last_byte | bug == 21;
  wire taken = have[3] & slice_ready;
  wire stored = store_valid & store_ready;
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      storing <= 1'b0;
      have <= '0;
    end else begin
      storing <= went[3] & is_store | (storing & ~(taken & at_end));
      have <= {have[2:0], storing} & {4{~taken}};
    end
    if (went[3]) address <= '0;
    else if (taken) address <= address + A'(1);
    if (went[5]) store_address <= byte_address;
    else if (stored) store_address <= store_address + 32'(BYTES);
    done <= rst_n & (vector_valid & vector_last | norm_valid & norm_last | word_valid & scalar_last
      | stored & store_last);
  end
  wire unused_lines = ^{lines_low[28:26], lines_high[12:9]};
  wire unused_bits = ^{i.vd, i.vb, i.pa, i.pb, i.sa, i.flags[1:0]};
endmodule
