// The scalar unit's work: SOP, and the sums of squares that the row unit and the quantiser have, which go first.
// One at a time. `write` and the mark of whose it was come in the same cycle, `done` a cycle later.
module tern_run_scalar (
  input  logic clk,
  input  logic rst_n,
  input  logic go,
  input  tern_pkg::instruction_t i,  // holds until `done`
  input  tern_pkg::scalar_t sa,
  input  tern_pkg::scalar_t sb,
  input  logic [tern_pkg::kLargestBits-1:0] largest,
  output logic done,
  input  logic row_valid,
  input  logic [tern_pkg::kSquaresBits-1:0] row_sum,
  input  logic [3:0] row_to,
  output logic row_done,
  input  logic quantizer_valid,
  input  logic [tern_pkg::kSquaresBits-1:0] quantizer_sum,
  input  logic signed [tern_pkg::kExponentBits-1:0] quantizer_exponent,
  input  logic [3:0] quantizer_to,
  output logic quantizer_done,
  output logic write,
  output logic [3:0] write_to,
  output tern_pkg::scalar_t result,
  output logic overflow
);
  logic waiting, of_row, of_quantizer, in_valid, in_ready, out_valid, too_large, busy;
  tern_pkg::scalar_op_e op;
  always_comb
    if (row_valid | quantizer_valid) op = tern_pkg::kScalarOfInteger;
    else
      unique case (i.imm[2:0])
        3'd0: op = tern_pkg::kScalarMultiply;
        3'd1: op = tern_pkg::kScalarAdd;
        3'd2: op = tern_pkg::kScalarDivide;
        3'd3: op = tern_pkg::kScalarRoot;
        3'd4: op = tern_pkg::kScalarReciprocal;
        default: op = tern_pkg::kScalarOfInteger;
      endcase
  assign in_valid = ~busy & (row_valid | quantizer_valid | waiting | go);
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      waiting <= 1'b0;
      busy <= 1'b0;
    end else begin
      waiting <= (waiting | go) & ~(in_valid & in_ready & ~row_valid & ~quantizer_valid);
      busy <= in_valid & in_ready | (busy & ~out_valid);
    end
    if (in_valid & in_ready) begin
      of_row <= row_valid;
      of_quantizer <= ~row_valid & quantizer_valid;
      write_to <= row_valid ? row_to : quantizer_valid ? quantizer_to : i.sd;
    end
  end
  tern_scalar unit (
    .clk, .rst_n, .in_valid, .in_ready, .op_in(op), .a_in(sa), .b_in(sb),
    .integer_in(row_valid ? row_sum : quantizer_valid ? quantizer_sum : (tern_pkg::kSquaresBits)'(largest)),
    .exponent_in(~row_valid & quantizer_valid ? quantizer_exponent : '0), .out_valid, .out_ready(1'b1), .result,
    .overflow(too_large));
  assign write = busy & out_valid;
  assign row_done = write & of_row;
  assign quantizer_done = write & of_quantizer;
  always_ff @(posedge clk) done <= rst_n & write & ~of_row & ~of_quantizer;
  assign overflow = write & too_large;
  wire unused_bits = ^{i.op, i.vd, i.va, i.vb, i.pa, i.pb, i.sa, i.flags, i.imm[31:3]};
endmodule
