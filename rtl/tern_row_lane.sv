// One lane of the row unit: what MUL, MAC, SIG, SILU and SCAN do with one element (operations.cpp), in three
// multipliers of 18 x 18 beside the sigmoid's. y_short belongs to what came 11 cycles before, y_long
// (SIG, SILU) to what came 21 cycles before. Control bits end in the stage that they belong to.
// overflow_*: the value of that stage was saturated where the specification counts it.
module tern_row_lane (
  input  logic clk,
  input  tern_pkg::row_control_t control,
  input  logic signed [31:0] a,
  input  logic signed [31:0] b,
  input  logic signed [31:0] c,
  input  logic [15:0] weight,
  output logic signed [17:0] operand,  // at 4
  output logic signed [31:0] y_short,
  output logic signed [31:0] y_long,
  output logic overflow_4,
  output logic overflow_9,
  output logic overflow_11
);
`include "tern_bug.svh"
  // ---- 1 .. 4: the first operand; h's difference to c in SCAN, an argument of SILU in Q.11 ----
  // c - h saturates to 18 bits in Q.13, so 22 bits of c are enough
  logic signed [21:0] near_c;
  logic unused_c;
  tern_saturate #(.IN(32), .OUT(22)) to_near (.value(c), .result(near_c), .saturated(unused_c));
  logic signed [33:0] first, first_3;
  logic second_cut_3;
  logic [3:0] narrow_1;
  logic signed [17:0] operand_next;
  logic signed [15:0] state_next;
  logic operand_cut, state_cut;
  tern_round #(.IN(34), .SHIFT(4)) round_first (.clk, .value(first), .shift(narrow_1), .rounded(first_3));
  tern_saturate #(.IN(34), .OUT(18)) to_operand (.value(first_3), .result(operand_next), .saturated(operand_cut));
  tern_saturate #(.IN(34), .OUT(16)) to_state (.value(first_3), .result(state_next), .saturated(state_cut));
  always_ff @(posedge clk) begin
    first <= control.scan_0 ? 34'($signed({near_c, 11'd0})) - 34'(a) : 34'(a);
    narrow_1 <= control.narrow_0 ^ 4'(bug == 16);
    operand <= control.state_3 ? 18'(state_next) : operand_next;
    overflow_4 <= second_cut_3 | (control.state_3 ? state_cut : operand_cut & ~control.statistics_3);
  end

  // ---- the second one: b, a weight, k, or the factor; k may be 2^17 ----
  logic signed [31:0] second;
  logic [17:0] second_1, second_4;
  logic signed [17:0] near_b;
  logic k_is_one, k_is_wrong, b_cut, one_4, one_5;
  tern_saturate #(.IN(32), .OUT(18)) to_second (.value(second), .result(near_b), .saturated(b_cut));
  assign k_is_one = control.scan_1 & ~second[31] & |second[30:17];
  assign k_is_wrong = second[31] | (k_is_one & (|second[30:18] | |second[16:0]));
  always_comb
    if (control.factor_1) second_1 = {1'b0, control.mantissa_1};
    else if (control.scan_1) second_1 = second[31] | k_is_one ? '0 : {1'b0, second[16:0]};
    else second_1 = near_b;
  always_ff @(posedge clk) second <= control.weight_0 ? 32'($signed(weight)) : b;
  tern_delay #(.WIDTH(19), .CYCLES(3)) delay_second (
    .clk, .in({k_is_one, second_1}), .out({one_4, second_4}));
  tern_delay #(.WIDTH(1), .CYCLES(2)) delay_cut (
    .clk, .in(control.multiply_1 & b_cut | control.scan_1 & k_is_wrong), .out(second_cut_3));

  // ---- 5 .. 8: the product, rounded ----
  logic signed [35:0] product, product_6;
  logic signed [17:0] operand_5;
  logic signed [55:0] product_8;
  always_ff @(posedge clk) begin
    product <= operand * $signed(second_4);
    operand_5 <= operand;
    one_5 <= one_4;
    product_6 <= product + (one_5 ? 36'($signed({operand_5, 17'd0})) : '0);
  end
  tern_round #(.IN(56), .SHIFT(6)) round_product (
    .clk, .value({product_6, 20'd0} - (bug == 15 ? 56'd1 << 25 : '0)), .shift(control.shift_6), .rounded(product_8));

  // ---- 9 .. 11: what is added to, and the results of MUL, MAC and SCAN ----
  logic signed [26:0] multiplied_next, accumulated;
  logic signed [33:0] step_next, step;
  logic signed [15:0] gate_next, z, state_8;
  logic multiplied_cut, gate_cut, accumulated_cut;
  logic unused_cut;  // of a step: then the sum is saturated, too
  logic signed [31:0] a_9, b_9;
  logic signed [26:0] multiplied, multiplied_10;
  logic signed [34:0] added;
  tern_saturate #(.IN(56), .OUT(27)) to_multiplied (
    .value(product_8), .result(multiplied_next), .saturated(multiplied_cut));
  tern_saturate #(.IN(56), .OUT(34)) to_step (
    .value(product_8), .result(step_next), .saturated(unused_cut));
  tern_saturate #(.IN(56), .OUT(16)) to_gate (
    .value(product_8), .result(gate_next), .saturated(gate_cut));
  tern_saturate #(.IN(35), .OUT(27)) to_accumulated (
    .value(added), .result(accumulated), .saturated(accumulated_cut));
  tern_delay #(.WIDTH(16), .CYCLES(4)) delay_state (.clk, .in(operand[15:0]), .out(state_8));
  tern_delay #(.WIDTH(64), .CYCLES(9)) delay_ab (.clk, .in({a, b}), .out({a_9, b_9}));
  wire signed [31:0] onto = control.onto_a_9 ? a_9 : b_9;
  always_ff @(posedge clk) begin
    multiplied <= multiplied_next;
    step <= step_next;
    z <= control.state_8 ? state_8 : gate_next;
    overflow_9 <= control.multiply_8 & multiplied_cut | control.gate_8 & gate_cut;
    multiplied_10 <= multiplied;
    added <= 35'(onto) + (control.statistics_9 ? '0 : 35'(step));
    y_short <= control.multiply_10 ? 32'(multiplied_10)
      : control.accumulate_10 ? 32'(accumulated) : added[31:0];
    overflow_11 <= control.accumulate_10 & accumulated_cut;
  end

  // ---- 10 .. 21: the sigmoid and what it is multiplied with ----
  logic [17:0] sigmoid;
  logic signed [15:0] z_16;
  logic [15:0] open_16;
  logic signed [17:0] times, times_17, silu;
  logic signed [35:0] gated, gated_18, gated_20;
  logic [4:0] shift_17, shift_18;
  logic one_17, gate_20;
  logic unused_silu;  // |z| <= 2^15 gives 18 bits
  tern_sigmoid sigmoid_unit (.clk, .z, .negate(control.gate_9), .sigmoid);
  tern_delay #(.WIDTH(16), .CYCLES(7)) delay_z (.clk, .in(z), .out(z_16));
  tern_delay #(.WIDTH(16), .CYCLES(16)) delay_open (.clk, .in(weight), .out(open_16));
  tern_delay #(.WIDTH(1), .CYCLES(4)) delay_gate (.clk, .in(control.gate_16), .out(gate_20));
  tern_round #(.IN(36), .SHIFT(5)) round_gated (
    .clk, .value(gated_18), .shift(shift_18), .rounded(gated_20));
  tern_saturate #(.IN(36), .OUT(18)) to_silu (
    .value(gated_20), .result(silu), .saturated(unused_silu));
  assign times = ~control.gate_16 ? 18'(z_16)
    : control.bounded_16 & bug != 11 ? {2'b0, open_16} : 18'h10000;
  always_ff @(posedge clk) begin
    gated <= times * $signed({1'b0, sigmoid[16:0]});
    times_17 <= times;
    one_17 <= sigmoid[17];
    shift_17 <= control.gate_16 ? 5'd16 : 5'd15;
    gated_18 <= gated + (one_17 ? 36'($signed({times_17, 17'd0})) : '0);
    shift_18 <= shift_17;
    y_long <= gate_20 ? 32'({1'b0, gated_20[17:0]}) : 32'(silu);
  end
endmodule
