// x w of 27 and 16 bits, exact, in two parts that a multiplier of 18 x 18 does, with bare
// registers around it for the wires. Latency 4.
module tern_multiply (
  input  logic clk,
  input  logic signed [tern_pkg::kResidualBits-1:0] x,
  input  logic signed [tern_pkg::kWeightBits-1:0] w,
  output logic signed [tern_pkg::kProductBits-1:0] product
);
  localparam int LOW = 17;
  logic signed [tern_pkg::kResidualBits-1:0] x_1;
  logic signed [tern_pkg::kWeightBits-1:0] w_1;
  logic signed [25:0] high, high_3;  // 10 x 16 bits
  logic signed [33:0] low, low_3;    // 18 x 16 bits
  tern_multiplier #(.A(10), .B(16)) multiply_high (
    .clk, .a(x_1[tern_pkg::kResidualBits-1:LOW]), .b(w_1), .product(high));
  tern_multiplier #(.A(18), .B(16)) multiply_low (
    .clk, .a({1'b0, x_1[LOW-1:0]}), .b(w_1), .product(low));
  always_ff @(posedge clk) begin
    x_1 <= x;
    w_1 <= w;
    high_3 <= high;
    low_3 <= low;
    product <= $signed({high_3, LOW'(0)}) + (tern_pkg::kProductBits)'(low_3);
  end
endmodule
