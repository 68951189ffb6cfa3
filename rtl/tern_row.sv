// ROW: MUL, MAC, SIG, SILU, SCAN and STAT on P elements a cycle (operations.cpp):
//   MUL   sat27(round(a b / 2^shift)) or a times a weight; a, shifted by `narrow`, and b saturate to 18 bits
//   MAC   sat27(b + S g): a holds sums S, shifted by `narrow` to 18 bits, g is Q.offset - narrow
//   SIG   k = weight sigmoid(-S g), or sigmoid(-S g) without `bounded`
//   SILU  silu(S g), or silu of a state in a with `from_state`
//   SCAN  a + b (c - a): a = h, b = k in 0 .. 2^17, c = c
//   STAT  nothing but the statistics of a, saturated to 27 bits
// With `statistics` the largest |y| and |y norm| of the row follow (of MUL, MAC, STAT), with `squares` the
// sum of squares of a, shifted to 18 bits.
// Handshake: in_* ready/valid, a slice a cycle; settings belong to the slice. Results must be taken: they come
// 14 cycles later, those of SIG and SILU 31; other operations wait until these are out, so that
// results keep their order. Statistics are done $clog2(P) + 21 cycles after the last slice, squares
// $clog2(P) + 11. `saturated` stays set until it is cleared.
module tern_row #(
  parameter int P = 16
) (
  input  logic clk,
  input  logic rst_n,
  input  logic in_valid,
  output logic in_ready,
  input  logic in_first,
  input  logic in_last,
  input  logic [P-1:0] active,
  input  tern_pkg::row_op_e op,
  input  logic with_weight,
  input  logic from_state,
  input  logic bounded,
  input  logic statistics,
  input  logic squares,
  input  logic [3:0] narrow,
  input  logic [5:0] shift,
  input  tern_pkg::scalar_t g,
  input  logic [6:0] offset,  // bits behind the point of S g, and `narrow`
  input  logic [P*32-1:0] a,
  input  logic [P*32-1:0] b,
  input  logic [P*32-1:0] c,
  input  logic [P*16-1:0] weight,
  input  logic [P*16-1:0] norm,
  output logic out_valid,
  output logic out_last,
  output logic [P-1:0] out_active,
  output logic [P*32-1:0] y,
  output logic statistics_done,
  output logic [tern_pkg::kLargestBits-1:0] largest,
  output logic [tern_pkg::kLargestInputBits-1:0] largest_y,
  output logic squares_done,
  output logic [tern_pkg::kSquaresBits-1:0] sum_of_squares,
  input  logic clear_saturated,
  output logic saturated
);
  localparam int SHORT = 11;  // two stages before the result
  localparam int LONG = 28;
  function automatic logic is_long(input logic [2:0] o);
    is_long = o == tern_pkg::kRowGate | o == tern_pkg::kRowSilu;
  endfunction

  // ---- acceptance ----
  logic [4:0] wait_left;  // cycles until a short operation's result would be the later one
  logic take;
  assign in_ready = is_long(op) | wait_left == '0;
  assign take = in_valid & in_ready;
  always_ff @(posedge clk)
    if (!rst_n) wait_left <= '0;
    else wait_left <= take & is_long(op) ? 5'(LONG - SHORT) : wait_left - 5'(wait_left != '0);

  // ---- stage 0: the slice; memories and what selects one of them are in front of it ----
  logic [P*32-1:0] a_0, b_0;
  logic [P*22-1:0] near_c, c_0;  // c - h saturates to 18 bits in Q.13, so 22 bits of c are enough
  for (genvar i = 0; i < P; i++) begin : g_near
    logic unused_c;
    tern_saturate #(.IN(32), .OUT(22)) to_near (
      .value(c[i*32+:32]), .result(near_c[i*22+:22]), .saturated(unused_c));
  end
  logic [P*16-1:0] weight_0, norm_0;
  logic [5:0] shift_0;
  always_ff @(posedge clk) begin
    a_0 <= a;
    b_0 <= b;
    c_0 <= near_c;
    weight_0 <= weight;
    norm_0 <= norm;
    shift_0 <= shift;
  end

  // ---- what belongs to a slice, along the stages ----
  logic [2:0] op_at[0:LONG+1];  // row_op_e
  logic from_state_at[0:LONG+1], bounded_at[0:LONG+1], statistics_at[0:LONG+1], squares_at[0:LONG+1];
  logic [2:0] marks[0:LONG+1];
  logic [P-1:0] active_at[0:LONG+1];
  always_ff @(posedge clk) begin
    op_at[0] <= op;
    from_state_at[0] <= op == tern_pkg::kRowSilu & from_state;
    bounded_at[0] <= bounded;
    statistics_at[0] <= statistics & ~is_long(op) & op != tern_pkg::kRowScan;
    squares_at[0] <= squares;
    marks[0] <= {rst_n & take, in_first, in_last};
    active_at[0] <= active;
  end
  for (genvar i = 1; i <= LONG + 1; i++) begin : g_at
    always_ff @(posedge clk) begin
      op_at[i] <= op_at[i-1];
      from_state_at[i] <= from_state_at[i-1];
      bounded_at[i] <= bounded_at[i-1];
      statistics_at[i] <= statistics_at[i-1];
      squares_at[i] <= squares_at[i-1];
      marks[i] <= {rst_n & marks[i-1][2], marks[i-1][1:0]};
      active_at[i] <= active_at[i-1];
    end
  end

  logic [tern_pkg::kFactorBits-1:0] mantissa;
  logic [5:0] factor_shift, shift_6;
  logic factor_0;
  tern_factor factor (.clk, .g, .offset, .mantissa, .shift(factor_shift));
  assign factor_0 = op_at[0] == tern_pkg::kRowAccumulate | is_long(op_at[0]);
  tern_delay #(.WIDTH(6), .CYCLES(6)) delay_shift (
    .clk, .in(factor_0 ? factor_shift : op_at[0] == tern_pkg::kRowScan ? 6'd26 : shift_0 > 6'd36 ? 6'd56 : 6'd20 + shift_0),
    .out(shift_6));
  tern_pkg::row_control_t control;
  wire long_28 = marks[LONG][2] & is_long(op_at[LONG]);
  wire short_11 = marks[SHORT][2] & ~is_long(op_at[SHORT]) & op_at[SHORT] != tern_pkg::kRowStatistics;
  logic long_29, short_12;
  always_ff @(posedge clk) begin
    control.scan_0 <= op == tern_pkg::kRowScan;
    control.weight_0 <= with_weight;
    control.narrow_0 <= op == tern_pkg::kRowScan ? 4'd11 : op == tern_pkg::kRowSilu & from_state ? 4'd13 : narrow;
    control.multiply_1 <= op_at[0] == tern_pkg::kRowMultiply;
    control.scan_1 <= op_at[0] == tern_pkg::kRowScan;
    control.factor_1 <= factor_0;
    control.mantissa_1 <= mantissa;
    control.state_4 <= from_state_at[3];
    control.statistics_4 <= op_at[3] == tern_pkg::kRowStatistics;
    control.shift_7 <= shift_6;
    control.multiply_10 <= op_at[9] == tern_pkg::kRowMultiply;
    control.state_10 <= from_state_at[9];
    control.gate_10 <= is_long(op_at[9]) & ~from_state_at[9];
    control.gate_11 <= op_at[10] == tern_pkg::kRowGate;
    control.statistics_11 <= op_at[10] == tern_pkg::kRowStatistics;
    control.onto_a_11 <= op_at[10] == tern_pkg::kRowStatistics | op_at[10] == tern_pkg::kRowScan;
    control.multiply_12 <= op_at[11] == tern_pkg::kRowMultiply;
    control.accumulate_12 <= op_at[11] == tern_pkg::kRowAccumulate | op_at[11] == tern_pkg::kRowStatistics;
    control.gate_21 <= op_at[20] == tern_pkg::kRowGate;
    control.bounded_21 <= bounded_at[20];
    control.long_29 <= long_28;
    long_29 <= rst_n & long_28;
    short_12 <= rst_n & short_11;
  end

  // ---- lanes ----
  logic [P*27-1:0] y_residual;
  logic [P*18-1:0] operands;
  logic [P-1:0] overflow_5, overflow_11, overflow_13;
  for (genvar i = 0; i < P; i++) begin : g_lane
    tern_row_lane lane (
      .clk, .control, .a(a_0[i*32+:32]), .b(b_0[i*32+:32]), .c(c_0[i*22+:22]), .weight(weight_0[i*16+:16]),
      .operand(operands[i*18+:18]), .y(y[i*32+:32]), .overflow_5(overflow_5[i]), .overflow_11(overflow_11[i]),
      .overflow_13(overflow_13[i]));
    assign y_residual[i*27+:27] = y[i*32+:27];
  end

  // ---- results ----
  always_ff @(posedge clk) begin
    out_valid <= rst_n & (long_29 | short_12);
    out_last <= long_29 ? marks[LONG+1][0] : marks[SHORT+1][0];
    out_active <= long_29 ? active_at[LONG+1] : active_at[SHORT+1];
  end

  logic [P*16-1:0] norm_13;
  tern_delay #(.WIDTH(P * 16), .CYCLES(13)) delay_norm (.clk, .in(norm_0), .out(norm_13));
  tern_statistics #(.P(P)) of_results (
    .clk, .rst_n, .marks({marks[13][2] & statistics_at[13], marks[13][1:0]}), .active(active_at[13]),
    .x(y_residual), .w(norm_13), .done(statistics_done), .largest, .largest_x(largest_y));
  tern_square_sum #(.P(P)) of_operands (
    .clk, .rst_n, .marks({marks[5][2] & squares_at[5], marks[5][1:0]}), .active(active_at[5]),
    .x(operands), .done(squares_done), .sum(sum_of_squares));

  logic any_5, any_11, any_13;
  always_ff @(posedge clk) begin
    any_5 <= rst_n & marks[5][2] & |(overflow_5 & active_at[5]);
    any_11 <= rst_n & marks[11][2] & |(overflow_11 & active_at[11]);
    any_13 <= rst_n & marks[13][2] & |(overflow_13 & active_at[13]);
  end
  tern_sticky sticky (
    .clk, .rst_n, .clear(clear_saturated), .event_in(any_5 | any_11 | any_13), .flag(saturated));

`ifdef VERILATOR
  a_order: assert property (@(posedge clk) disable iff (!rst_n) !(long_29 && short_12));
  c_wait: cover property (@(posedge clk) disable iff (!rst_n) in_valid && !in_ready);
`endif
endmodule
