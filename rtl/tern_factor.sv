// A scalar g as a factor of sums (factor_of and scale_sum in rtl/model): S g as Q.fraction is
// S mantissa 2^20 / 2^shift, rounded, with offset = fraction + what the sums were shifted by.
// Latency 1.
module tern_factor (
  input  logic clk,
  input  tern_pkg::scalar_t g,
  input  logic [6:0] offset,
  output logic [tern_pkg::kFactorBits-1:0] mantissa,
  output logic [5:0] shift  // 0 .. 56: further to the right is 0, to the left is saturated
);
  localparam int E = tern_pkg::kExponentBits;
  localparam int DROPPED = tern_pkg::kMantissaBits - tern_pkg::kFactorBits;
  logic signed [E+1:0] right;
  always_ff @(posedge clk) begin
    right <= (E + 2)'(20 - DROPPED) - (E + 2)'(g.exponent) - (E + 2)'({1'b0, offset});
    mantissa <= g.mantissa[tern_pkg::kMantissaBits-1:DROPPED];
  end
  assign shift = right < 0 ? 6'd0 : right > (E + 2)'(56) ? 6'd56 : right[5:0];
  wire [DROPPED-1:0] unused_low = g.mantissa[DROPPED-1:0];
endmodule
