// One of N values, for reads of registers: the choice holds from two cycles before the first value on.
// Latency 1, a value a cycle, no handshake.
module tern_choose #(
  parameter int N = 10,
  parameter int WIDTH = 128
) (
  input  logic clk,
  input  logic [3:0] choice,  // from N on: zero
  input  logic [N*WIDTH-1:0] values,
  output logic [WIDTH-1:0] chosen
);
  logic [N-1:0] is;
  logic [WIDTH-1:0] next;
  always_comb begin
    next = '0;
    for (int i = 0; i < N; i++) next |= {WIDTH{is[i]}} & values[i*WIDTH+:WIDTH];
  end
  always_ff @(posedge clk) begin
    for (int i = 0; i < N; i++) is[i] <= choice == 4'(i);
    chosen <= next;
  end
endmodule
