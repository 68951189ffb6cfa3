// QNT of whole vectors: reads slices, passes them through tern_quantizer and writes the codes; the sums of squares
// go to the scalar unit, one after the other. `go` and `done` as in tern_run_row.
module tern_run_quantizer #(
  parameter int P = 16,
  parameter int SLICES = 64
) (
  input  logic clk,
  input  logic rst_n,
  input  logic go,
  input  tern_pkg::instruction_t i,
  input  logic [tern_pkg::kColumnBits-1:0] length,
  input  tern_pkg::scalar_t reciprocal,
  input  logic [tern_pkg::kLargestBits-1:0] largest,
  input  logic [tern_pkg::kLargestInputBits-1:0] largest_x,
  output logic done,
  output logic [$clog2(SLICES)-1:0] address,
  input  logic [P*32-1:0] va,
  input  logic [P*16-1:0] pa,
  input  logic [P*16-1:0] pb,
  output logic [P-1:0] write,
  output logic [$clog2(SLICES)-1:0] write_address,
  output logic [P*8-1:0] write_codes,
  output logic [$clog2(SLICES):0] written,  // slices of this instruction's codes; all bits set: all of them
  output logic convert_valid,
  output logic [tern_pkg::kSquaresBits-1:0] convert,
  output logic signed [tern_pkg::kExponentBits-1:0] convert_exponent,
  output logic [3:0] convert_to,
  input  logic convert_done,
  input  logic clear_saturated,
  output logic saturated
);
  localparam int A = $clog2(SLICES);
  logic running, sums, of_x, of_norm, ends, sums_done;  // what is not done yet
  logic [tern_pkg::kSquaresBits-1:0] squares, squares_of_norm;
  logic [4:0] squares_shift;
  logic [2:0] marks, code_marks;
  wire unused_mark = code_marks[1];
  logic [P-1:0] active, code_active;
  assign ends = running & ~(sums | of_x | of_norm);
  assign convert_exponent = (tern_pkg::kExponentBits)'({squares_shift, 1'b0});
  assign write = {P{code_marks[2]}} & code_active;
  assign write_address = written[A-1:0];
  always_ff @(posedge clk) begin
    if (!rst_n) begin
      running <= 1'b0;
      done <= 1'b0;
      convert_valid <= 1'b0;
    end else begin
      convert_valid <= running & ~sums & (of_x | of_norm) & ~convert_done;
      running <= go | (running & ~ends);
      done <= ends;
    end
    convert <= of_x ? squares : squares_of_norm;
    convert_to <= of_x ? i.sd : i.vb;
    sums <= go | (sums & ~sums_done);
    of_x <= go ? i.flags[3] : of_x & ~convert_done;
    of_norm <= go ? i.flags[2] : of_norm & ~(convert_done & ~of_x);
    if (!rst_n | done) written <= '0;
    else if (code_marks[2]) written <= code_marks[0] ? '1 : written + 1'b1;
  end

  tern_walk #(.P(P), .SLICES(SLICES)) walk (.clk, .rst_n, .start(go), .length, .address, .there(1'b1), .marks, .active);
  tern_quantizer #(.P(P)) quantizer (
    .clk, .rst_n, .marks, .active, .x(va), .w(pa), .block(pb), .reciprocal, .largest, .largest_x, .code_marks,
    .code_active, .codes(write_codes), .done(sums_done), .squares_shift, .squares, .squares_of_norm,
    .clear_saturated, .saturated);
  wire unused_bits = ^{i.op, i.vd, i.va, i.pa, i.pb, i.sa, i.flags[1:0], i.imm};
endmodule
