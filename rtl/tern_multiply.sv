// x w of 27 and 16 bits, exact, in two parts that a multiplier of 18 x 18 does. Latency 2.
module tern_multiply (
  input  logic clk,
  input  logic signed [tern_pkg::kResidualBits-1:0] x,
  input  logic signed [tern_pkg::kWeightBits-1:0] w,
  output logic signed [tern_pkg::kProductBits-1:0] product
);
  localparam int LOW = 17;
  logic signed [25:0] high;  // 10 x 16 bits
  logic signed [33:0] low;   // 18 x 16 bits
  always_ff @(posedge clk) begin
    high <= $signed(x[tern_pkg::kResidualBits-1:LOW]) * w;
    low <= $signed({1'b0, x[LOW-1:0]}) * w;
    product <= $signed({high, LOW'(0)}) + (tern_pkg::kProductBits)'(low);
  end
endmodule
