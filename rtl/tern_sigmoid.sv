// sigmoid(z) of z / 2^11 as Q.17 in 0 .. 2^17, of -z if `negate` (rtl/model/operations.cpp): 128 lines,
// mirrored. Latency 11, a value a cycle, no handshake.
module tern_sigmoid (
  input  logic clk,
  input  logic signed [tern_pkg::kGateBits-1:0] z,
  input  logic negate,
  output logic [17:0] sigmoid
);
  localparam int G = tern_pkg::kGateBits;
  logic [G-1:0] magnitude;  // up to 2^15
  logic upper, upper_10;    // above one half
  logic [7:0] behind, behind_3, behind_4;
  logic [15:0] base, base_9;
  logic [11:0] fall, fall_4;
  logic signed [21:0] down, down_6, down_round;
  logic [16:0] lower;

  tern_sigmoid_lines lines (
    .clk, .segment(magnitude[G-1] ? 7'd127 : magnitude[14:8]), .base, .fall);
  tern_round #(.IN(22), .SHIFT(4)) round (.clk, .value(down_6), .shift(4'd8), .rounded(down_round));
  tern_delay #(.WIDTH(16), .CYCLES(6)) delay_base (.clk, .in(base), .out(base_9));
  tern_delay #(.WIDTH(1), .CYCLES(9)) delay_upper (.clk, .in(upper), .out(upper_10));

  tern_multiplier #(.A(13), .B(9)) multiply (
    .clk, .a({1'b0, fall_4}), .b({1'b0, behind_4}), .product(down));
  always_ff @(posedge clk) begin
    magnitude <= z[G-1] ? G'(-z) : z;                             // 1
    upper <= negate ? z[G-1] | z == '0 : ~z[G-1];
    behind <= magnitude[G-1] ? 8'd255 : magnitude[7:0];           // 2, as the segment is read
    behind_3 <= behind;                                           // 3, as the line
    behind_4 <= behind_3;                                         // 4
    fall_4 <= fall;
    down_6 <= down;                                               // 6, from 5; rounded: 9
    lower <= {1'b0, base_9} - down_round[16:0];                   // 10
    sigmoid <= upper_10 ? 18'h20000 - {1'b0, lower} : {1'b0, lower};
  end
  wire [4:0] unused_down = down_round[21:17];
endmodule
