// One lane of the row unit: what MUL, MAC, SIG, SILU and SCAN do with one element (operations.cpp), in three
// multipliers of 18 x 18 beside the sigmoid's. y belongs to what came 13 cycles before, of
// SIG and SILU to what came 30 cycles before. Control bits end in the stage that they belong to.
// overflow_*: the value of that stage was saturated where the specification counts it.
module tern_row_lane (
  input  logic clk,
  input  tern_pkg::row_control_t control,
  input  logic signed [31:0] a,
  input  logic signed [31:0] b,
  input  logic signed [21:0] c,
  input  logic [15:0] weight,
  output logic signed [17:0] operand,  // at 5
  output logic signed [31:0] y,
  output logic overflow_5,
  output logic overflow_11,
  output logic overflow_13
);
`include "tern_bug.svh"
  // ---- 1 .. 5: the first operand; h's difference to c in SCAN, an argument of SILU in Q.11 ----
  logic signed [33:0] first, first_4;
  logic second_cut_4;
  logic [3:0] narrow_1;
  logic signed [17:0] operand_next;
  logic signed [15:0] state_next;
  logic operand_cut, state_cut;
  tern_round #(.IN(34), .SHIFT(4)) round_first (.clk, .value(first), .shift(narrow_1), .rounded(first_4));
  tern_saturate #(.IN(34), .OUT(18)) to_operand (.value(first_4), .result(operand_next), .saturated(operand_cut));
  tern_saturate #(.IN(34), .OUT(16)) to_state (.value(first_4), .result(state_next), .saturated(state_cut));
  always_ff @(posedge clk) begin
    first <= control.scan_0 ? 34'($signed({c, 11'd0})) - 34'(a) : 34'(a);
    narrow_1 <= control.narrow_0 ^ 4'(bug == 16);
    operand <= control.state_4 ? 18'(state_next) : operand_next;
    overflow_5 <= second_cut_4 | (control.state_4 ? state_cut : operand_cut & ~control.statistics_4);
  end

  // ---- the second one: b, a weight, k, or the factor; k may be 2^17. At 2 a few bits say what k is, and whether b is
  // the nearest value that 18 bits hold (tern_saturate, in two cycles) ----
  logic signed [31:0] second;
  logic [17:0] second_1, second_2, second_5;
  logic fits, cut_2, minus_2, b_cut_2, k_below_2, k_above_2, k_beyond_2, k_is_one, k_is_wrong, one_5, one_6;
  assign fits = &second[31:17] | ~|second[31:17];
  always_comb
    if (control.factor_1) second_1 = {1'b0, control.mantissa_1};
    else if (control.scan_1) second_1 = {1'b0, second[16:0]};
    else second_1 = second[17:0];
  always_ff @(posedge clk) begin
    second <= control.weight_0 ? 32'($signed(weight)) : b;
    second_2 <= second_1;
    cut_2 <= ~control.factor_1 & ~control.scan_1 & ~fits;
    minus_2 <= second[31];
    b_cut_2 <= control.multiply_1 & ~fits;
    k_below_2 <= control.scan_1 & second[31];
    k_above_2 <= control.scan_1 & |second[30:17];
    k_beyond_2 <= |second[30:18] | |second[16:0];  // where it is above
  end
  assign k_is_one = k_above_2 & ~k_below_2;
  assign k_is_wrong = k_below_2 | (k_above_2 & k_beyond_2);
  wire [17:0] near_2 = cut_2 ? {minus_2, {17{~minus_2}}} : second_2;
  tern_delay #(.WIDTH(19), .CYCLES(3)) delay_second (
    .clk, .in({k_is_one, k_below_2 | k_above_2 ? 18'd0 : near_2}), .out({one_5, second_5}));
  tern_delay #(.WIDTH(1), .CYCLES(2)) delay_cut (.clk, .in(b_cut_2 | k_is_wrong), .out(second_cut_4));

  // ---- 6 .. 10: the product, rounded ----
  logic signed [35:0] product, product_7;
  logic signed [17:0] operand_6;
  logic signed [55:0] product_10;
  tern_multiplier multiply (.clk, .a(operand), .b(second_5), .product);
  always_ff @(posedge clk) begin
    operand_6 <= operand;
    one_6 <= one_5;
    product_7 <= product + (one_6 ? 36'($signed({operand_6, 17'd0})) : '0);
  end
  tern_round #(.IN(56), .SHIFT(6)) round_product (
    .clk, .value({product_7, 20'd0} - (bug == 15 ? 56'd1 << 25 : '0)), .shift(control.shift_7), .rounded(product_10));

  // ---- 11, 12: what is added to, and the results of MUL, MAC and SCAN ----
  logic signed [26:0] multiplied_next, accumulated;
  logic signed [33:0] step_next, step;
  logic signed [15:0] gate_next, z, state_10;
  logic multiplied_cut, gate_cut, accumulated_cut;
  logic unused_cut;  // of a step: then the sum is saturated, too
  logic signed [31:0] a_11, b_11;
  logic signed [26:0] multiplied, multiplied_12;
  logic signed [34:0] added;
  tern_saturate #(.IN(56), .OUT(27)) to_multiplied (
    .value(product_10), .result(multiplied_next), .saturated(multiplied_cut));
  tern_saturate #(.IN(56), .OUT(34)) to_step (
    .value(product_10), .result(step_next), .saturated(unused_cut));
  tern_saturate #(.IN(56), .OUT(16)) to_gate (
    .value(product_10), .result(gate_next), .saturated(gate_cut));
  tern_saturate #(.IN(35), .OUT(27)) to_accumulated (
    .value(added), .result(accumulated), .saturated(accumulated_cut));
  tern_delay #(.WIDTH(16), .CYCLES(5)) delay_state (.clk, .in(operand[15:0]), .out(state_10));
  tern_delay #(.WIDTH(64), .CYCLES(11)) delay_ab (.clk, .in({a, b}), .out({a_11, b_11}));
  wire signed [31:0] onto = control.onto_a_11 ? a_11 : b_11;
  always_ff @(posedge clk) begin
    multiplied <= multiplied_next;
    step <= step_next;
    z <= control.state_10 ? state_10 : gate_next;
    overflow_11 <= control.multiply_10 & multiplied_cut | control.gate_10 & gate_cut;
    multiplied_12 <= multiplied;
    added <= 35'(onto) + (control.statistics_11 ? '0 : 35'(step));
  end

  // ---- 12 .. 29: the sigmoid and what it is multiplied with ----
  logic [17:0] sigmoid;
  logic signed [15:0] z_21;
  logic [15:0] open_21;
  logic [16:0] sigmoid_23;
  logic signed [17:0] times, times_23, times_25, silu;
  logic signed [35:0] gated, gated_25, gated_26, gated_29;
  logic [4:0] shift_26;
  logic one_25, gate_25, gate_29;
  logic unused_silu;  // |z| <= 2^15 gives 18 bits
  tern_sigmoid sigmoid_unit (.clk, .z, .negate(control.gate_11), .sigmoid);
  tern_delay #(.WIDTH(16), .CYCLES(10)) delay_z (.clk, .in(z), .out(z_21));
  tern_delay #(.WIDTH(16), .CYCLES(21)) delay_open (.clk, .in(weight), .out(open_21));
  tern_delay #(.WIDTH(19), .CYCLES(3)) delay_times (.clk, .in({sigmoid[17], times}), .out({one_25, times_25}));
  tern_delay #(.WIDTH(1), .CYCLES(4)) delay_gate (.clk, .in(control.gate_21), .out(gate_25));
  tern_delay #(.WIDTH(1), .CYCLES(4)) delay_gated (.clk, .in(gate_25), .out(gate_29));
  tern_multiplier multiply_gate (.clk, .a(times_23), .b({1'b0, sigmoid_23}), .product(gated));
  tern_round #(.IN(36), .SHIFT(5)) round_gated (
    .clk, .value(gated_26), .shift(shift_26), .rounded(gated_29));
  tern_saturate #(.IN(36), .OUT(18)) to_silu (
    .value(gated_29), .result(silu), .saturated(unused_silu));
  always_ff @(posedge clk) begin
    times <= ~control.gate_21 ? 18'(z_21) : control.bounded_21 & bug != 11 ? {2'b0, open_21} : 18'h10000;
    times_23 <= times;
    sigmoid_23 <= sigmoid[16:0];
    gated_25 <= gated;
    gated_26 <= gated_25 + (one_25 ? 36'($signed({times_25, 17'd0})) : '0);
    shift_26 <= gate_25 ? 5'd16 : 5'd15;
  end

  // ---- 13 or 30: the result ----
  always_ff @(posedge clk) begin
    if (control.long_29) y <= gate_29 ? 32'({1'b0, gated_29[17:0]}) : 32'(silu);
    else y <= control.multiply_12 ? 32'(multiplied_12) : control.accumulate_12 ? 32'(accumulated) : added[31:0];
    overflow_13 <= control.accumulate_12 & accumulated_cut;
  end
endmodule
