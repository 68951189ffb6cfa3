// QNT: a row x as codes of v = x w, P elements a cycle, and the sums of squares of x and of x times a
// block's norm weights (quantize in rtl/model/operations.cpp). The row's statistics are known:
// max |v|, its reciprocal as the scalar unit gives it, and max |x|; they hold from the first slice until `done`.
// x saturates to 27 bits; `saturated` stays set until it is cleared.
// No handshake: a slice a cycle is taken; codes follow 17 cycles later, the sums $clog2(P) + 18 cycles
// after the last slice, with `done`. An element that is not `active` does not count in the sums.
module tern_quantizer #(
  parameter int P = 16
) (
  input  logic clk,
  input  logic rst_n,
  input  logic [2:0] marks,  // {valid, first, last}
  input  logic [P-1:0] active,
  input  logic [P*tern_pkg::kWordBits-1:0] x,
  input  logic [P*tern_pkg::kWeightBits-1:0] w,
  input  logic [P*tern_pkg::kWeightBits-1:0] block,
  input  tern_pkg::scalar_t reciprocal,
  input  logic [tern_pkg::kLargestBits-1:0] largest,
  input  logic [tern_pkg::kLargestInputBits-1:0] largest_x,
  output logic [2:0] code_marks,
  output logic [P-1:0] code_active,
  output logic [P*8-1:0] codes,
  output logic done,
  output logic [4:0] squares_shift,  // they are those of x / 2^squares_shift
  output logic [tern_pkg::kSquaresBits-1:0] squares,
  output logic [tern_pkg::kSquaresBits-1:0] squares_of_norm,
  input  logic clear_saturated,
  output logic saturated
);
`include "tern_bug.svh"
  localparam int X = tern_pkg::kResidualBits;
  localparam int W = tern_pkg::kWeightBits;
  localparam int V = tern_pkg::kProductBits;
  localparam int B = tern_pkg::kOperandBits;
  localparam int R = tern_pkg::kFactorBits;

  // x / 2^narrow_x and v / 2^narrow_v have 18 bits; q = v R / 2^code_shift. Any scalar is taken for R.
  localparam int E = tern_pkg::kExponentBits + 1;
  localparam int L = tern_pkg::kLargestBits;
  logic [4:0] narrow_x, narrow_v, code_shift;
  logic [R-1:0] mantissa;
  logic signed [E-1:0] right;
  logic [L-1:0] from_x, from_v;  // one of the bits from this one on is set
  function automatic logic [L-1:0] from(input logic [L-1:0] number);
    from = number;
    for (int i = 1; i < L; i *= 2) from |= from >> i;
  endfunction
  function automatic logic [4:0] narrow(input logic [L-1:0] from_here);
    narrow = '0;
    for (int i = B - 1; i < L; i++)
      narrow |= 5'(i - (B - 2)) & {5{from_here[i] & (i == L - 1 | ~from_here[(i+1)%L])}};
  endfunction
  always_ff @(posedge clk) begin
    from_x <= from(L'(largest_x));
    from_v <= from(largest);
    narrow_x <= narrow(from_x);
    narrow_v <= narrow(from_v);
    right <= -(E'(reciprocal.exponent) + E'(tern_pkg::kMantissaBits - R));
    mantissa <= reciprocal.mantissa[tern_pkg::kMantissaBits-1:tern_pkg::kMantissaBits-R];
    code_shift <= right < E'(10) ? 5'd10 : right > E'(27) ? 5'd27 : right[4:0];
  end
  assign squares_shift = narrow_x;
  wire [tern_pkg::kMantissaBits-R-1:0] unused_low = reciprocal.mantissa[tern_pkg::kMantissaBits-R-1:0];

  // 1: the slice; memories and what selects one of them are in front of it. 2: its x in 27 bits
  logic [2:0] marks_2;
  logic [P-1:0] active_2, cut_2;
  tern_valid #(.CYCLES(2)) to_x_marks (.clk, .rst_n, .in(marks), .out(marks_2));
  tern_delay #(.WIDTH(P), .CYCLES(2)) to_x_active (.clk, .in(active), .out(active_2));
  tern_sticky sticky (
    .clk, .rst_n, .clear(clear_saturated), .event_in(marks_2[2] & |(cut_2 & active_2)), .flag(saturated));

  logic [P*B-1:0] operands, normed;
  for (genvar i = 0; i < P; i++) begin : g_lane
    logic signed [tern_pkg::kWordBits-1:0] x_1;
    logic signed [X-1:0] near, x_2;
    logic signed [W-1:0] w_2, block_2, block_7;
    logic cut;
    tern_saturate #(.IN(tern_pkg::kWordBits), .OUT(X)) to_x (
      .value(x_1), .result(near), .saturated(cut));
    tern_delay #(.WIDTH(2 * W), .CYCLES(2)) weights (
      .clk, .in({w[i*W+:W], block[i*W+:W]}), .out({w_2, block_2}));
    always_ff @(posedge clk) begin
      x_1 <= x[i*tern_pkg::kWordBits+:tern_pkg::kWordBits];
      x_2 <= near;
      cut_2[i] <= cut;
    end

    // .. 17: codes
    logic unused_v, unused_q, unused_x, unused_n;  // only what rounds up is cut
    logic signed [V-1:0] v, v_round;
    logic signed [B-1:0] s, s_11, s_next;
    logic signed [B+R:0] product, product_13, q_round;
    logic signed [7:0] q_next, q;
    tern_multiply multiply (.clk, .x(x_2), .w(w_2), .product(v));
    tern_round #(.IN(V), .SHIFT(5)) round_v (.clk, .value(v), .shift(narrow_v), .rounded(v_round));
    tern_saturate #(.IN(V), .OUT(B), .SYMMETRIC(1)) clip_v (
      .value(v_round), .result(s_next), .saturated(unused_v));
    tern_multiplier #(.A(B), .B(R + 1)) multiply_s (.clk, .a(s_11), .b({1'b0, mantissa}), .product);
    tern_round #(.IN(B + R + 1), .SHIFT(5)) code (
      .clk, .value(product_13), .shift(code_shift), .rounded(q_round));
    tern_saturate #(.IN(B + R + 1), .OUT(8), .SYMMETRIC(1)) clip_q (
      .value(q_round), .result(q_next), .saturated(unused_q));
    always_ff @(posedge clk) begin
      s <= s_next;
      s_11 <= s;
      product_13 <= product;
      q <= q_next;
    end
    assign codes[i*8+:8] = q;

    // .. 6: operands of squares; .. 13: the same times the block's norm
    logic signed [X-1:0] x_round;
    logic signed [B-1:0] o, o_7, o_next, n, n_next;
    logic signed [B+W-1:0] weighed, weighed_9, n_round;
    tern_round #(.IN(X), .SHIFT(5)) round_x (.clk, .value(x_2), .shift(narrow_x), .rounded(x_round));
    tern_saturate #(.IN(X), .OUT(B), .SYMMETRIC(1)) clip_x (
      .value(x_round), .result(o_next), .saturated(unused_x));
    tern_delay #(.WIDTH(W), .CYCLES(5)) delay (.clk, .in(bug == 10 ? w_2 : block_2), .out(block_7));
    tern_multiplier #(.A(B), .B(W)) multiply_o (.clk, .a(o_7), .b(block_7), .product(weighed));
    tern_round #(.IN(B + W), .SHIFT(4)) round_n (.clk, .value(weighed_9), .shift(4'd15), .rounded(n_round));
    tern_saturate #(.IN(B + W), .OUT(B)) clip_n (
      .value(n_round), .result(n_next), .saturated(unused_n));
    always_ff @(posedge clk) begin
      o <= o_next;
      o_7 <= o;
      weighed_9 <= weighed;
      n <= n_next;
    end
    assign operands[i*B+:B] = o;
    assign normed[i*B+:B] = n;
  end

  logic [2:0] marks_6, marks_13;
  logic [P-1:0] active_6, active_13;
  logic unused_done;
  tern_valid #(.CYCLES(15)) to_codes (.clk, .rst_n, .in(marks_2), .out(code_marks));
  tern_delay #(.WIDTH(P), .CYCLES(15)) active_codes (.clk, .in(active_2), .out(code_active));
  tern_valid #(.CYCLES(4)) to_squares (.clk, .rst_n, .in(marks_2), .out(marks_6));
  tern_valid #(.CYCLES(7)) to_normed (.clk, .rst_n, .in(marks_6), .out(marks_13));
  tern_delay #(.WIDTH(P), .CYCLES(4)) active_x (.clk, .in(active_2), .out(active_6));
  tern_delay #(.WIDTH(P), .CYCLES(7)) active_n (.clk, .in(active_6), .out(active_13));
  tern_square_sum #(.P(P)) sum_of_x (
    .clk, .rst_n, .marks(marks_6), .active(active_6), .x(operands), .done(unused_done), .sum(squares));
  tern_square_sum #(.P(P)) sum_of_norm (
    .clk, .rst_n, .marks(marks_13), .active(active_13), .x(normed), .done, .sum(squares_of_norm));

`ifdef VERILATOR
  for (genvar i = 0; i < P; i++) begin : g_check
    wire lowest = code_marks[2] && codes[i*8+:8] == 8'h80;
    a_code: assert property (@(posedge clk) disable iff (!rst_n) !lowest);
  end
`endif
endmodule
