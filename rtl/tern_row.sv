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
// 11 cycles later, those of SIG and SILU 21; other operations wait until these are out, so that
// results keep their order. Statistics are done $clog2(P) + 15 cycles after the last slice, squares
// $clog2(P) + 7. `saturated` stays set until it is cleared.
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
  localparam int SHORT = 11;
  localparam int LONG = 21;

  // ---- acceptance ----
  logic [3:0] wait_left;  // cycles until a short operation's result would be the later one
  logic is_long, take;
  assign is_long = op == tern_pkg::kRowGate | op == tern_pkg::kRowSilu;
  assign in_ready = is_long | wait_left == '0;
  assign take = in_valid & in_ready;
  always_ff @(posedge clk)
    if (!rst_n) wait_left <= '0;
    else wait_left <= take & is_long ? 4'(LONG - SHORT) : wait_left - 4'(wait_left != '0);

  // ---- what belongs to a slice, along the stages ----
  logic [2:0] op_at[0:LONG];  // row_op_e
  logic from_state_at[0:LONG], bounded_at[0:LONG], statistics_at[0:LONG], squares_at[0:LONG];
  logic [2:0] marks[0:LONG];
  logic [P-1:0] active_at[0:LONG];
  assign op_at[0] = op;
  assign from_state_at[0] = op == tern_pkg::kRowSilu & from_state;
  assign bounded_at[0] = bounded;
  assign statistics_at[0] = statistics & ~is_long & op != tern_pkg::kRowScan;
  assign squares_at[0] = squares;
  assign marks[0] = {take, in_first, in_last};
  assign active_at[0] = active;
  for (genvar i = 1; i <= LONG; i++) begin : g_at
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

  logic [tern_pkg::kFactorBits-1:0] mantissa_1;
  logic [5:0] factor_shift_1, other_shift_1, shift_1;
  logic factor_1;
  tern_pkg::row_control_t control;
  tern_factor factor (.clk, .g, .offset, .mantissa(mantissa_1), .shift(factor_shift_1));
  always_ff @(posedge clk) other_shift_1 <= op == tern_pkg::kRowScan ? 6'd26 : shift > 6'd36 ? 6'd56 : 6'd20 + shift;
  assign factor_1 = op_at[1] == tern_pkg::kRowAccumulate | op_at[1] == tern_pkg::kRowGate
    | op_at[1] == tern_pkg::kRowSilu;
  assign shift_1 = factor_1 ? factor_shift_1 : other_shift_1;
  logic [5:0] shift_6;
  tern_delay #(.WIDTH(6), .CYCLES(5)) delay_shift (.clk, .in(shift_1), .out(shift_6));
  always_comb begin
    control.scan_0 = op == tern_pkg::kRowScan;
    control.weight_0 = with_weight;
    control.narrow_0 = control.scan_0 ? 4'd11 : from_state_at[0] ? 4'd13 : narrow;
    control.multiply_1 = op_at[1] == tern_pkg::kRowMultiply;
    control.scan_1 = op_at[1] == tern_pkg::kRowScan;
    control.factor_1 = factor_1;
    control.mantissa_1 = mantissa_1;
    control.state_3 = from_state_at[3];
    control.statistics_3 = op_at[3] == tern_pkg::kRowStatistics;
    control.shift_6 = shift_6;
    control.multiply_8 = op_at[8] == tern_pkg::kRowMultiply;
    control.state_8 = from_state_at[8];
    control.gate_8 = (op_at[8] == tern_pkg::kRowGate | op_at[8] == tern_pkg::kRowSilu) & ~from_state_at[8];
    control.gate_9 = op_at[9] == tern_pkg::kRowGate;
    control.statistics_9 = op_at[9] == tern_pkg::kRowStatistics;
    control.onto_a_9 = control.statistics_9 | op_at[9] == tern_pkg::kRowScan;
    control.multiply_10 = op_at[10] == tern_pkg::kRowMultiply;
    control.accumulate_10 = op_at[10] == tern_pkg::kRowAccumulate
      | op_at[10] == tern_pkg::kRowStatistics;
    control.gate_16 = op_at[16] == tern_pkg::kRowGate;
    control.bounded_16 = bounded_at[16];
  end

  // ---- lanes ----
  logic [P*32-1:0] y_short, y_long;
  logic [P*27-1:0] y_residual;
  logic [P*18-1:0] operands;
  logic [P*16-1:0] norm_11;
  logic [P-1:0] overflow_4, overflow_9, overflow_11;
  for (genvar i = 0; i < P; i++) begin : g_lane
    tern_row_lane lane (
      .clk, .control, .a(a[i*32+:32]), .b(b[i*32+:32]), .c(c[i*32+:32]), .weight(weight[i*16+:16]),
      .operand(operands[i*18+:18]), .y_short(y_short[i*32+:32]), .y_long(y_long[i*32+:32]),
      .overflow_4(overflow_4[i]), .overflow_9(overflow_9[i]), .overflow_11(overflow_11[i]));
    assign y_residual[i*27+:27] = y_short[i*32+:27];
  end

  // ---- results ----
  wire long_valid = marks[LONG][2]
    & (op_at[LONG] == tern_pkg::kRowGate | op_at[LONG] == tern_pkg::kRowSilu);
  wire short_valid = marks[SHORT][2] & op_at[SHORT] != tern_pkg::kRowGate
    & op_at[SHORT] != tern_pkg::kRowSilu & op_at[SHORT] != tern_pkg::kRowStatistics;
  assign out_valid = long_valid | short_valid;
  assign out_last = long_valid ? marks[LONG][0] : marks[SHORT][0];
  assign out_active = long_valid ? active_at[LONG] : active_at[SHORT];
  assign y = long_valid ? y_long : y_short;

  tern_delay #(.WIDTH(P * 16), .CYCLES(SHORT)) delay_norm (.clk, .in(norm), .out(norm_11));
  tern_statistics #(.P(P)) of_results (
    .clk, .rst_n, .marks({marks[SHORT][2] & statistics_at[SHORT], marks[SHORT][1:0]}),
    .active(active_at[SHORT]), .x(y_residual), .w(norm_11), .done(statistics_done), .largest,
    .largest_x(largest_y));
  tern_square_sum #(.P(P)) of_operands (
    .clk, .rst_n, .marks({marks[4][2] & squares_at[4], marks[4][1:0]}), .active(active_at[4]),
    .x(operands), .done(squares_done), .sum(sum_of_squares));

  logic any_4, any_9, any_11;
  always_ff @(posedge clk) begin
    any_4 <= rst_n & marks[4][2] & |(overflow_4 & active_at[4]);
    any_9 <= rst_n & marks[9][2] & |(overflow_9 & active_at[9]);
    any_11 <= rst_n & marks[11][2] & |(overflow_11 & active_at[11]);
  end
  tern_sticky sticky (
    .clk, .rst_n, .clear(clear_saturated), .event_in(any_4 | any_9 | any_11), .flag(saturated));

`ifdef VERILATOR
  a_order: assert property (@(posedge clk) disable iff (!rst_n) !(long_valid && short_valid));
  c_wait: cover property (@(posedge clk) disable iff (!rst_n) in_valid && !in_ready);
`endif
endmodule
