// A value, CYCLES cycles later. No reset.
module tern_delay #(
  parameter int WIDTH = 32,
  parameter int CYCLES = 1
) (
  // verilator lint_off UNUSEDSIGNAL
  input  logic clk,  // not used where CYCLES is 0
  // verilator lint_on UNUSEDSIGNAL
  input  logic [WIDTH-1:0] in,
  output logic [WIDTH-1:0] out
);
  logic [WIDTH-1:0] line[0:CYCLES];
  assign line[0] = in;
  for (genvar i = 1; i <= CYCLES; i++) begin : g_line
    always_ff @(posedge clk) line[i] <= line[i-1];
  end
  assign out = line[CYCLES];
endmodule
