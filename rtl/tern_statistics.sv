// The largest |x w| and |x| of a row, P elements a cycle: what makes a row's codes and their scale.
// Marks: the row's first and last slice; an element that is not `active` does not count.
// No handshake: a slice a cycle is taken. `done` with the results comes $clog2(P) + 7 cycles after the
// last slice; they stay until the next row's first slice is as far.
module tern_statistics #(
  parameter int P = 16
) (
  input  logic clk,
  input  logic rst_n,
  input  logic [2:0] marks,  // {valid, first, last}
  input  logic [P-1:0] active,
  input  logic [P*tern_pkg::kResidualBits-1:0] x,
  input  logic [P*tern_pkg::kWeightBits-1:0] w,
  output logic done,
  output logic [tern_pkg::kLargestBits-1:0] largest,
  output logic [tern_pkg::kLargestInputBits-1:0] largest_x
);
`include "tern_bug.svh"
  localparam int X = tern_pkg::kResidualBits;
  localparam int W = tern_pkg::kWeightBits;
  localparam int L = tern_pkg::kLargestBits;
  localparam int LX = tern_pkg::kLargestInputBits;
  logic [P*L-1:0] magnitudes;
  logic [P*LX-1:0] magnitudes_x;

  for (genvar i = 0; i < P; i++) begin : g_lane
    logic signed [X-1:0] x_4;
    logic signed [tern_pkg::kProductBits-1:0] v;
    logic [L-1:0] v_5;
    logic [LX-1:0] x_5;
    logic active_4, active_5, minus, minus_x;  // what is negative is inverted, then 1 is added
    tern_multiply multiply (.clk, .x(x[i*X+:X]), .w(w[i*W+:W]), .product(v));
    tern_delay #(.WIDTH(X + 1), .CYCLES(4)) delay (.clk, .in({active[i], x[i*X+:X]}), .out({active_4, x_4}));
    always_ff @(posedge clk) begin
      minus <= v < 0;
      minus_x <= x_4 < 0;
      v_5 <= L'(v < 0 ? ~v : v);
      x_5 <= LX'(x_4 < 0 ? ~x_4 : x_4);
      active_5 <= active_4;
      magnitudes[i*L+:L] <= {L{active_5}} & (v_5 + L'(minus));
      magnitudes_x[i*LX+:LX] <= {LX{active_5}} & (x_5 + LX'(minus_x));
    end
  end

  localparam int LATENCY = $clog2(P) + 6;
  logic [L-1:0] of_slice;
  logic [LX-1:0] of_slice_x;
  logic [2:0] now;
  tern_max #(.N(P), .WIDTH(L)) max (.clk, .values(magnitudes), .largest(of_slice));
  tern_max #(.N(P), .WIDTH(LX)) max_x (.clk, .values(magnitudes_x), .largest(of_slice_x));
  tern_valid #(.CYCLES(LATENCY)) valid (.clk, .rst_n, .in(marks), .out(now));

  wire restart = now[1] & ~(bug == 9);
  always_ff @(posedge clk) begin
    done <= rst_n & now[2] & now[0];
    if (now[2]) begin
      if (restart | of_slice > largest) largest <= of_slice;
      if (restart | of_slice_x > largest_x) largest_x <= of_slice_x;
    end
  end
endmodule
