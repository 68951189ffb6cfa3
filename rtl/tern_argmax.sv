// AMAX: the index of a vector's largest element, the first one of equals, P elements a cycle. The vector may
// come in parts: only its first slice has the mark `first`, and each slice says the `base` of its indices.
// Marks and `active` as in tern_statistics; the active elements of a slice are its first ones, at least one.
// `done` with the result comes $clog2(P) + 2 cycles after a slice with the mark `last`.
module tern_argmax #(
  parameter int P = 16
) (
  input  logic clk,
  input  logic rst_n,
  input  logic [2:0] marks,  // {valid, first, last}
  input  logic [P-1:0] active,
  input  logic [tern_pkg::kIndexBits-1:0] base,
  input  logic [P*tern_pkg::kWordBits-1:0] x,
  output logic done,
  output logic [tern_pkg::kIndexBits-1:0] index,
  output logic signed [tern_pkg::kWordBits-1:0] largest
);
`include "tern_bug.svh"
  localparam int S = tern_pkg::kWordBits;
  localparam int LEVELS = $clog2(P);
  // the slice; memories and what selects one of them are in front of it
  logic [2:0] marks_1;
  tern_valid slice (.clk, .rst_n, .in(marks), .out(marks_1));

  // {value with its sign turned, so that unsigned ones compare; not the later one}: inactive ones are 0
  for (genvar l = 0; l <= LEVELS; l++) begin : g_level
    logic [S:0] value[0:(P>>l)-1];
    logic [LEVELS:0] lane[0:(P>>l)-1];
    for (genvar i = 0; i < (P >> l); i++) begin : g_value
      if (l == 0) begin : g_in
        always_ff @(posedge clk) value[i] <= active[i] ? {1'b1, ~x[i*S+S-1], x[i*S+:S-1]} : '0;
        assign lane[i] = (LEVELS + 1)'(i);
      end else begin : g_max
        wire second = g_level[l-1].value[2*i+1] > g_level[l-1].value[2*i]
          | (bug == 12 & g_level[l-1].value[2*i+1] == g_level[l-1].value[2*i]);
        always_ff @(posedge clk) begin
          value[i] <= second ? g_level[l-1].value[2*i+1] : g_level[l-1].value[2*i];
          lane[i] <= second ? g_level[l-1].lane[2*i+1] : g_level[l-1].lane[2*i];
        end
      end
    end
  end

  logic [2:0] now;
  logic [tern_pkg::kIndexBits-1:0] base_now;
  logic [S-1:0] top;
  tern_valid #(.CYCLES(LEVELS)) valid (.clk, .rst_n, .in(marks_1), .out(now));
  tern_delay #(.WIDTH(tern_pkg::kIndexBits), .CYCLES(LEVELS + 1)) delay_base (.clk, .in(base), .out(base_now));
  assign largest = {~top[S-1], top[S-2:0]};
  wire [S:0] of_slice = g_level[LEVELS].value[0];
  wire [LEVELS:0] lane_of_slice = g_level[LEVELS].lane[0];
  wire unused_active = of_slice[S];
  always_ff @(posedge clk) begin
    done <= rst_n & now[2] & now[0];
    if (now[2]) begin
      if (now[1] | of_slice[S-1:0] > top) begin
        top <= of_slice[S-1:0];
        index <= base_now + (tern_pkg::kIndexBits)'(lane_of_slice);
      end
    end
  end
endmodule
