// AMAX of whole vectors: the token's largest word so far, the first of equals. `go` and `done` as in tern_run_row.
module tern_run_argmax #(
  parameter int P = 16,
  parameter int SLICES = 64
) (
  input  logic clk,
  input  logic rst_n,
  input  logic clear,  // a token begins
  input  logic go,
  input  tern_pkg::instruction_t i,
  input  logic [tern_pkg::kColumnBits-1:0] length,
  input  logic [tern_pkg::kPassBits-1:0] pass,
  output logic done,
  output logic [$clog2(SLICES)-1:0] address,
  input  logic [P*32-1:0] va,
  output logic found,
  output logic [tern_pkg::kIndexBits-1:0] likeliest
);
  logic go_1, go_2;
  logic [tern_pkg::kColumnBits-1:0] length_1;
  logic [tern_pkg::kPassBits+tern_pkg::kColumnBits+1:0] passed;  // elements of the passes before
  logic [2:0] marks;
  logic [P-1:0] active;
  logic [31:0] first;
  logic signed [31:0] unused_largest;
  always_ff @(posedge clk) begin
    go_1 <= rst_n & go;
    go_2 <= rst_n & go_1;
    length_1 <= length;
    if (go_2) first <= i.imm + (i.flags[3] ? 32'(passed) : '0);
    else if (marks[2]) first <= first + 32'(P);
    if (!rst_n | clear) found <= 1'b0;
    else if (done) found <= 1'b1;
  end
  tern_multiplier #(.A(tern_pkg::kPassBits + 1), .B(tern_pkg::kColumnBits + 1)) multiply (
    .clk, .a({1'b0, pass}), .b({1'b0, length_1}), .product(passed));
  tern_walk #(.P(P), .SLICES(SLICES)) walk (.clk, .rst_n, .start(go_1), .length, .address, .there(1'b1), .marks, .active);
  tern_argmax #(.P(P)) argmax (
    .clk, .rst_n, .marks({marks[2], marks[1] & ~found, marks[0]}), .active,
    .base((tern_pkg::kIndexBits)'(first)), .x(va), .done, .index(likeliest), .largest(unused_largest));
  wire unused_bits = ^{i.op, i.vd, i.va, i.vb, i.pa, i.pb, i.sd, i.sa, i.flags[2:0], first[31]};
endmodule
