// The marks of a slice of a row, CYCLES cycles later: valid, the row's first one, its last one.
module tern_valid #(
  parameter int CYCLES = 1
) (
  // verilator lint_off UNUSEDSIGNAL
  input  logic clk,  // not used where CYCLES is 0
  input  logic rst_n,
  // verilator lint_on UNUSEDSIGNAL
  input  logic [2:0] in,  // {valid, first, last}
  output logic [2:0] out
);
  logic [2:0] line[0:CYCLES];
  assign line[0] = in;
  for (genvar i = 1; i <= CYCLES; i++) begin : g_line
    always_ff @(posedge clk) line[i] <= {rst_n & line[i-1][2], line[i-1][1:0]};
  end
  assign out = line[CYCLES];
endmodule
